//! `/api/status` and `/api/reload`. For the operator only.

use axum::http::StatusCode;

use crate::manage::status::Status;
use crate::server::{access::Caller, problem::Problem, request::Json};

/// Show the status of rowhook. For the operator only, because it counts everyone's deliveries.
#[utoipa::path(get, path = "/api/status", tag = "status", operation_id = "showStatus",
    responses((status = 200, body = Status)))]
pub(super) async fn show(caller: Caller) -> Result<Json<Status>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.status().await?))
}

/// Read hooks.toml again, as SIGHUP does. The mistakes of a bad file are logged, and the old configuration stays.
#[utoipa::path(post, path = "/api/reload", tag = "status", operation_id = "reloadConfiguration",
    responses((status = 202, description = "It will be read")))]
pub(super) async fn reload(caller: Caller) -> Result<StatusCode, Problem> {
    caller.generation.handles.reload.ask(caller.who.clone());
    Ok(StatusCode::ACCEPTED)
}
