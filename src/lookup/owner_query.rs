//! How a step of an owner path is looked up in its table.

use std::sync::Arc;

use tokio_postgres::{Client, Error, Row};

use crate::{
    config::OwnerStep,
    lookup::halves::Refusal,
    postgres::{equality::Equality, fault::Fault, quote, relation::Relation},
};

/// How a step finds a row of its table: the primary key, and the query.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    /// The table that the query is for.
    pub(super) oid: u32,
    pub(super) key: String,
    /// Keys are kept by the texts that are canonical in this.
    pub(super) key_equality: Equality,
    pub(super) value_equality: Equality,
    sql: String,
}

/// A row that a query has found.
pub(super) struct Found {
    pub(super) key: Arc<str>,
    /// The value of the step's column.
    pub(super) value: Option<Arc<str>>,
    /// The transaction that wrote the row; `None` where the table does not say.
    pub(super) xmin: Option<u32>,
}

impl Lookup {
    /// One that asks nothing.
    #[cfg(test)]
    pub(super) fn of(oid: u32, key: &str, equality: Equality) -> Self {
        Self {
            oid,
            key: key.to_owned(),
            key_equality: equality,
            value_equality: equality,
            sql: String::new(),
        }
    }

    /// The query for a step, from the catalog as it is now. The inner error says why there is none.
    pub(super) async fn prepare(
        client: &Client,
        step: &OwnerStep,
        is_published: bool,
    ) -> Result<Result<Self, Refusal>, Error> {
        let relation = match Relation::find(client, &step.table).await {
            Ok(relation) => relation,
            Err(error) => return Ok(Err(Refusal::of(error)?)),
        };
        let refused = |fault: Fault, reason: String| Ok(Err(Refusal { fault, reason }));
        let Some(relation) = relation else {
            return refused(Fault::Renamed, format!("{} is not there", step.table));
        };
        let column = |at: usize| relation.columns.get(at);
        let key = match &relation.primary_key[..] {
            [key] => column(*key),
            _ => None,
        };
        let Some(key) = key else {
            let reason = format!("the primary key of {} is not one column", step.table);
            return refused(Fault::ForGood, reason);
        };
        let Some(value) = relation.column(&step.column).and_then(column) else {
            let reason = format!("{} has no column {:?}", step.table, step.column);
            return refused(Fault::Renamed, reason);
        };
        let (quoted, wanted) = (quote::name(&key.name), quote::name(&value.name));
        let equals = relation.key_equals.first().map_or("=", String::as_str);
        // A view has none, and cannot be published.
        let xmin = if is_published {
            "xmin::text"
        } else {
            "null::text"
        };
        // `format` writes values as the stream does. `::text` does not: it cuts character(n), and writes true for t.
        let sql = format!(
            "select pg_catalog.format('%s', {quoted}), \
             case when {wanted} is not null then pg_catalog.format('%s', {wanted}) end, {xmin} \
             from {} where {quoted} {equals} any($1::text[]::{}[])",
            quote::table(&step.table),
            key.sql_type,
        );
        Ok(Ok(Self {
            oid: relation.oid,
            key_equality: Equality::of(key),
            value_equality: Equality::of(value),
            key: key.name.clone(),
            sql,
        }))
    }

    /// The value of the step's column for each of these keys that there is a row of.
    pub(super) async fn values(
        &self,
        client: &Client,
        keys: &[Arc<str>],
    ) -> Result<Vec<Found>, Error> {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let rows = client.query(&self.sql, &[&keys]).await?;
        let found = |row: &Row| {
            let (value, xmin): (Option<&str>, Option<&str>) = (row.try_get(1)?, row.try_get(2)?);
            Ok(Found {
                key: Arc::from(row.try_get::<_, &str>(0)?),
                value: value.map(Arc::from),
                xmin: xmin.and_then(|xid| xid.parse().ok()),
            })
        };
        rows.iter().map(found).collect()
    }
}
