//! `/api/backfills`: the rows that a table has, sent to a hook. The operator's alone.

use std::sync::Arc;

use axum::http::StatusCode;

use crate::manage::backfill::{Backfill, NewBackfill};
use crate::server::{
    access::Visit,
    generation::House,
    problem::Problem,
    request::{Id, Json},
};

/// List backfills, the newest first.
#[utoipa::path(get, path = "/api/backfills", tag = "backfills", responses((status = 200, body = [Backfill])))]
pub(super) async fn list(visit: Visit) -> Result<Json<Vec<Backfill>>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.backfills().await?))
}

/// Begin a backfill.
#[utoipa::path(post, path = "/api/backfills", tag = "backfills", request_body = NewBackfill,
    responses((status = 202, body = Backfill)))]
pub(super) async fn begin(
    visit: Visit,
    Json(new): Json<NewBackfill>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    visit.operator()?;
    let mut office = visit.office().await?;
    let begun = office.begin_backfill(new).await?;
    carry(&visit.house, begun.id);
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Show a backfill, and how far it is.
#[utoipa::path(get, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn show(visit: Visit, Id(id): Id<i64>) -> Result<Json<Backfill>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.backfill(id).await?))
}

/// End a backfill where it is.
#[utoipa::path(delete, path = "/api/backfills/{id}", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Backfill)))]
pub(super) async fn cancel(visit: Visit, Id(id): Id<i64>) -> Result<Json<Backfill>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.cancel_backfill(id).await?))
}

/// Go on with a backfill that was interrupted, cancelled or has failed.
#[utoipa::path(post, path = "/api/backfills/{id}/resume", tag = "backfills", params(("id" = i64, Path, description = "Its number")),
    responses((status = 202, body = Backfill)))]
pub(super) async fn resume(
    visit: Visit,
    Id(id): Id<i64>,
) -> Result<(StatusCode, Json<Backfill>), Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    let resumed = office.resume_backfill(id).await?;
    carry(&visit.house, id);
    Ok((StatusCode::ACCEPTED, Json(resumed)))
}

/// Carries a backfill on, until it ends or rowhook does. Two that carry the same one take turns.
fn carry(house: &Arc<House>, id: i64) {
    let house = Arc::clone(house);
    tokio::spawn(async move {
        let carried = async {
            let mut office = house.own_office().await?;
            anyhow::Ok(office.carry_backfill(id, &mut |_| {}).await?)
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
