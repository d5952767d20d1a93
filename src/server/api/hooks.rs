//! `/api/hooks`, as REST Hooks wish it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::params::Part;
use crate::manage::{
    Page,
    hook_input::{HookChange, Keyed, NewHook},
    hooks::{Hook, HookQuery},
    ping::Tested,
};
use crate::server::{
    access::Visit,
    problem::Problem,
    request::{Asked, Id, Json, OptionalJson},
};

/// Which hooks are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HookFilter {
    /// Those on exactly this event or pattern.
    event: Option<String>,
    /// Those of this owner. Owners see their own only, whatever they ask for.
    owner: Option<String>,
}

/// List hooks.
#[utoipa::path(get, path = "/api/hooks", tag = "hooks", params(HookFilter, Part),
    responses((status = 200, body = Page<Hook>)))]
pub(super) async fn list(
    visit: Visit,
    Asked(filter): Asked<HookFilter>,
    Asked(part): Asked<Part>,
) -> Result<Json<Page<Hook>>, Problem> {
    let query = HookQuery {
        event: filter.event,
        owner: filter.owner,
    };
    let page = part.page()?;
    let office = visit.office().await?;
    Ok(Json(office.hooks(visit.who(), &query, &page).await?))
}

/// Make a hook. Its secret is shown this once.
#[utoipa::path(post, path = "/api/hooks", tag = "hooks", request_body = NewHook,
    responses((status = 201, body = Keyed, headers(("location" = String, description = "The hook's address")))))]
pub(super) async fn add(
    visit: Visit,
    Json(new): Json<NewHook>,
) -> Result<impl IntoResponse, Problem> {
    let mut office = visit.office().await?;
    let verify = visit.house.server.verify;
    office.prove(&new.target, verify).await?;
    let made = office.add_hook(visit.who(), new).await?;
    let id =
        percent_encoding::utf8_percent_encode(&made.hook.id, percent_encoding::NON_ALPHANUMERIC);
    let location = HeaderValue::try_from(format!("/api/hooks/{id}"))
        .map_err(|error| Problem::failed(&error.into()))?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(made),
    ))
}

/// Show a hook.
#[utoipa::path(get, path = "/api/hooks/{id}", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Hook)))]
pub(super) async fn show(visit: Visit, Id(id): Id) -> Result<Json<Hook>, Problem> {
    let office = visit.office().await?;
    Ok(Json(office.hook(visit.who(), &id).await?))
}

/// Change a hook. What is left out stays.
#[utoipa::path(patch, path = "/api/hooks/{id}", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    request_body = HookChange, responses((status = 200, body = Hook)))]
pub(super) async fn change(
    visit: Visit,
    Id(id): Id,
    Json(change): Json<HookChange>,
) -> Result<Json<Hook>, Problem> {
    let mut office = visit.office().await?;
    // Nobody has a target asked on behalf of a hook that is not theirs.
    office.hook(visit.who(), &id).await?;
    if let Some(target) = &change.target {
        let verify = visit.house.server.verify;
        office.prove(target, verify).await?;
    }
    Ok(Json(office.change_hook(visit.who(), &id, change).await?))
}

/// Remove a hook.
#[utoipa::path(delete, path = "/api/hooks/{id}", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(visit: Visit, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut office = visit.office().await?;
    office.remove_hook(visit.who(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switch a hook on. What waited while it was off is sent.
#[utoipa::path(post, path = "/api/hooks/{id}/enable", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Hook)))]
pub(super) async fn enable(visit: Visit, Id(id): Id) -> Result<Json<Hook>, Problem> {
    let mut office = visit.office().await?;
    Ok(Json(office.enable_hook(visit.who(), &id).await?))
}

/// Why a hook is switched off.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Disabling {
    /// For a person to read.
    reason: Option<String>,
}

/// Switch a hook off. What waits is kept for the retention.
#[utoipa::path(post, path = "/api/hooks/{id}/disable", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    request_body = Option<Disabling>, responses((status = 200, body = Hook)))]
pub(super) async fn disable(
    visit: Visit,
    Id(id): Id,
    OptionalJson(disabling): OptionalJson<Disabling>,
) -> Result<Json<Hook>, Problem> {
    let mut office = visit.office().await?;
    let reason = disabling.reason.as_deref().unwrap_or("disabled by hand");
    Ok(Json(office.disable_hook(visit.who(), &id, reason).await?))
}

/// Give a hook a new secret, which is shown this once. For a day the old one signs too.
#[utoipa::path(post, path = "/api/hooks/{id}/rotate", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Keyed)))]
pub(super) async fn rotate(visit: Visit, Id(id): Id) -> Result<Json<Keyed>, Problem> {
    let mut office = visit.office().await?;
    Ok(Json(office.rotate_secret(visit.who(), &id).await?))
}

/// Send a test to a hook now, and say what came of it.
#[utoipa::path(post, path = "/api/hooks/{id}/test", tag = "hooks", params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Tested)))]
pub(super) async fn test(visit: Visit, Id(id): Id) -> Result<Json<Tested>, Problem> {
    let office = visit.office().await?;
    Ok(Json(office.test_hook(visit.who(), &id).await?))
}
