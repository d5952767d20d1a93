//! `/api/backfills`: sending the rows that a table already has to a hook. For the operator only.

use axum::http::StatusCode;

use crate::manage::backfill::{Backfill, NewBackfill};
use crate::server::{
    access::Caller,
    backfills,
    problem::Problem,
    request::{Json, Path},
};

/// List backfills, the newest first.
#[utoipa::path(get, path = "/api/backfills", tag = "backfills", operation_id = "listBackfills",
    responses((status = 200, body = [Backfill])))]
pub(super) async fn list(caller: Caller) -> Result<Json<Vec<Backfill>>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.backfills().await?))
}

/// Start a backfill.
#[utoipa::path(post, path = "/api/backfills", tag = "backfills", operation_id = "startBackfill",
    request_body = NewBackfill,
    responses((status = 202, body = Backfill)))]
pub(super) async fn begin(
    caller: Caller,
    Json(new): Json<NewBackfill>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    let mut admin = caller.admin().await?;
    let begun = admin.start_backfill(new).await?;
    backfills::spawn(&caller.generation, begun.id);
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Show a backfill and its progress.
#[utoipa::path(get, path = "/api/backfills/{id}", tag = "backfills", operation_id = "showBackfill",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn show(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.backfill(id).await?))
}

/// Cancel a backfill.
#[utoipa::path(delete, path = "/api/backfills/{id}", tag = "backfills", operation_id = "cancelBackfill",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn cancel(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    let mut admin = caller.admin().await?;
    Ok(Json(admin.cancel_backfill(id).await?))
}

/// Resume a backfill that was interrupted, was cancelled or has failed.
#[utoipa::path(post, path = "/api/backfills/{id}/resume", tag = "backfills", operation_id = "resumeBackfill",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 202, body = Backfill)))]
pub(super) async fn resume(
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    let mut admin = caller.admin().await?;
    let resumed = admin.resume_backfill(id).await?;
    backfills::spawn(&caller.generation, id);
    Ok((StatusCode::ACCEPTED, Json(resumed)))
}
