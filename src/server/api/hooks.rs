//! `/api/hooks`: subscriptions, in the manner of REST Hooks.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::params::Pagination;
use crate::manage::{
    Page,
    hook_input::{HookChange, HookWithSecret, NewHook},
    hooks::{Hook, HookCondition, HookQuery},
    ping::TestResult,
};
use crate::server::{
    access::Caller,
    idempotency::ShownOnce,
    problem::Problem,
    request::{Json, JsonOrForm, OptionalJson, Path, Query},
};

/// Which hooks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HookFilter {
    /// Those subscribed to exactly this event or pattern.
    event: Option<String>,
    /// Those of this owner. Owners see only their own, whatever they ask for.
    owner: Option<String>,
    /// Those in this state.
    #[param(inline)]
    state: Option<HookCondition>,
    /// That with this id.
    id: Option<String>,
}

/// List hooks.
#[utoipa::path(get, path = "/api/hooks", tag = "hooks", operation_id = "listHooks", params(HookFilter, Pagination),
    responses((status = 200, body = Page<Hook>)))]
pub(super) async fn list(
    caller: Caller,
    Query(filter): Query<HookFilter>,
    Query(pagination): Query<Pagination>,
) -> Result<Json<Page<Hook>>, Problem> {
    let query = HookQuery {
        event: filter.event,
        owner: filter.owner,
        state: filter.state,
        id: filter.id,
    };
    let page = pagination.page()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.hooks(caller.actor(), &query, &page).await?))
}

/// Create a hook. Its secret is shown only in this response.
#[utoipa::path(post, path = "/api/hooks", tag = "hooks", operation_id = "createHook", request_body = NewHook,
    responses((status = 201, body = HookWithSecret, headers(("location" = String, description = "The hook's address")))))]
pub(super) async fn add(
    caller: Caller,
    JsonOrForm(new): JsonOrForm<NewHook>,
) -> Result<impl IntoResponse, Problem> {
    caller.generation.verify_target(&new.target).await?;
    let mut admin = caller.admin().await?;
    let made = admin.add_hook(caller.actor(), new).await?;
    let id =
        percent_encoding::utf8_percent_encode(&made.hook.id, percent_encoding::NON_ALPHANUMERIC);
    let root = caller.generation.root();
    let location = HeaderValue::try_from(format!("{root}/api/hooks/{id}"))
        .map_err(|error| Problem::unavailable(&error.into()))?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        ShownOnce(made),
    ))
}

/// Show a hook.
#[utoipa::path(get, path = "/api/hooks/{id}", tag = "hooks", operation_id = "showHook",
    params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Hook)))]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<Hook>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.hook(caller.actor(), &id).await?))
}

/// Change a hook. What is left out stays as it is.
#[utoipa::path(patch, path = "/api/hooks/{id}", tag = "hooks", operation_id = "changeHook",
    params(("id" = String, Path, description = "The hook's id")),
    request_body = HookChange, responses((status = 200, body = Hook)))]
pub(super) async fn change(
    caller: Caller,
    Path(id): Path,
    JsonOrForm(change): JsonOrForm<HookChange>,
) -> Result<Json<Hook>, Problem> {
    if let Some(target) = &change.target {
        verify_new_target(&caller, &id, target).await?;
    }
    let mut admin = caller.admin().await?;
    Ok(Json(admin.change_hook(caller.actor(), &id, change).await?))
}

/// Replace a hook. What is left out is cleared, but its owner and its secret stay.
#[utoipa::path(put, path = "/api/hooks/{id}", tag = "hooks", operation_id = "replaceHook",
    params(("id" = String, Path, description = "The hook's id")),
    request_body = NewHook, responses((status = 200, body = Hook)))]
pub(super) async fn replace(
    caller: Caller,
    Path(id): Path,
    JsonOrForm(new): JsonOrForm<NewHook>,
) -> Result<Json<Hook>, Problem> {
    verify_new_target(&caller, &id, &new.target).await?;
    let mut admin = caller.admin().await?;
    Ok(Json(admin.replace_hook(caller.actor(), &id, new).await?))
}

/// Verifies the new target of a hook that is there already.
async fn verify_new_target(caller: &Caller, id: &str, target: &str) -> Result<(), Problem> {
    // Checked before the target is called, so that nobody causes requests with a hook that is not theirs.
    caller.admin().await?.hook(caller.actor(), id).await?;
    Ok(caller.generation.verify_target(target).await?)
}

/// Delete a hook.
#[utoipa::path(delete, path = "/api/hooks/{id}", tag = "hooks", operation_id = "deleteHook",
    params(("id" = String, Path, description = "The hook's id")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(caller: Caller, Path(id): Path) -> Result<StatusCode, Problem> {
    let mut admin = caller.admin().await?;
    admin.remove_hook(caller.actor(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enable a hook. What was parked while it was disabled is sent.
#[utoipa::path(post, path = "/api/hooks/{id}/enable", tag = "hooks", operation_id = "enableHook",
    params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = Hook)))]
pub(super) async fn enable(caller: Caller, Path(id): Path) -> Result<Json<Hook>, Problem> {
    let mut admin = caller.admin().await?;
    Ok(Json(admin.enable_hook(caller.actor(), &id).await?))
}

/// Why a hook is disabled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Disabling {
    /// A reason for people to read.
    reason: Option<String>,
}

/// Disable a hook. What is parked is kept for the retention.
#[utoipa::path(post, path = "/api/hooks/{id}/disable", tag = "hooks", operation_id = "disableHook",
    params(("id" = String, Path, description = "The hook's id")),
    request_body = Option<Disabling>, responses((status = 200, body = Hook)))]
pub(super) async fn disable(
    caller: Caller,
    Path(id): Path,
    OptionalJson(disabling): OptionalJson<Disabling>,
) -> Result<Json<Hook>, Problem> {
    let mut admin = caller.admin().await?;
    let reason = disabling.reason.as_deref().unwrap_or("disabled by hand");
    Ok(Json(admin.disable_hook(caller.actor(), &id, reason).await?))
}

/// Give a hook a new secret, which is shown only in this response. For a day, the old one signs too.
#[utoipa::path(post, path = "/api/hooks/{id}/rotate", tag = "hooks", operation_id = "rotateSecret",
    params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = HookWithSecret)))]
pub(super) async fn rotate(caller: Caller, Path(id): Path) -> Result<ShownOnce, Problem> {
    let mut admin = caller.admin().await?;
    Ok(ShownOnce(admin.rotate_secret(caller.actor(), &id).await?))
}

/// Send a test request to a hook, and return how it was answered.
#[utoipa::path(post, path = "/api/hooks/{id}/test", tag = "hooks", operation_id = "testHook",
    params(("id" = String, Path, description = "The hook's id")),
    responses((status = 200, body = TestResult)))]
pub(super) async fn test(caller: Caller, Path(id): Path) -> Result<Json<TestResult>, Problem> {
    caller.generation.count_test(caller.actor())?;
    let prepared = caller
        .admin()
        .await?
        .prepare_test(caller.actor(), &id)
        .await?;
    Ok(Json(prepared.send(&caller.generation.sender).await))
}
