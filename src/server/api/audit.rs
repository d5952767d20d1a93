//! `/api/audit`: what was done to hooks, deliveries, tokens and settings.

use serde::Deserialize;
use utoipa::IntoParams;

use super::params::{Pagination, parse_time};
use crate::manage::{
    Page,
    audit::{AuditEntry, AuditQuery},
};
use crate::server::{
    access::Caller,
    problem::Problem,
    request::{Json, Query},
};

/// Which acts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditFilter {
    /// Those on this hook.
    hook: Option<String>,
    /// Those that concern this owner, or that they have done.
    owner: Option<String>,
    /// Those of this name: `hook.changed`, or `hook.*` for all that begin with `hook.`.
    what: Option<String>,
    /// Those of this time or later.
    #[param(example = "2026-01-31T12:00:00Z")]
    since: Option<String>,
    /// Those before this time.
    #[param(example = "2026-01-31T13:00:00Z")]
    until: Option<String>,
}

/// List what was done, newest first. Owners see what concerns them and what they have done, without the addresses and
/// tokens of others.
#[utoipa::path(get, path = "/api/audit", tag = "audit", operation_id = "listActs", params(AuditFilter, Pagination),
    responses((status = 200, body = Page<AuditEntry>)))]
pub(super) async fn list(
    caller: Caller,
    Query(filter): Query<AuditFilter>,
    Query(pagination): Query<Pagination>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let query = AuditQuery {
        since: parse_time("since", filter.since.as_deref())?,
        until: parse_time("until", filter.until.as_deref())?,
        hook: filter.hook,
        owner: filter.owner,
        what: filter.what,
    };
    let page = pagination.page()?;
    let admin = caller.admin().await?;
    Ok(Json(admin.audit(caller.actor(), &query, &page).await?))
}
