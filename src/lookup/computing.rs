//! The session in which code of the database's users runs: it cannot write, and it cannot take long.

use std::{collections::HashMap, ops::Range};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Error, Statement};

use crate::postgres::address::Address;

/// The time-out of one query, in milliseconds.
const TIMEOUT: u32 = 5000;
/// The most bytes of values that are sent in one query, unless a single row has more.
const MOST_BYTES: usize = 4 << 20;
/// The most statements that are kept prepared.
const KEPT_AT_MOST: usize = 256;

/// Computes values. Connects when the first one is wanted, and again after the connection broke.
pub struct Computing {
    address: Address,
    session: Option<Session>,
}

/// An open session.
pub(super) struct Session {
    pub(super) client: Client,
    /// Prepared statements by their SQL.
    prepared: HashMap<String, Statement>,
}

impl Computing {
    /// Computes in a session of its own at `address`.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            session: None,
        }
    }

    /// The session.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) async fn session(&mut self) -> Result<&mut Session> {
        let session = match self.session.take().filter(|s| !s.client.is_closed()) {
            Some(session) => session,
            None => Session::open(&self.address).await?,
        };
        Ok(self.session.insert(session))
    }
}

impl Session {
    async fn open(address: &Address) -> Result<Self> {
        let client = address.connect("rowhook generated").await?;
        let settings =
            format!("set default_transaction_read_only = on; set statement_timeout = {TIMEOUT}");
        let prepared = client.batch_execute(&settings).await;
        prepared.context("prepare the session that computes values")?;
        Ok(Self {
            client,
            prepared: HashMap::new(),
        })
    }

    /// The statement of a query, which is prepared the first time.
    ///
    /// # Errors
    /// When it cannot be prepared.
    pub(super) async fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        if self.prepared.len() >= KEPT_AT_MOST {
            self.prepared.clear();
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Divides rows, of which these are the sizes in bytes, so that each portion has at most `MOST_BYTES`, or one row.
pub(super) fn portions(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, size) in sizes.iter().enumerate() {
        if at > start && bytes + size > MOST_BYTES {
            portions.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        portions.push(start..sizes.len());
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sent_in_portions_of_a_few_megabytes() {
        let large = MOST_BYTES / 2 + 1;
        assert!(portions(&[]).is_empty());
        let one = portions(&[1, 1]);
        assert_eq!(one.first(), Some(&(0..2)));
        assert_eq!(one.len(), 1);
        assert_eq!(portions(&[1, large, large, 1]), [0..2, 2..4]);
    }
}
