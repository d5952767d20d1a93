//! The tables of a database, and how they refer to each other.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio_postgres::{Client, Row};

use crate::{
    postgres::{TableName, address::Address},
    setup::migration::SCHEMA_COMMENT,
};

/// A table that was found in the database.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) table: TableName,
    /// A framework keeps its own records in it.
    pub(super) of_framework: bool,
    /// It has a replica identity, so updates and deletes can be published.
    pub(super) identified: bool,
    /// The role may read it, and so look up owners in it.
    pub(super) readable: bool,
    pub(super) columns: Vec<String>,
    pub(super) primary_key: Vec<String>,
    /// The columns that refer to the key of another table.
    pub(super) references: Vec<Reference>,
}

/// A foreign key of one column to a primary key of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) column: String,
    /// It is never null.
    pub(super) required: bool,
    pub(super) to: TableName,
}

impl Found {
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

/// Lists the tables of the database at `url`, those of frameworks too.
pub(super) async fn find(url: &str) -> Result<Vec<Found>> {
    let address = Address::parse(url).context("the database's URL")?;
    let client = address.connect("rowhook init").await?;
    let mut references = references(&client).await.context("list the foreign keys")?;
    let sql = include_str!("../../../sql/catalog/user_tables.sql");
    let rows = client.query(sql, &[&SCHEMA_COMMENT]).await;
    let mut found = Vec::new();
    for row in rows.context("list the tables")? {
        let table = table_name(&row, "schema", "name")?;
        found.push(Found {
            of_framework: row.try_get("of_framework")?,
            identified: row.try_get("identified")?,
            readable: row.try_get("readable")?,
            columns: row.try_get("columns")?,
            primary_key: row.try_get("primary_key")?,
            references: references.remove(&table).unwrap_or_default(),
            table,
        });
    }
    Ok(found)
}

async fn references(
    client: &Client,
) -> Result<BTreeMap<TableName, Vec<Reference>>, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/catalog/references.sql");
    let mut references: BTreeMap<TableName, Vec<Reference>> = BTreeMap::new();
    for row in client.query(sql, &[]).await? {
        let reference = Reference {
            column: row.try_get("column")?,
            required: row.try_get("required")?,
            to: table_name(&row, "to_schema", "to_name")?,
        };
        let of_table = references.entry(table_name(&row, "schema", "name")?);
        let of_table = of_table.or_default();
        // Two constraints can say the same.
        if !of_table.contains(&reference) {
            of_table.push(reference);
        }
    }
    Ok(references)
}

fn table_name(row: &Row, schema: &str, name: &str) -> Result<TableName, tokio_postgres::Error> {
    Ok(TableName {
        schema: row.try_get(schema)?,
        name: row.try_get(name)?,
    })
}
