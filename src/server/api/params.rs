//! Query parameters that several operations share.

use std::time::SystemTime;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    manage::{PageRequest, moment},
    server::problem::Problem,
};

/// Which page of a list to return.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Pagination {
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most entries to return; 50 if left out. A page has a MiB at most, so large entries make it shorter.
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

/// Parses a time as in RFC 3339, or an age such as `2h`; `name` is the parameter that a mistake is reported for.
pub(super) fn parse_time(name: &str, text: Option<&str>) -> Result<Option<SystemTime>, Problem> {
    let time = text.map(|text| moment::parse(text, SystemTime::now()));
    time.transpose().map_err(|_| {
        Problem::bad_request(format!(
            "{name} is no time; write it in UTC, as in 2026-01-31T12:00:00Z, or how long ago it was, as in 2h"
        ))
    })
}
