//! The attempts that history has noted, as a feed.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Admin, Error, Result};
use crate::postgres::time::timestamp;

/// An attempt, short enough for one line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttemptSummary {
    /// Its number in history. Later attempts have higher ones.
    pub id: i64,
    /// When it began.
    pub at: String,
    /// The hook's id.
    pub hook: String,
    /// The event's name.
    pub event: String,
    /// The delivery's `webhook-id`.
    pub delivery: String,
    /// The number of the attempt in its delivery, from 1.
    pub attempt: i32,
    /// Whether it was accepted.
    pub delivered: bool,
    /// The HTTP status, or why there was none.
    pub answer: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

impl Admin {
    /// The id of the newest attempt; 0 if there is none.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn newest_attempt_id(&self) -> Result<i64> {
        let sql = "select coalesce(max(id), 0) from attempt";
        let row = self.client.query_one(sql, &[]).await;
        let row = row.map_err(|error| Error::from_postgres("read the history", error))?;
        row.try_get(0)
            .map_err(|error| Error::from_postgres("read the history", error))
    }

    /// The attempts with ids after `after` that `actor` may see, oldest first and at most 500; `hook` limits them to
    /// one hook.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn attempts_after(
        &self,
        actor: &Actor,
        hook: Option<&str>,
        after: i64,
    ) -> Result<Vec<AttemptSummary>> {
        let sql = self.with_all_hooks(include_str!("../../sql/manage/attempts_after.sql"));
        let rows = self
            .client
            .query(&sql, &[&self.file_hooks(), &actor.owner(), &hook, &after])
            .await
            .map_err(|error| Error::from_postgres("read the history", error))?;
        let news = rows.iter().map(|row| {
            Ok(AttemptSummary {
                id: row.try_get("id")?,
                at: timestamp(row.try_get("started_at")?),
                hook: row.try_get("hook")?,
                event: row.try_get("event")?,
                delivery: row.try_get("delivery")?,
                attempt: row.try_get("number")?,
                delivered: row.try_get("delivered")?,
                answer: row.try_get("answer")?,
                took_ms: row.try_get("took_ms")?,
            })
        });
        news.collect::<std::result::Result<_, tokio_postgres::Error>>()
            .map_err(|error| Error::from_postgres("read the history", error))
    }
}
