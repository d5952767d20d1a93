//! Lists are read in pages. A cursor says where the next page begins, and is opaque to clients.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Error, Result};

/// The largest page, and the one without a limit, in entries.
const MAX_LIMIT: u32 = 200;
const DEFAULT_LIMIT: u32 = 50;

/// Which page of a list to read.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Where it begins: `next` of the page before, or `None` for the first page.
    pub cursor: Option<String>,
    /// The most entries to return: 50 by default, and never more than 200.
    pub limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl PageRequest {
    /// The first page, as large as a page can be.
    pub fn largest() -> Self {
        Self {
            cursor: None,
            limit: Some(MAX_LIMIT),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT) as usize
    }

    /// The position that the cursor holds; `None` at the beginning of the list.
    pub(super) fn position<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
        let position = json.and_then(|json| serde_json::from_slice(&json).ok());
        position.map(Some).ok_or_else(|| {
            Error::Invalid("the cursor is none that a list has given; leave it out".into())
        })
    }
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` entries. If more than that were found, there is another page, and its cursor
    /// holds the `position` of this page's last entry.
    pub(super) fn of<P: Serialize>(
        mut found: Vec<T>,
        limit: usize,
        position: impl Fn(&T) -> P,
    ) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| {
            let json = serde_json::to_vec(&position(last)).unwrap_or_default();
            BASE64_URL_SAFE_NO_PAD.encode(json)
        });
        Self { data: found, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let page = Page::of(vec![1, 2, 3], 2, |last| *last);
        assert_eq!(page.data, [1, 2]);
        let next = PageRequest {
            cursor: page.next,
            limit: None,
        };
        assert_eq!(next.position::<i32>().unwrap(), Some(2));
        assert_eq!(Page::of(vec![1, 2], 2, |last| *last).next, None);
    }

    #[test]
    fn a_cursor_of_somebody_else_is_refused() {
        for cursor in ["", "x", "bm8"] {
            let request = PageRequest {
                cursor: Some(cursor.into()),
                limit: None,
            };
            assert!(matches!(request.position::<i32>(), Err(Error::Invalid(_))));
        }
    }
}
