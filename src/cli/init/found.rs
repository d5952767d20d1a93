//! The tables of a database.

use anyhow::{Context, Result};

use crate::postgres::{TableName, address::Address};

/// A table that was found in the database.
pub(super) struct Found {
    pub(super) table: TableName,
    /// It has a replica identity, so updates and deletes can be published.
    pub(super) identified: bool,
    /// It has a column `user_id`, which says whose its rows are.
    pub(super) has_user_id: bool,
}

/// Lists the tables of the database at `url`.
pub(super) async fn find(url: &str) -> Result<Vec<Found>> {
    let address = Address::parse(url).context("the database's URL")?;
    let client = address.connect("rowhook init").await?;
    let rows = client
        .query(include_str!("../../../sql/catalog/user_tables.sql"), &[])
        .await;
    let mut found = Vec::new();
    for row in rows.context("list the tables")? {
        found.push(Found {
            table: TableName {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
            },
            identified: row.try_get("identified")?,
            has_user_id: row.try_get("has_user_id")?,
        });
    }
    Ok(found)
}
