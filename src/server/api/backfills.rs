//! `/api/backfills`: sending the rows that a table already has to a hook. For the operator only.

use std::sync::Arc;

use axum::http::StatusCode;

use crate::manage::backfill::{Backfill, NewBackfill};
use crate::server::{
    access::Caller,
    generation::Generation,
    problem::Problem,
    request::{Json, Path},
};

/// List backfills, the newest first.
#[utoipa::path(get, path = "/api/backfills", tag = "backfills", responses((status = 200, body = [Backfill])))]
pub(super) async fn list(caller: Caller) -> Result<Json<Vec<Backfill>>, Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.backfills().await?))
}

/// Start a backfill.
#[utoipa::path(post, path = "/api/backfills", tag = "backfills", request_body = NewBackfill,
    responses((status = 202, body = Backfill)))]
pub(super) async fn begin(
    caller: Caller,
    Json(new): Json<NewBackfill>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    caller.require_operator()?;
    let mut admin = caller.admin().await?;
    let begun = admin.start_backfill(new).await?;
    spawn_backfill(&caller.generation, begun.id);
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Show a backfill and its progress.
#[utoipa::path(get, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn show(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.backfill(id).await?))
}

/// Cancel a backfill.
#[utoipa::path(delete, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn cancel(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    caller.require_operator()?;
    let mut admin = caller.admin().await?;
    Ok(Json(admin.cancel_backfill(id).await?))
}

/// Resume a backfill that was interrupted, was cancelled or has failed.
#[utoipa::path(post, path = "/api/backfills/{id}/resume", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 202, body = Backfill)))]
pub(super) async fn resume(
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    caller.require_operator()?;
    let mut admin = caller.admin().await?;
    let resumed = admin.resume_backfill(id).await?;
    spawn_backfill(&caller.generation, id);
    Ok((StatusCode::ACCEPTED, Json(resumed)))
}

/// Runs a backfill in a task of its own, until it ends or rowhook does. If two tasks run the same one, they take turns.
fn spawn_backfill(generation: &Arc<Generation>, id: i64) {
    let generation = Arc::clone(generation);
    tokio::spawn(async move {
        let carried = async {
            let mut admin = generation.dedicated_admin().await?;
            anyhow::Ok(admin.run_backfill(id, &mut |_| {}).await?)
        };
        match carried.await {
            Ok(ended) => tracing::info!(
                backfill = id,
                state = ended.state,
                sent = ended.sent,
                "a backfill ended"
            ),
            Err(error) => tracing::error!(
                backfill = id,
                error = format!("{error:#}"),
                "a backfill was interrupted; go on with: rowhook backfill --resume {id}"
            ),
        }
    });
}
