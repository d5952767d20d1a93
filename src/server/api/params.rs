//! What stands in the query of several operations.

use std::time::SystemTime;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::{manage::PageRequest, server::problem::Problem};

/// Which pagination of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Pagination {
    /// Where to begin: `next` of the page before.
    cursor: Option<String>,
    /// So many at most; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl Pagination {
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        if self.limit.is_some_and(|limit| !(1..=200).contains(&limit)) {
            return Err(Problem::bad_request("limit is not from 1 to 200"));
        }
        Ok(PageRequest {
            cursor: self.cursor.clone(),
            limit: self.limit,
        })
    }
}

/// A time as RFC 3339 has it.
pub(super) fn parse_time(name: &str, text: Option<&str>) -> Result<Option<SystemTime>, Problem> {
    text.map(|text| {
        humantime::parse_rfc3339_weak(text).map_err(|_| {
            Problem::bad_request(format!(
                "{name} is no time; write it in UTC, as in 2026-01-31T12:00:00Z"
            ))
        })
    })
    .transpose()
}
