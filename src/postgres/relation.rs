//! A table with the columns it had when a change was made.
//!
//! Beside the columns of the stream it has those that the stream leaves out: stored generated ones. They stand last, and
//! rows of the stream are padded for them with [`Value::Unchanged`], so that they are treated as any value left out is.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error};

use super::{
    json,
    pgoutput::{RelationMessage, ReplicaIdentity},
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
            .map(|(name, type_oid, identity_key)| Column {
                ty: types
                    .get(&type_oid)
                    .map_or_else(|| Arc::new(Type::Text), Arc::clone),
                name,
                type_oid,
                identity_key,
            })
            .collect();
        known.sort_by_key(|column| column.key_place);
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let mut primary_key: Vec<usize> = known
            .iter()
            .filter(|column| column.key_place.is_some())
            .filter_map(|column| place(&column.name))
            .collect();
        if primary_key.is_empty() && message.identity == ReplicaIdentity::Default {
            primary_key = (0..columns.len())
                .filter(|at| columns[*at].identity_key)
                .collect();
        }
        Ok(Self {
            oid: message.oid,
            schema: message.schema,
            name: message.name,
            identity: message.identity,
            columns,
            primary_key,
        })
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

    /// Writes the primary key's columns as a JSON object.
    pub fn write_key(&self, tuple: &Tuple, out: &mut Vec<u8>) {
        let key = self
            .primary_key
            .iter()
            .filter_map(|at| Some((self.columns.get(*at)?, tuple.get(*at)?)));
        self.write_object(key, out);
    }

    /// The lane of a row: the same for all changes of one row, and by chance only for those of another. `None` where
    /// nothing identifies rows.
    ///
    /// It is a function of the table's name and the key's text alone, and so the same in every process and version.
    pub fn lane(&self, tuple: &Tuple) -> Option<u64> {
        // What every image of a row has: in old images that is the replica identity, whatever the primary key.
        let by_identity = matches!(
            self.identity,
            ReplicaIdentity::Default | ReplicaIdentity::Index
        );
        let in_key = |at: usize| match (by_identity, self.primary_key.is_empty()) {
            (true, _) => self
                .columns
                .get(at)
                .is_some_and(|column| column.identity_key),
            (false, false) => self.primary_key.contains(&at),
            // The whole row is the key, where all of it is known before and after.
            (false, true) => self.identity == ReplicaIdentity::Full,
        };
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        };
        add(self.schema.as_bytes());
        add(self.name.as_bytes());
        let mut keys = 0;
        for (_, value) in tuple.iter().enumerate().filter(|(at, _)| in_key(*at)) {
            keys += 1;
            match value {
                Value::Text(text) => add(text),
                Value::Null => add(b"\0null"),
                // A large value of a key that is the whole row: it says nothing, in the old image as in the new.
                Value::Unchanged => {}
            }
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        (keys > 0).then(|| u64::from_be_bytes([a, b, c, d, e, f, g, h]))
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
