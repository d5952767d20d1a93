//! `/api/backfills`: sending the rows that a table already has to a hook. For the operator only.

use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::parse_time;
use crate::manage::{
    PageRequest,
    backfill::{Backfill, BackfillQuery, BackfillState, NewBackfill, table_of},
};
use crate::server::{
    access::Caller,
    backfills,
    problem::Problem,
    request::{Json, Path, Query},
};

/// How many are listed.
const MOST: u32 = 100;

/// Which backfills to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BackfillFilter {
    /// Those in this state.
    #[param(inline)]
    state: Option<BackfillState>,
    /// Those of this event.
    event: Option<String>,
    /// Those of the rows of this table: `[schema.]table`.
    table: Option<String>,
    /// Those for this hook.
    hook: Option<String>,
    /// Those for the hooks that this owner has now.
    owner: Option<String>,
    /// Those begun at this time or later: a time in UTC, or how long ago, such as 2h.
    #[param(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
    /// Those begun before this time.
    #[param(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
}

/// List backfills, the newest first.
///
/// There are 100 at most; `until` with the `created_at` of the last one lists earlier ones.
#[utoipa::path(get, path = "/api/backfills", tag = "backfills", operation_id = "listBackfills", params(BackfillFilter),
    responses((status = 200, body = [Backfill])))]
pub(super) async fn list(
    caller: Caller,
    Query(filter): Query<BackfillFilter>,
) -> Result<Json<Vec<Backfill>>, Problem> {
    let query = BackfillQuery {
        state: filter.state,
        event: filter.event,
        table: filter.table.as_deref().map(table_of).transpose()?,
        hook: filter.hook,
        owner: filter.owner,
        since: parse_time("since", filter.since.as_deref())?,
        until: parse_time("until", filter.until.as_deref())?,
    };
    let page = PageRequest {
        cursor: None,
        limit: Some(MOST),
    };
    let admin = caller.admin().await?;
    Ok(Json(admin.backfills(&query, &page).await?.data))
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
