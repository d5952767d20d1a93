//! Lists are read in pages. A cursor says where the next page begins, and is opaque to clients.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{TryStreamExt, pin_mut};
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::{Client, Row, types::ToSql};
use utoipa::ToSchema;

use super::{Error, Result};

/// The largest page, and the one without a limit, in entries.
const MAX_LIMIT: u32 = 200;
const DEFAULT_LIMIT: u32 = 50;
/// The most bytes of a page, as Postgres sends them, but for a single larger entry.
const MAX_BYTES: usize = 1 << 20;

/// Which page of a list to read.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Where it begins: `next` of the page before, or `None` for the first page.
    pub cursor: Option<String>,
    /// The most entries to return: 50 by default, and never more than 200. Where entries are large, there are fewer.
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

/// The entries of a page, and whether there are more.
pub(super) struct Found<T> {
    pub(super) entries: Vec<T>,
    more: bool,
}

impl<T> Found<T> {
    /// Nothing.
    pub(super) fn none() -> Self {
        Self {
            entries: Vec::new(),
            more: false,
        }
    }

    /// Reads the entries of a page: up to `limit`, and fewer where they are large. The query returns one more, if there
    /// is one; `action` says in an error what it does.
    pub(super) async fn read(
        client: &Client,
        action: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        limit: usize,
        read: impl Fn(&Row) -> anyhow::Result<T>,
    ) -> Result<Self> {
        let failed = |error| Error::from_postgres(action, error);
        // Row by row, so that those beyond the page are never in memory.
        let rows = client.query_raw(sql, parameters.iter().copied()).await;
        let rows = rows.map_err(failed)?;
        pin_mut!(rows);
        let mut size = PageSize::new(limit);
        let mut found = Self::none();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            if !size.admit(row.raw_size_bytes()) {
                found.more = true;
                break;
            }
            found.entries.push(read(&row)?);
        }
        Ok(found)
    }
}

/// How much is on a page.
struct PageSize {
    limit: usize,
    entries: usize,
    bytes: usize,
}

impl PageSize {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: 0,
            bytes: 0,
        }
    }

    /// Counts an entry, if there is room for it. The first one always has its place.
    fn admit(&mut self, bytes: usize) -> bool {
        let fits = self.entries == 0
            || self.entries < self.limit && self.bytes.saturating_add(bytes) <= MAX_BYTES;
        if fits {
            self.entries += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        fits
    }
}

impl<T> Page<T> {
    /// Where this is the last page, and something is left to be looked at: the next one begins at this position.
    pub(super) fn goes_on_at<P: Serialize>(&mut self, position: Option<&P>) {
        let position = position.filter(|_| self.next.is_none());
        self.next = position.map(cursor).or_else(|| self.next.take());
    }

    /// Makes a page of what was found. If there is more, the cursor of the next page holds the `position` of this
    /// page's last entry.
    pub(super) fn of<P: Serialize>(found: Found<T>, position: impl Fn(&T) -> P) -> Self {
        let Found { entries, more } = found;
        let last = entries.last().filter(|_| more);
        let next = last.map(|last| cursor(&position(last)));
        Self {
            data: entries,
            next,
        }
    }
}

fn cursor(position: &impl Serialize) -> String {
    let json = serde_json::to_vec(position).unwrap_or_default();
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let found = |entries, more| Found { entries, more };
        let page = Page::of(found(vec![1, 2], true), |last| *last);
        assert_eq!(page.data, [1, 2]);
        let next = PageRequest {
            cursor: page.next,
            limit: None,
        };
        assert_eq!(next.position::<i32>().unwrap(), Some(2));
        assert_eq!(Page::of(found(vec![1, 2], false), |last| *last).next, None);
    }

    #[test]
    fn a_page_that_is_not_full_goes_on_where_it_has_looked_to() {
        let page = |entries, more| Page::of(Found { entries, more }, |last| *last);
        for (entries, more, horizon, next) in [
            (vec![3, 2], true, Some(1), Some(2)),
            (vec![3, 2], false, Some(1), Some(1)),
            (vec![], false, Some(1), Some(1)),
            (vec![3, 2], false, None, None),
        ] {
            let mut page = page(entries, more);
            page.goes_on_at(horizon.as_ref());
            assert_eq!(page.next, next.map(|next: i32| cursor(&next)));
        }
    }

    #[test]
    fn a_page_has_room_for_so_many_entries_and_bytes_and_always_for_one() {
        let admitted = |limit, sizes: &[usize]| {
            let mut size = PageSize::new(limit);
            sizes.iter().take_while(|bytes| size.admit(**bytes)).count()
        };
        for (limit, sizes, expected) in [
            (2, vec![1, 1, 1], 2),
            (200, vec![MAX_BYTES / 4; 9], 4),
            (200, vec![MAX_BYTES, 1], 1),
            (200, vec![usize::MAX, 1], 1),
            (200, vec![1, usize::MAX], 1),
        ] {
            assert_eq!(admitted(limit, &sizes), expected, "{limit} {sizes:?}");
        }
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
