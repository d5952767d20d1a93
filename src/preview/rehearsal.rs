//! A change that did not happen, made of a row that a person gives or that is in the table, as the stream would bring it.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value as Json;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{
    change::{Change, RowChange, Transaction},
    config::Action,
    nearest::nearest,
    postgres::{
        Lsn,
        pgoutput::ReplicaIdentity,
        quote,
        relation::{Column, Relation},
        tuple::{Old, Tuple, Value},
    },
};

/// The row that a JSON object says, its values printed by Postgres; a column that it does not name is null. The session has
/// the settings of [`types::pin_settings`](crate::postgres::types::pin_settings).
///
/// # Errors
/// When it is no object, names a column that there is not, or a value does not fit its column.
pub async fn row_of_json(client: &Client, relation: &Relation, json: &str) -> Result<Tuple> {
    let row: Json = serde_json::from_str(json).with_context(|| format!("{json:?} is not JSON"))?;
    let Json::Object(fields) = &row else {
        bail!("{json:?} is not a JSON object; write one such as {{\"id\": 1}}");
    };
    let columns = || relation.columns.iter().map(|column| column.name.as_str());
    for name in fields.keys() {
        ensure!(
            relation.column(name).is_some(),
            "{} has no column {name:?}; {}",
            relation.table(),
            match nearest(name, columns()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it has {}", columns().collect::<Vec<_>>().join(", ")),
            }
        );
    }
    let table = quote::table(&relation.table());
    let from = format!(
        "jsonb_populate_record(null::{table}, {}::jsonb) as r",
        quote::text(json)
    );
    let row = read(client, relation, &from)
        .await
        .with_context(|| format!("make a row of {} of {json}", relation.table()))?;
    row.context("Postgres made no row of it")
}

/// The row with this key: the value of a primary key of one column, else a JSON object with those of all of them.
///
/// # Errors
/// When there is no such row, no primary key, or the value does not fit it.
pub async fn row_of_key(client: &Client, relation: &Relation, key: &str) -> Result<Tuple> {
    let columns: Vec<&Column> = relation
        .primary_key
        .iter()
        .filter_map(|at| relation.columns.get(*at))
        .collect();
    let table = relation.table();
    let parts = match &columns[..] {
        [] => bail!("{table} has no primary key; give the row with --row"),
        [column] => vec![(column, key.to_owned())],
        _ => {
            let names: Vec<String> = columns
                .iter()
                .map(|column| format!("{:?}: …", column.name))
                .collect();
            let mend = || {
                format!(
                    "the primary key of {table} has several columns; write --key '{{{}}}'",
                    names.join(", ")
                )
            };
            let object: serde_json::Map<String, Json> =
                serde_json::from_str(key).with_context(mend)?;
            let part = |column| -> Result<_> {
                let column: &&Column = column;
                let value = object.get(&column.name).with_context(mend)?;
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                Ok((column, text))
            };
            columns.iter().map(part).collect::<Result<_>>()?
        }
    };
    let conditions: Vec<String> = parts
        .iter()
        .map(|(column, text)| format!("r.{} = {}", quote::name(&column.name), quote::text(text)))
        .collect();
    let from = format!(
        "{} as r where {}",
        quote::table(&table),
        conditions.join(" and ")
    );
    let row = read(client, relation, &from)
        .await
        .with_context(|| format!("look for the key {key:?} in {table}"))?;
    row.with_context(|| format!("{table} has no row with the key {key:?}"))
}

/// Any row of the table.
///
/// # Errors
/// When it has none.
pub async fn any_row(client: &Client, relation: &Relation) -> Result<Tuple> {
    let table = relation.table();
    let from = format!("{} as r limit 1", quote::table(&table));
    let row = read(client, relation, &from)
        .await
        .with_context(|| format!("look for a row of {table}"))?;
    row.with_context(|| format!("{table} has no row to take as a sample; give one with --row"))
}

async fn read(client: &Client, relation: &Relation, from: &str) -> Result<Option<Tuple>> {
    let columns: Vec<String> = relation
        .columns
        .iter()
        .map(|column| format!("r.{}", quote::name(&column.name)))
        .collect();
    let sql = format!("select {} from {from}", columns.join(", "));
    let messages = client.simple_query(&sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let Some(row) = row else { return Ok(None) };
    let value = |at| match row.get(at) {
        Some(text) => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
        None => Value::Null,
    };
    Ok(Some((0..columns.len()).map(value).collect()))
}

/// The change that `action` would be on a row, committed now, with as much of the old row as the table's replica identity
/// lets the stream tell.
pub fn change(
    relation: Arc<Relation>,
    action: &Action,
    row: Tuple,
    before: Option<Tuple>,
) -> Change {
    let row = match action {
        Action::Created => RowChange::Insert { new: row },
        Action::Named(action) => RowChange::Fired {
            action: action.as_str().into(),
            new: row,
        },
        Action::Updated => RowChange::Update {
            old: before.map_or(Old::SameKey, |before| {
                let same = relation
                    .key
                    .iter()
                    .all(|at| before.get(*at) == row.get(*at));
                match told(&relation, before) {
                    Old::Key(_) if same => Old::SameKey,
                    old => old,
                }
            }),
            new: row,
        },
        Action::Deleted => RowChange::Delete {
            old: told(&relation, row),
        },
    };
    Change {
        relation,
        row,
        transaction: Arc::new(Transaction {
            commit_lsn: Lsn::ZERO,
            commit_time: SystemTime::now(),
            xid: 0,
        }),
    }
}

/// An old row, as far as the stream tells of it.
fn told(relation: &Relation, row: Tuple) -> Old {
    if relation.identity == ReplicaIdentity::Full {
        return Old::Full(row);
    }
    let known = |(column, value): (&Column, Value)| match column.identity_key {
        true => value,
        false => Value::Null,
    };
    Old::Key(relation.columns.iter().zip(row).map(known).collect())
}
