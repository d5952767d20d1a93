//! `/api/status`: how rowhook is.

use super::super::{access::Visit, problem::Problem, request::Json};
use crate::manage::status::Status;

/// Say how rowhook is. The operator's alone: it tells of everyone's deliveries.
#[utoipa::path(get, path = "/api/status", tag = "status", responses((status = 200, body = Status)))]
pub(super) async fn show(visit: Visit) -> Result<Json<Status>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.status().await?))
}
