//! How a partitioned table is divided, as the catalog says and as it can be noted.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error};

/// What decides the partition of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Division {
    /// The names of the columns, on all levels.
    pub columns: Vec<String>,
    /// Their types, in the same order.
    pub types: Vec<String>,
    /// Whether the conditions of the partitions run no code of users.
    pub is_plain: bool,
    /// Whether triggers can change rows of other tables between the two halves of a move.
    pub has_triggers: bool,
}

impl Division {
    /// Reads how a table is divided; `None` where it is not partitioned, or is not there any more.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn read(client: &Client, oid: u32) -> Result<Option<Self>, Error> {
        let sql = include_str!("../../sql/catalog/partitions.sql");
        let Some(row) = client.query_opt(sql, &[&oid]).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            columns: row.try_get("columns")?,
            types: row.try_get("types")?,
            is_plain: row.try_get("plain")?,
            has_triggers: row.try_get("has_triggers")?,
        }))
    }
}
