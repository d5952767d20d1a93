//! A table with the columns it had when a change was made.
//!
//! Beside the columns of the stream it has those that the stream leaves out: stored generated ones. They stand last, and
//! rows of the stream are padded for them with [`Value::Unchanged`], so that they are treated as any value left out is.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error};

use super::{
    json,
    pgoutput::{ColumnMessage, RelationMessage, ReplicaIdentity},
    types::{self, Type},
};
use crate::{
    change::{Tuple, Value},
    config::{Columns, TableName},
};

/// A table as a Relation message describes it, with what the catalog adds.
#[derive(Debug)]
pub struct Relation {
    /// The table's oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What is known of its old rows.
    pub identity: ReplicaIdentity,
    /// The columns of the stream, in its order, and then those that it leaves out.
    pub columns: Vec<Column>,
    /// The places of the primary key's columns, in the key's order; empty where there is none.
    pub primary_key: Vec<usize>,
    /// The places of the columns that tell a row from the others and are in each of its images: those of the replica
    /// identity, or of the primary key where that is FULL; the whole row where there is none. Empty where nothing does.
    pub key: Vec<usize>,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub ty: Arc<Type>,
    /// Its type's oid.
    pub type_oid: u32,
    /// Part of the replica identity.
    pub identity_key: bool,
    /// It may be null, as far as is known.
    pub nullable: bool,
    /// Computed from others, and not in the stream.
    pub generated: bool,
    /// A value may be so large that an update which does not touch it leaves it out.
    pub large: bool,
    /// A foreign key of this column alone.
    pub points: bool,
}

impl Relation {
    /// Completes what the stream says of a table with what the catalog says now. A table that is gone by now is what the
    /// stream says.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn describe(client: &Client, message: RelationMessage) -> Result<Self, Error> {
        struct Known {
            name: String,
            type_oid: u32,
            generated: bool,
            not_null: bool,
            large: bool,
            points: bool,
            key_place: Option<i32>,
        }
        let rows = client
            .query(
                include_str!("../../sql/catalog/relation.sql"),
                &[&message.oid],
            )
            .await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            known.push(Known {
                name: row.try_get("name")?,
                type_oid: row.try_get("type_oid")?,
                generated: row.try_get("generated")?,
                not_null: row.try_get("not_null")?,
                large: row.try_get("large")?,
                points: row.try_get("points")?,
                key_place: row.try_get("key_place")?,
            });
        }
        let streamed = message
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.type_oid, column.identity_key));
        let left_out = known.iter().filter(|column| column.generated);
        let left_out = left_out.filter(|column| {
            message
                .columns
                .iter()
                .all(|other| other.name != column.name)
        });
        let left_out = left_out.map(|column| (column.name.clone(), column.type_oid, false));
        let columns: Vec<_> = streamed.chain(left_out).collect();
        let types = types::load(client, columns.iter().map(|(_, oid, _)| *oid)).await?;
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|(name, type_oid, identity_key)| {
                let known = known.iter().find(|column| column.name == name);
                Column {
                    ty: types
                        .get(&type_oid)
                        .map_or_else(|| Arc::new(Type::Text), Arc::clone),
                    type_oid,
                    identity_key,
                    nullable: known.is_none_or(|column| !column.not_null),
                    generated: known.is_some_and(|column| column.generated),
                    large: known.is_none_or(|column| column.large),
                    points: known.is_some_and(|column| column.points),
                    name,
                }
            })
            .collect();
        known.sort_by_key(|column| column.key_place);
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        // All or none: a part of a key does not tell rows apart, and a column may have been renamed since.
        let primary_key = known.iter().filter(|column| column.key_place.is_some());
        let primary_key: Option<Vec<usize>> =
            primary_key.map(|column| place(&column.name)).collect();
        let primary_key = primary_key.unwrap_or_default();
        let flagged = (0..columns.len())
            .filter(|at| columns[*at].identity_key)
            .collect();
        let key = match message.identity {
            ReplicaIdentity::Default | ReplicaIdentity::Index => flagged,
            ReplicaIdentity::Full if primary_key.is_empty() => flagged,
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => primary_key.clone(),
        };
        Ok(Self {
            oid: message.oid,
            schema: message.schema,
            name: message.name,
            identity: message.identity,
            columns,
            primary_key,
            key,
        })
    }

    /// The table as the stream would describe it now; `None` where there is no such table.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn read(client: &Client, table: &TableName) -> Result<Option<Self>, Error> {
        let sql = include_str!("../../sql/catalog/streamed.sql");
        let rows = client.query(sql, &[&table.schema, &table.name]).await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let identity = match first.try_get::<_, i8>("relreplident")?.cast_unsigned() {
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        };
        let oid = first.try_get("oid")?;
        let mut columns = Vec::with_capacity(rows.len());
        for row in &rows {
            // A table without columns has one row, with nulls.
            let Some(name) = row.try_get("name")? else {
                continue;
            };
            columns.push(ColumnMessage {
                identity_key: row.try_get("identity_key")?,
                name,
                type_oid: row.try_get("type_oid")?,
                type_modifier: row.try_get("type_modifier")?,
            });
        }
        let message = RelationMessage {
            oid,
            schema: table.schema.clone(),
            name: table.name.clone(),
            identity,
            columns,
        };
        Self::describe(client, message).await.map(Some)
    }

    /// The table's name.
    pub fn table(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: self.name.clone(),
        }
    }

    /// The place of the column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Adds to a row of the stream what it lacks.
    pub fn pad(&self, tuple: &mut Tuple) {
        tuple.resize(self.columns.len(), Value::Unchanged);
    }

    /// Writes a row as a JSON object, in the order of the columns. Returns the names of shown columns that are not in it,
    /// because their values are not known.
    pub fn write_row(&self, tuple: &Tuple, show: &Columns, out: &mut Vec<u8>) -> Vec<String> {
        let shown = self
            .columns
            .iter()
            .zip(tuple)
            .filter(|(column, _)| show.show(&column.name));
        self.write_object(shown, out)
    }

    /// Writes the columns of [`key`](Self::key) as a JSON object.
    pub fn write_key(&self, tuple: &Tuple, out: &mut Vec<u8>) {
        let key = self.key.iter();
        let key = key.filter_map(|at| Some((self.columns.get(*at)?, tuple.get(*at)?)));
        self.write_object(key, out);
    }

    /// The lane of a row: the same for all changes of one row, and by chance only for those of another. `None` where
    /// nothing identifies rows.
    ///
    /// It is a function of the table's name and the key's text alone, and so the same in every process and version.
    pub fn lane(&self, tuple: &Tuple) -> Option<u64> {
        let mut hash = Sha256::new();
        let mut add = |kind: u8, bytes: &[u8]| {
            hash.update([kind]);
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        };
        add(b's', self.schema.as_bytes());
        add(b't', self.name.as_bytes());
        for value in self.key.iter().filter_map(|at| tuple.get(*at)) {
            match value {
                Value::Text(text) => add(b'v', text),
                Value::Null => add(b'n', b""),
                Value::Unchanged => add(b'u', b""),
            }
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        (!self.key.is_empty()).then(|| u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    fn write_object<'a>(
        &self,
        fields: impl Iterator<Item = (&'a Column, &'a Value)>,
        out: &mut Vec<u8>,
    ) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut first = true;
        out.push(b'{');
        for (column, value) in fields {
            if *value == Value::Unchanged {
                unknown.push(column.name.clone());
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            json::write_text(column.name.as_bytes(), out);
            out.push(b':');
            match value {
                Value::Text(text) => column.write(text, out),
                Value::Null | Value::Unchanged => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        unknown
    }
}

impl Column {
    /// Writes a value. One that is not of the column's type, because the type has changed since, is told as its text:
    /// an event with a value in another form is better than none.
    fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        if let Err(error) = json::write(&self.ty, text, out) {
            tracing::debug!(column = self.name, %error, "told as text");
            out.truncate(start);
            json::write_text(text, out);
        }
    }
}
