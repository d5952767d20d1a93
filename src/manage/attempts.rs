//! What has happened since: the attempts that history has noted.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Error, Office, Result, Who};
use crate::postgres::time::timestamp;

/// An attempt, in a line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct News {
    /// Higher than that of everything that was noted before.
    pub id: i64,
    /// When it was begun.
    pub at: String,
    /// The hook.
    pub hook: String,
    /// The event's name.
    pub event: String,
    /// The `webhook-id`.
    pub delivery: String,
    /// Which attempt of the delivery, from 1.
    pub attempt: i32,
    /// Was it accepted?
    pub delivered: bool,
    /// The status, or why there was none.
    pub answer: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

impl Office {
    /// The number of the newest attempt; 0 where there is none.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn newest_attempt(&self) -> Result<i64> {
        let sql = "select coalesce(max(id), 0) from attempt";
        let row = self.client.query_one(sql, &[]).await;
        let row = row.map_err(|error| Error::of_postgres("read the history", error))?;
        row.try_get(0)
            .map_err(|error| Error::of_postgres("read the history", error))
    }

    /// The attempts after number `after` that `who` may see, oldest first, 500 at most.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn news(&self, who: &Who, hook: Option<&str>, after: i64) -> Result<Vec<News>> {
        let sql = self.known(include_str!("../../sql/manage/news.sql"));
        let rows = self
            .client
            .query(&sql, &[&self.hooks_of_file(), &who.owner(), &hook, &after])
            .await
            .map_err(|error| Error::of_postgres("read the history", error))?;
        let news = rows.iter().map(|row| {
            Ok(News {
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
            .map_err(|error| Error::of_postgres("read the history", error))
    }
}
