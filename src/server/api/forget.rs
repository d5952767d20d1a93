//! `/api/forget`: deleting what rowhook has of an owner. For the operator only.

use crate::manage::forget::{Forget, Forgotten};
use crate::server::{access::Caller, problem::Problem, request::Json};

/// Delete what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest.
#[utoipa::path(post, path = "/api/forget", tag = "forget", request_body = Forget,
    responses((status = 200, body = Forgotten)))]
pub(super) async fn owner(
    caller: Caller,
    Json(forget): Json<Forget>,
) -> Result<Json<Forgotten>, Problem> {
    let mut admin = caller.admin().await?;
    Ok(Json(admin.forget_owner(&forget.owner).await?))
}
