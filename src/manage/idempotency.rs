//! Requests that are made twice and done once: who repeats a request with the same key gets the same answer.

use anyhow::Context;

use super::{Office, Result};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// It is new, and now theirs: do it, then say how it went.
    New,
    /// It was done; this was the answer.
    Done {
        /// Its status.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// It is being done.
    Doing,
    /// The key was used for another request.
    Other,
}

impl Office {
    /// Takes a key for a request, which is told from others by its fingerprint.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn begin_once(&self, caller: &str, key: &str, fingerprint: &[u8]) -> Result<Once> {
        let sql = include_str!("../../sql/manage/once_begin.sql");
        let taken = self
            .client
            .query_opt(sql, &[&caller, &key, &fingerprint])
            .await;
        if taken.context("take a key")?.is_some() {
            return Ok(Once::New);
        }
        let sql =
            "select fingerprint, status, body from idempotency where caller = $1 and key = $2";
        let row = self.client.query_one(sql, &[&caller, &key]).await;
        let row = row.context("look a key up")?;
        let read = || -> std::result::Result<Once, tokio_postgres::Error> {
            if row.try_get::<_, &[u8]>("fingerprint")? != fingerprint {
                return Ok(Once::Other);
            }
            let status: Option<i32> = row.try_get("status")?;
            let body: Option<Vec<u8>> = row.try_get("body")?;
            Ok(match status.zip(body) {
                Some((status, body)) => Once::Done {
                    status: u16::try_from(status).unwrap_or(500),
                    body,
                },
                None => Once::Doing,
            })
        };
        Ok(read().context("look a key up")?)
    }

    /// Notes the answer to a request; `None`: nothing was done, and the key is free again.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn end_once(
        &self,
        caller: &str,
        key: &str,
        answer: Option<(u16, &[u8])>,
    ) -> Result<()> {
        let done = match answer {
            Some((status, body)) => {
                let sql =
                    "update idempotency set status = $3, body = $4 where caller = $1 and key = $2";
                let status = i32::from(status);
                self.client
                    .execute(sql, &[&caller, &key, &status, &body])
                    .await
            }
            None => {
                let sql = "delete from idempotency where caller = $1 and key = $2";
                self.client.execute(sql, &[&caller, &key]).await
            }
        };
        done.context("note an answer")?;
        Ok(())
    }
}
