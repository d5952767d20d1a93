//! `/api/deliveries`: what is and was on its way, and sending it again.

use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::params::{Part, time};
use crate::manage::{
    Page,
    deliveries::{Delivery, DeliveryDetail, DeliveryQuery, State},
    replay::{Range, Replayed},
};
use crate::server::{
    access::Visit,
    problem::Problem,
    request::{Asked, Id, Json, OptionalJson},
};

/// Which deliveries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryFilter {
    /// Those of this hook.
    hook: Option<String>,
    /// Those that this has become of.
    #[param(inline)]
    state: Option<State>,
    /// Those of this event.
    event: Option<String>,
}

/// Which deliveries of a hook are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfHookFilter {
    /// Those that this has become of.
    #[param(inline)]
    state: Option<State>,
    /// Those of this event.
    event: Option<String>,
}

/// List deliveries, newest first: parked and dead ones, and delivered ones as far as history remembers.
#[utoipa::path(get, path = "/api/deliveries", tag = "deliveries", params(DeliveryFilter, Part),
    responses((status = 200, body = Page<Delivery>)))]
pub(super) async fn list(
    visit: Visit,
    Asked(filter): Asked<DeliveryFilter>,
    Asked(part): Asked<Part>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let query = DeliveryQuery {
        hook: filter.hook,
        state: filter.state,
        event: filter.event,
    };
    let page = part.page()?;
    let office = visit.office().await?;
    Ok(Json(office.deliveries(visit.who(), &query, &page).await?))
}

/// List the deliveries of a hook.
#[utoipa::path(get, path = "/api/hooks/{id}/deliveries", tag = "deliveries",
    params(("id" = String, Path, description = "The hook's id"), OfHookFilter, Part),
    responses((status = 200, body = Page<Delivery>)))]
pub(super) async fn of_hook(
    visit: Visit,
    Id(id): Id,
    Asked(filter): Asked<OfHookFilter>,
    Asked(part): Asked<Part>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let page = part.page()?;
    let office = visit.office().await?;
    office.hook(visit.who(), &id).await?;
    let query = DeliveryQuery {
        hook: Some(id),
        state: filter.state,
        event: filter.event,
    };
    Ok(Json(office.deliveries(visit.who(), &query, &page).await?))
}

/// Show a delivery with its body and its attempts.
#[utoipa::path(get, path = "/api/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, description = "The webhook-id")),
    responses((status = 200, body = DeliveryDetail)))]
pub(super) async fn show(visit: Visit, Id(id): Id) -> Result<Json<DeliveryDetail>, Problem> {
    let office = visit.office().await?;
    Ok(Json(office.delivery(visit.who(), &id).await?))
}

/// Have a delivery sent at once.
#[utoipa::path(post, path = "/api/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, description = "The webhook-id")),
    responses((status = 202, body = Delivery)))]
pub(super) async fn retry(
    visit: Visit,
    Id(id): Id,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    let mut office = visit.office().await?;
    let delivery = office.retry(visit.who(), &id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

/// Which dead deliveries are sent again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryDead {
    /// Those of this hook; only the operator may leave it out.
    hook: Option<String>,
    /// Those of this event.
    event: Option<String>,
    /// Those that were given up since then.
    #[schema(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
}

/// Have dead deliveries sent again, each row's in their order.
#[utoipa::path(post, path = "/api/retry-dead", tag = "deliveries", request_body = Option<RetryDead>,
    responses((status = 202, body = Replayed)))]
pub(super) async fn retry_dead(
    visit: Visit,
    OptionalJson(wanted): OptionalJson<RetryDead>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let range = Range {
        since: time("since", wanted.since.as_deref())?,
        hook: wanted.hook,
        event: wanted.event,
        until: None,
    };
    let mut office = visit.office().await?;
    let replayed = office.retry_dead(visit.who(), &range, &mut |_| {}).await?;
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}

/// Which range is sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Of this hook; only the operator may leave it out.
    hook: Option<String>,
    /// Of this event.
    event: Option<String>,
    /// What arrived, or was given up, since then.
    #[schema(example = "2026-01-31T12:00:00Z")]
    since: String,
    /// What arrived, or was given up, before then.
    #[schema(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
}

/// Have a range sent again with the ids it had, as far as history remembers.
#[utoipa::path(post, path = "/api/replay", tag = "deliveries", request_body = Replay,
    responses((status = 202, body = Replayed)))]
pub(super) async fn replay(
    visit: Visit,
    Json(wanted): Json<Replay>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let range = Range {
        since: time("since", Some(&wanted.since))?,
        until: time("until", wanted.until.as_deref())?,
        hook: wanted.hook,
        event: wanted.event,
    };
    let mut office = visit.office().await?;
    let replayed = office.replay(visit.who(), &range, &mut |_| {}).await?;
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}
