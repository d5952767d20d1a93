//! `/api/status`: how rowhook is.

use axum::http::StatusCode;

use crate::manage::status::Status;
use crate::server::{access::Caller, problem::Problem, request::Json};

/// Say how rowhook is. The operator's alone: it tells of everyone's deliveries.
#[utoipa::path(get, path = "/api/status", tag = "status", responses((status = 200, body = Status)))]
pub(super) async fn show(caller: Caller) -> Result<Json<Status>, Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.status().await?))
}

/// Read hooks.toml again, as SIGHUP does. A file with mistakes is told in the log and changes nothing.
#[utoipa::path(post, path = "/api/reload", tag = "status", responses((status = 202, description = "It will be read")))]
pub(super) async fn reload(caller: Caller) -> Result<StatusCode, Problem> {
    caller.require_operator()?;
    caller.generation.handles.reload.notify_one();
    Ok(StatusCode::ACCEPTED)
}
