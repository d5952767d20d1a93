//! Lists come in pages. A cursor says where the next one begins, and means nothing to whoever carries it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Error, Result};

/// The most that a page holds.
const MOST: u32 = 200;
const DEFAULT: u32 = 50;

/// Which page is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Where it begins, as an earlier page has said; `None`: at the beginning.
    pub cursor: Option<String>,
    /// So many at most; default 50, and never more than 200.
    pub limit: Option<u32>,
}

/// A part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is in it.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

impl PageRequest {
    /// All that a page can hold.
    pub fn largest() -> Self {
        Self {
            cursor: None,
            limit: Some(MOST),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT).clamp(1, MOST) as usize
    }

    /// What the cursor says.
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
    /// A page of at most `limit` of what was found; one more than that says that there is another page, which begins after
    /// what `position` says of the last of this one.
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
