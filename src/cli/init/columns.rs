//! The columns of one table.

use anyhow::{Context, Result};

use crate::postgres::{TableName, address::Address, relation::Relation};

/// The names of the columns of a table in the database at `url`; none if there is no such table.
pub(super) async fn columns(url: &str, table: &TableName) -> Result<Vec<String>> {
    let address = Address::parse(url).context("the database's URL")?;
    let client = address.connect("rowhook init").await?;
    let relation = Relation::find(&client, table).await;
    let relation = relation.with_context(|| format!("read the columns of {table}"))?;
    let columns = relation.into_iter().flat_map(|relation| relation.columns);
    Ok(columns.map(|column| column.name).collect())
}
