//! `/api/deliveries`: deliveries, and sending them again.

use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::params::{Pagination, parse_time};
use crate::manage::{
    Page,
    deliveries::{Delivery, DeliveryDetail, DeliveryQuery, State},
    forget::RowKey,
    replay::{Range, ReplayCounts},
    retry::Retried,
};
use crate::server::{
    access::Caller,
    problem::Problem,
    request::{Json, OptionalJson, Path, Query},
};

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryFilter {
    /// Those of this hook.
    hook: Option<String>,
    /// Those in this state.
    #[param(inline)]
    state: Option<State>,
    /// Those of this event.
    event: Option<String>,
    /// That with this id, the webhook-id.
    id: Option<String>,
    /// Those parked or delivered at this time or later: a time in UTC, or how long ago, such as 2h.
    #[param(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
    /// Those parked or delivered before this time.
    #[param(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
    /// Those of a row of this table, which `key` names: `[schema.]table`.
    table: Option<String>,
    /// The key of the row: its value, or a JSON object of its columns where there are several.
    key: Option<String>,
}

/// Which deliveries of a hook to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfHookFilter {
    /// Those in this state.
    #[param(inline)]
    state: Option<State>,
    /// Those of this event.
    event: Option<String>,
    /// Those parked or delivered at this time or later: a time in UTC, or how long ago, such as 2h.
    #[param(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
    /// Those parked or delivered before this time.
    #[param(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
    /// Those of a row of this table, which `key` names: `[schema.]table`.
    table: Option<String>,
    /// The key of the row: its value, or a JSON object of its columns where there are several.
    key: Option<String>,
}

/// The row that a table and a key name; both or neither.
fn row(table: Option<&str>, key: Option<&str>) -> Result<Option<RowKey>, Problem> {
    match (table, key) {
        (Some(table), Some(key)) => Ok(Some(RowKey::parse(table, key))),
        (None, None) => Ok(None),
        _ => Err(Problem::bad_request(
            "a row is named by table and key; give both, or neither",
        )),
    }
}

impl DeliveryFilter {
    fn query(self) -> Result<DeliveryQuery, Problem> {
        Ok(DeliveryQuery {
            hook: self.hook,
            state: self.state,
            event: self.event,
            id: self.id,
            since: parse_time("since", self.since.as_deref())?,
            until: parse_time("until", self.until.as_deref())?,
            row: row(self.table.as_deref(), self.key.as_deref())?,
        })
    }
}

/// List deliveries, newest first: parked and dead ones and, as far as history goes back, delivered ones. Where those of
/// an event, a row or an owner are wanted, a page looks at 100,000 of each kind: it may have few entries or none and
/// still a next one.
#[utoipa::path(get, path = "/api/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    params(DeliveryFilter, Pagination),
    responses((status = 200, body = Page<Delivery>)))]
pub(super) async fn list(
    caller: Caller,
    Query(filter): Query<DeliveryFilter>,
    Query(pagination): Query<Pagination>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let (query, page) = (filter.query()?, pagination.page()?);
    let admin = caller.admin().await?;
    Ok(Json(admin.deliveries(caller.actor(), &query, &page).await?))
}

/// List the deliveries of a hook, newest first.
#[utoipa::path(get, path = "/api/hooks/{id}/deliveries", tag = "deliveries", operation_id = "listHookDeliveries",
    params(("id" = String, Path, description = "The hook's id"), OfHookFilter, Pagination),
    responses((status = 200, body = Page<Delivery>)))]
pub(super) async fn of_hook(
    caller: Caller,
    Path(id): Path,
    Query(filter): Query<OfHookFilter>,
    Query(pagination): Query<Pagination>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let filter = DeliveryFilter {
        hook: Some(id.clone()),
        state: filter.state,
        event: filter.event,
        id: None,
        since: filter.since,
        until: filter.until,
        table: filter.table,
        key: filter.key,
    };
    let (query, page) = (filter.query()?, pagination.page()?);
    let admin = caller.admin().await?;
    admin.hook(caller.actor(), &id).await?;
    Ok(Json(admin.deliveries(caller.actor(), &query, &page).await?))
}

/// Show a delivery with its body and its attempts.
#[utoipa::path(get, path = "/api/deliveries/{id}", tag = "deliveries", operation_id = "showDelivery",
    params(("id" = String, Path, description = "The webhook-id")),
    responses((status = 200, body = DeliveryDetail)))]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<DeliveryDetail>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.delivery(caller.actor(), &id).await?))
}

/// Send a delivery at once.
#[utoipa::path(post, path = "/api/deliveries/{id}/retry", tag = "deliveries", operation_id = "retryDelivery",
    params(("id" = String, Path, description = "The webhook-id")),
    responses((status = 202, body = Delivery)))]
pub(super) async fn retry(
    caller: Caller,
    Path(id): Path,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    let mut admin = caller.admin().await?;
    let delivery = admin.retry(caller.actor(), &id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

/// Which deliveries to send again, all of them limited as a list is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryMany {
    /// Those of this hook. Only the operator may leave it out.
    hook: Option<String>,
    /// Those in this state, `parked` or `dead`; both if it is left out.
    state: Option<State>,
    /// Those of this event.
    event: Option<String>,
    /// Those parked at this time or later: a time in UTC, or how long ago, such as 2h.
    #[schema(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
    /// Those parked before this time.
    #[schema(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
    /// Those of a row of this table, which `key` names: `[schema.]table`.
    table: Option<String>,
    /// The key of the row: its value, or a JSON object of its columns where there are several.
    key: Option<String>,
    /// Only count them.
    dry_run: bool,
}

/// Send deliveries again that are dead, or that wait for their next time, those of each row in order; or count them.
#[utoipa::path(post, path = "/api/deliveries/retry", tag = "deliveries", operation_id = "retryDeliveries",
    request_body = Option<RetryMany>,
    responses(
        (status = 202, body = Retried, description = "They are sent again"),
        (status = 200, body = Retried, description = "They are counted, and left alone"),
    ))]
pub(super) async fn retry_many(
    caller: Caller,
    OptionalJson(wanted): OptionalJson<RetryMany>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let query = DeliveryQuery {
        since: parse_time("since", wanted.since.as_deref())?,
        until: parse_time("until", wanted.until.as_deref())?,
        row: row(wanted.table.as_deref(), wanted.key.as_deref())?,
        hook: wanted.hook,
        state: wanted.state,
        event: wanted.event,
        id: None,
    };
    let mut admin = caller.admin().await?;
    if wanted.dry_run {
        let counted = admin.count_to_retry(caller.actor(), &query).await?;
        return Ok((StatusCode::OK, Json(counted)));
    }
    let retried = admin.retry_all(caller.actor(), &query, &mut |_| {}).await?;
    Ok((StatusCode::ACCEPTED, Json(retried)))
}

/// Which dead deliveries to send again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryDead {
    /// Those of this hook. Only the operator may leave it out.
    hook: Option<String>,
    /// Those of this event.
    event: Option<String>,
    /// Those given up at this time or later.
    #[schema(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
}

/// Send dead deliveries again, those of each row in order.
#[utoipa::path(post, path = "/api/retry-dead", tag = "deliveries", operation_id = "retryDead",
    request_body = Option<RetryDead>,
    responses((status = 202, body = ReplayCounts)))]
pub(super) async fn retry_dead(
    caller: Caller,
    OptionalJson(wanted): OptionalJson<RetryDead>,
) -> Result<(StatusCode, Json<ReplayCounts>), Problem> {
    let range = Range {
        since: parse_time("since", wanted.since.as_deref())?,
        hook: wanted.hook,
        event: wanted.event,
        until: None,
    };
    let mut admin = caller.admin().await?;
    let replayed = admin
        .retry_dead(caller.actor(), &range, &mut |_| {})
        .await?;
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}

/// Which deliveries to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Those of this hook. Only the operator may leave it out.
    hook: Option<String>,
    /// Those of this event.
    event: Option<String>,
    /// Those delivered or given up at this time or later.
    #[schema(example = "2026-01-31T12:00:00Z")]
    since: String,
    /// Those delivered or given up before this time.
    #[schema(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
}

/// Send delivered and dead deliveries of a span of time again, with their ids, as far as history goes back.
#[utoipa::path(post, path = "/api/replay", tag = "deliveries", operation_id = "replayDeliveries", request_body = Replay,
    responses((status = 202, body = ReplayCounts)))]
pub(super) async fn replay(
    caller: Caller,
    Json(wanted): Json<Replay>,
) -> Result<(StatusCode, Json<ReplayCounts>), Problem> {
    let range = Range {
        since: parse_time("since", Some(&wanted.since))?,
        until: parse_time("until", wanted.until.as_deref())?,
        hook: wanted.hook,
        event: wanted.event,
    };
    let mut admin = caller.admin().await?;
    let replayed = admin.replay(caller.actor(), &range, &mut |_| {}).await?;
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}
