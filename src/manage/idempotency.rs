//! Idempotency keys: a request that is repeated with the same key is done once, and gets the same response.

use anyhow::Context;

use super::{Admin, Result};

/// What is known of a key when a request comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It was free, and is now claimed for this request. Do the request, then call [`Admin::finish_key`].
    Claimed,
    /// Its request was done, with this response.
    Completed {
        /// Its status.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// Its request is being done.
    InProgress,
    /// The key was used for another request.
    Mismatch,
}

impl Admin {
    /// Claims a key for a request. The fingerprint tells requests apart.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn claim_key(&self, caller: &str, key: &str, fingerprint: &[u8]) -> Result<KeyState> {
        let sql = include_str!("../../sql/manage/claim_key.sql");
        let taken = self
            .client
            .query_opt(sql, &[&caller, &key, &fingerprint])
            .await;
        if taken.context("take a key")?.is_some() {
            return Ok(KeyState::Claimed);
        }
        let sql =
            "select fingerprint, status, body from idempotency where caller = $1 and key = $2";
        let row = self.client.query_one(sql, &[&caller, &key]).await;
        let row = row.context("look a key up")?;
        let read = || -> std::result::Result<KeyState, tokio_postgres::Error> {
            if row.try_get::<_, &[u8]>("fingerprint")? != fingerprint {
                return Ok(KeyState::Mismatch);
            }
            let status: Option<i32> = row.try_get("status")?;
            let body: Option<Vec<u8>> = row.try_get("body")?;
            Ok(match status.zip(body) {
                Some((status, body)) => KeyState::Completed {
                    status: u16::try_from(status).unwrap_or(500),
                    body,
                },
                None => KeyState::InProgress,
            })
        };
        Ok(read().context("look a key up")?)
    }

    /// Notes the response to a request, for repetitions of it. `None` frees the key, because nothing was done.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn finish_key(
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
