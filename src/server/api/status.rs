//! `/api/status`: how rowhook is.

use axum::http::StatusCode;

use crate::manage::status::Status;
use crate::server::{access::Visit, problem::Problem, request::Json};

/// Say how rowhook is. The operator's alone: it tells of everyone's deliveries.
#[utoipa::path(get, path = "/api/status", tag = "status", responses((status = 200, body = Status)))]
pub(super) async fn show(visit: Visit) -> Result<Json<Status>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.status().await?))
}

/// Read hooks.toml again, as SIGHUP does. A file with mistakes is told in the log and changes nothing.
#[utoipa::path(post, path = "/api/reload", tag = "status", responses((status = 202, description = "It will be read")))]
pub(super) async fn reload(visit: Visit) -> Result<StatusCode, Problem> {
    visit.operator()?;
    visit.house.handles.reload.notify_one();
    Ok(StatusCode::ACCEPTED)
}
