//! `/api/backfills`: the rows that a table has, sent to a hook. The operator's alone.

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

/// Begin a backfill.
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

/// Show a backfill, and how far it is.
#[utoipa::path(get, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn show(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.backfill(id).await?))
}

/// End a backfill where it is.
#[utoipa::path(delete, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn cancel(caller: Caller, Path(id): Path<i64>) -> Result<Json<Backfill>, Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.cancel_backfill(id).await?))
}

/// Go on with a backfill that was interrupted, cancelled or has failed.
#[utoipa::path(post, path = "/api/backfills/{id}/resume", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 202, body = Backfill)))]
pub(super) async fn resume(
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    caller.require_operator()?;
    let admin = caller.admin().await?;
    let resumed = admin.resume_backfill(id).await?;
    spawn_backfill(&caller.generation, id);
    Ok((StatusCode::ACCEPTED, Json(resumed)))
}

/// Carries a backfill on, until it ends or rowhook does. Two that spawn_backfill the same one take turns.
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
