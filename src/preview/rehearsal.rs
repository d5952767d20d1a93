//! A change that did not happen, as the stream would bring it. It is made up from a row that a person gives, or from
//! one of the table.

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

/// Makes a row from a JSON object. Columns that it does not name are null. Postgres parses the values and prints them
/// as the stream would, with the
/// settings that every session has.
///
/// # Errors
/// When `json` is not an object, names a column that does not exist, or has a value that does not fit its column.
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

/// Reads the row with this primary key. `key` is its value, or a JSON object if the primary key has several columns.
///
/// # Errors
/// When there is no such row, the table has no primary key, or the value does not fit it.
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
            let hint = || {
                format!(
                    "the primary key of {table} has several columns; write --key '{{{}}}'",
                    names.join(", ")
                )
            };
            let object: serde_json::Map<String, Json> =
                serde_json::from_str(key).with_context(hint)?;
            let part = |column| -> Result<_> {
                let column: &&Column = column;
                let value = object.get(&column.name).with_context(hint)?;
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
        .zip(&relation.key_equals)
        .map(|((column, text), equals)| {
            let (name, text) = (quote::name(&column.name), quote::text(text));
            format!("r.{name} {equals} {text}")
        })
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

/// Reads any row of the table.
///
/// # Errors
/// When the table is empty.
pub async fn any_row(client: &Client, relation: &Relation) -> Result<Tuple> {
    let table = relation.table();
    let from = format!("{} as r limit 1", quote::table(&table));
    let row = read(client, relation, &from)
        .await
        .with_context(|| format!("look for a row of {table}"))?;
    row.with_context(|| format!("{table} has no row to take as a sample; give one with --row"))
}

/// Reads the first row of `select … from {from}`, in which `from` names the row `r`.
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

/// The change that `action` makes of a row, committed now. `before` is the row before an update. The change has as much
/// of the old row as the table's replica identity puts into the stream.
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
                match old_row(&relation, before) {
                    Old::Key(_) if same => Old::SameKey,
                    old => old,
                }
            }),
            new: row,
        },
        Action::Truncated => RowChange::Truncate,
        Action::Deleted => RowChange::Delete {
            old: old_row(&relation, row),
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

/// The part of an old row that the stream has.
fn old_row(relation: &Relation, row: Tuple) -> Old {
    if relation.identity == ReplicaIdentity::Full {
        return Old::Full(row);
    }
    let known = |(column, value): (&Column, Value)| match column.identity_key {
        true => value,
        false => Value::Null,
    };
    Old::Key(relation.columns.iter().zip(row).map(known).collect())
}
