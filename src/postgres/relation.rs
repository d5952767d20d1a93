//! A table with the columns that it had when a row changed.
//!
//! The stream leaves out generated columns; from Postgres 18 on, only the virtual ones. A relation has them too, after
//! the others, and rows of the stream are padded with [`Value::Unchanged`] for them, so they are treated as any other
//! value that the stream leaves out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error, Row, types::Type as builtin};

use super::{
    json,
    pgoutput::{ColumnMessage, RelationMessage, ReplicaIdentity},
    types::{self, Type},
};
use crate::postgres::{
    TableName,
    tuple::{Tuple, Value},
};

/// Types by their oids.
type Types = HashMap<u32, Arc<Type>>;

/// A table as a Relation message describes it, completed from the catalog.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The table's oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The name that it has in the database now.
    pub stored_as: TableName,
    /// The numbers of its columns by name, as the catalog has them now. A column that is renamed keeps its number.
    pub numbers: Vec<(String, i16)>,
    /// Which columns of an old row the stream carries.
    pub identity: ReplicaIdentity,
    /// The columns of the stream, in its order, and after them those that it leaves out.
    pub columns: Vec<Column>,
    /// The indexes in `columns` of the primary key, in the key's order; empty if there is none.
    pub primary_key: Vec<usize>,
    /// The operators that compare the columns of the primary key, in its order: `operator(pg_catalog.=)`.
    pub key_equals: Vec<String>,
    /// The indexes in `columns` of what identifies a row and is part of each of its images: the replica identity, or
    /// the primary key if the identity is FULL, or all columns if there is no primary key. Empty if nothing identifies
    /// rows.
    pub key: Vec<usize>,
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as far as JSON tells types apart.
    pub ty: Arc<Type>,
    /// The oid of its type.
    pub type_oid: u32,
    /// Its type in SQL: `numeric(8,2)`. For a column that no longer exists, `text`.
    pub sql_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it is part of the replica identity.
    pub identity_key: bool,
    /// Whether it is generated from other columns and the stream leaves it out.
    pub generated: bool,
    /// Whether its values can be TOASTed. The stream leaves out a TOASTed value that an update did not change.
    pub toastable: bool,
    /// Whether the database takes any bytes for its texts. Those that are not UTF-8 are unknown to us.
    pub unchecked: bool,
    /// Whether it alone is a foreign key.
    pub foreign_key: bool,
    /// Whether it is in no body, whatever hooks.toml says of columns by its name.
    pub hidden: bool,
}

impl Relation {
    /// Looks up a table by name, and describes it as the stream would. Returns `None` if there is no such table.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn find(client: &Client, table: &TableName) -> Result<Option<Self>, Error> {
        let mut found = Self::find_all(client, [table]).await?;
        Ok(found.remove(table))
    }

    /// Looks up many tables by name, with as many questions as for one. Those that do not exist are not in the map.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn find_all<'a>(
        client: &Client,
        tables: impl IntoIterator<Item = &'a TableName>,
    ) -> Result<HashMap<TableName, Self>, Error> {
        let tables: HashSet<&TableName> = tables.into_iter().collect();
        let (schemas, names): (Vec<&str>, Vec<&str>) = tables
            .into_iter()
            .map(|table| (table.schema.as_str(), table.name.as_str()))
            .unzip();
        let sql = include_str!("../../sql/catalog/stream_relation.sql");
        let mut messages: Vec<RelationMessage> = Vec::new();
        for row in client.query(sql, &[&schemas, &names]).await? {
            let oid = row.try_get("oid")?;
            if messages.last().is_none_or(|last| last.oid != oid) {
                messages.push(RelationMessage {
                    oid,
                    schema: row.try_get("schema")?,
                    name: row.try_get("table_name")?,
                    identity: match row.try_get("identity")? {
                        "f" => ReplicaIdentity::Full,
                        "i" => ReplicaIdentity::Index,
                        "n" => ReplicaIdentity::Nothing,
                        _ => ReplicaIdentity::Default,
                    },
                    columns: Vec::new(),
                });
            }
            if let Some(message) = messages.last_mut() {
                message.columns.push(ColumnMessage {
                    identity_key: row.try_get("identity_key")?,
                    name: row.try_get("name")?,
                    type_oid: row.try_get("type_oid")?,
                    type_modifier: row.try_get("type_modifier")?,
                });
            }
        }
        let relations = Self::describe_all(client, messages).await?.into_iter();
        Ok(relations
            .map(|relation| (relation.table(), relation))
            .collect())
    }

    /// Completes the stream's description of a table with what the catalog has now. If the table no longer exists, the
    /// description is all there is.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn describe(client: &Client, message: RelationMessage) -> Result<Self, Error> {
        let (catalog, types) = Self::look_up(client, std::slice::from_ref(&message)).await?;
        let columns = catalog.into_values().next().unwrap_or_default();
        Ok(Self::complete(message, columns, &types))
    }

    async fn describe_all(
        client: &Client,
        messages: Vec<RelationMessage>,
    ) -> Result<Vec<Self>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let (mut catalog, types) = Self::look_up(client, &messages).await?;
        let complete = |message: RelationMessage| {
            let columns = catalog.remove(&message.oid).unwrap_or_default();
            Self::complete(message, columns, &types)
        };
        Ok(messages.into_iter().map(complete).collect())
    }

    /// What the catalog has on these tables, by oid, and the types of their columns.
    async fn look_up(
        client: &Client,
        messages: &[RelationMessage],
    ) -> Result<(HashMap<u32, Vec<CatalogColumn>>, Types), Error> {
        let catalog = CatalogColumn::read_all(client, messages).await?;
        let streamed = messages.iter().flat_map(|message| &message.columns);
        let streamed = streamed.map(|column| column.type_oid);
        let now = catalog.values().flatten().map(|column| column.type_oid);
        let oids: HashSet<u32> = streamed.chain(now).collect();
        Ok((catalog, types::load(client, oids).await?))
    }

    fn complete(message: RelationMessage, catalog: Vec<CatalogColumn>, types: &Types) -> Self {
        let mut columns = columns(&message.columns, &catalog, types);
        let (primary_key, key_equals) = primary_key(&columns, &catalog);
        let key = key(message.identity, &columns, &primary_key);
        // What old rows have, the identities of the partitions decide; that of a new partition is the primary key.
        let is_partitioned = catalog.first().is_some_and(|column| column.partitioned);
        if is_partitioned && message.identity == ReplicaIdentity::Full && !primary_key.is_empty() {
            for (at, column) in columns.iter_mut().enumerate() {
                column.identity_key = primary_key.contains(&at);
            }
        }
        let stored_as = catalog.first().map(|column| column.table.clone());
        let numbers = catalog
            .into_iter()
            .map(|column| (column.name, column.number));
        Self {
            oid: message.oid,
            stored_as: stored_as.unwrap_or_else(|| TableName {
                schema: message.schema.clone(),
                name: message.name.clone(),
            }),
            numbers: numbers.collect(),
            schema: message.schema,
            name: message.name,
            identity: message.identity,
            columns,
            primary_key,
            key_equals,
            key,
        }
    }

    /// The table with what was known of it when it was described before, where the catalog, which may be later than the
    /// stream, has that no more: it is dropped by now, or its primary key is dropped or renamed.
    #[must_use]
    pub fn remembering(mut self, earlier: &Self) -> Self {
        let is_gone = self.is_gone();
        if is_gone {
            for column in &earlier.columns {
                match self.column(&column.name) {
                    Some(at) => self.columns[at].sql_type.clone_from(&column.sql_type),
                    None if column.generated => self.columns.push(column.clone()),
                    None => {}
                }
            }
        }
        let primary_key = self.places(&earlier.columns, &earlier.primary_key);
        // That all of a row tells it from others was only a guess.
        let is_known = !(earlier.is_gone() && earlier.is_told_by_all());
        let key = self.places(&earlier.columns, &earlier.key);
        let key = key.filter(|_| is_known);
        if let Some(places) = primary_key.filter(|_| is_gone) {
            self.primary_key = places;
            self.key_equals.clone_from(&earlier.key_equals);
            self.key = self::key(self.identity, &self.columns, &self.primary_key);
        }
        // A row stays the same one, and its events stay in order.
        if let Some(key) = key.filter(|_| self.primary_key.is_empty()) {
            self.identify_by(key);
        }
        self
    }

    /// The table with a primary key whose columns had these names once, where it has none by now; the last that fits is
    /// taken. So the events of a row stay in order in another process, too.
    #[must_use]
    pub fn identified_by(mut self, keys: &[Vec<String>]) -> Self {
        if !self.primary_key.is_empty() {
            return self;
        }
        for names in keys.iter().rev() {
            let places = names.iter().map(|name| self.column(name));
            let places: Option<Vec<usize>> = places.collect();
            if let Some(places) = places
                && self.identify_by(places.clone())
            {
                if self.is_gone() {
                    self.key_equals = vec![EQUALS.to_owned(); places.len()];
                    self.primary_key = places;
                }
                break;
            }
        }
        self
    }

    /// Takes these columns for what identifies a row, if old rows have them, or there are no old rows. Returns whether
    /// that is so.
    fn identify_by(&mut self, key: Vec<usize>) -> bool {
        let is_inserted_only = self.columns.iter().all(|column| !column.identity_key);
        let is_in_old_rows = |at: &usize| {
            let is_carried = self
                .columns
                .get(*at)
                .is_some_and(|column| column.identity_key);
            self.identity == ReplicaIdentity::Full || is_inserted_only || is_carried
        };
        let fits = !key.is_empty() && key.iter().all(is_in_old_rows);
        if fits {
            self.key = key;
        }
        fits
    }

    /// Where these columns of `earlier` ones are now, by their names or by their places.
    fn places(&self, earlier: &[Column], key: &[usize]) -> Option<Vec<usize>> {
        let (before, now) = (streamed(earlier), streamed(&self.columns));
        let place = |at: &usize| {
            let name = &earlier.get(*at)?.name;
            self.column(name).or_else(|| {
                let at = before.iter().position(|(before, _)| before == name)?;
                let (name, _) = now.get(renamed(&before, at, &now)?)?;
                self.column(name)
            })
        };
        key.iter().map(place).collect()
    }

    /// Is a row told from others by all of its columns, for want of a key?
    fn is_told_by_all(&self) -> bool {
        let carried = self.columns.iter().filter(|column| column.identity_key);
        self.identity == ReplicaIdentity::Full
            && self.primary_key.is_empty()
            && self.key.len() == carried.count()
    }

    /// Does another description of the table have the same columns in the same places? The stream describes a table
    /// again for each of its partitions, and when it is altered.
    pub fn has_same_columns(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Column, &Column)| {
            one.name == other.name && one.type_oid == other.type_oid
        };
        std::ptr::eq(self, other)
            || self.columns.len() == other.columns.len()
                && self.columns.iter().zip(&other.columns).all(is_same)
    }

    /// Did the catalog have nothing of it any more?
    pub fn is_gone(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The table with those of these columns that it no longer has, too. Of them, nothing but the name is known.
    #[must_use]
    pub fn with_columns(mut self, names: &[String]) -> Self {
        for name in names {
            if self.column(name).is_none() {
                self.columns.push(Column::unknown(name));
            }
        }
        self
    }

    /// A row that Postgres has printed as a text, with these columns in its order. A column of ours that is not among
    /// them is left unknown, and so is one that the table no longer has: its type is not known any more.
    ///
    /// # Errors
    /// Why the row does not fit.
    pub fn tuple(&self, columns: &[String], row: &str) -> Result<Tuple, String> {
        let fields = json::fields(row.as_bytes()).map_err(|error| error.to_string())?;
        if fields.len() != columns.len() {
            return Err(format!(
                "the row has {} values for {} columns",
                fields.len(),
                columns.len()
            ));
        }
        let mut tuple = vec![Value::Unchanged; self.columns.len()];
        for (column, field) in columns.iter().zip(fields) {
            let at = self.column(column);
            let value = at.and_then(|at| tuple.get_mut(at));
            let value =
                value.ok_or_else(|| format!("{} has no column {column:?}", self.table()))?;
            let known = at.and_then(|at| self.columns.get(at));
            if known.is_some_and(Column::is_unknown) {
                continue;
            }
            *value = match field {
                Some(text) => Value::Text(Bytes::copy_from_slice(&text)),
                None => Value::Null,
            };
        }
        if !tuple.iter().any(|value| *value != Value::Unchanged) {
            return Err(format!("{} has none of its columns", self.table()));
        }
        Ok(tuple)
    }

    /// Is each value of the row, as far as it is of a composite type, of the type as it is known here? If not, the type
    /// was altered, which the stream does not tell.
    pub fn fits(&self, tuple: &Tuple) -> bool {
        let composites = self.columns.iter().zip(tuple);
        let mut composites = composites.filter(|(column, _)| column.ty.has_fields());
        composites.all(|(column, value)| match value {
            Value::Text(text) => !matches!(
                json::write(&column.ty, text, &mut Vec::new()),
                Err(json::Error::Malformed { .. })
            ),
            Value::Null | Value::Unchanged => true,
        })
    }

    /// Has a column a composite type, or one that is made of such types?
    pub fn has_composites(&self) -> bool {
        self.columns.iter().any(|column| column.ty.has_fields())
    }

    /// The same table, with the types of its columns as they are now.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn with_types_of_now(&self, client: &Client) -> Result<Self, Error> {
        let mut relation = self.clone();
        let oids = self.columns.iter().map(|column| column.type_oid);
        let types = types::load(client, oids).await?;
        for column in &mut relation.columns {
            if let Some(ty) = types.get(&column.type_oid) {
                column.ty = Arc::clone(ty);
            }
        }
        Ok(relation)
    }

    /// The table's name, with its schema.
    pub fn table(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: self.name.clone(),
        }
    }

    /// The index of the column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Is this a generated column that the stream leaves out?
    pub fn leaves_out(&self, name: &str) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.generated && column.name == name)
    }

    /// Pads a row of the stream with the columns that the stream leaves out.
    pub fn pad(&self, tuple: &mut Tuple) {
        tuple.resize(self.columns.len(), Value::Unchanged);
    }

    /// Appends a row to `out` as a JSON object, in the order of the columns. `show` returns the name that a column is
    /// shown by, or `None` to leave it out. Returns the names of the shown columns that the object lacks, because their
    /// values are unknown.
    pub fn write_row<'a>(
        &'a self,
        tuple: &'a Tuple,
        show: impl Fn(&'a Column) -> Option<&'a str>,
        out: &mut Vec<u8>,
    ) -> Vec<String> {
        let all = self.columns.iter().zip(tuple);
        let shown = all.filter_map(|(column, value)| Some((show(column)?, column, value)));
        write_object(shown, out)
    }

    /// An estimate of how many bytes [`write_row`](Self::write_row) writes.
    pub fn json_size_hint(&self, tuple: &Tuple) -> usize {
        let names = self.columns.iter().map(|column| column.name.len());
        let values = tuple.iter().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Null | Value::Unchanged => 4,
        });
        // For each column: four quotes, a colon and a comma. For the object: two braces.
        let marks = tuple.len() * 6 + 2;
        names.chain(values).sum::<usize>() + marks
    }

    /// Appends the columns of [`key`](Self::key) to `out` as a JSON object.
    pub fn write_key(&self, tuple: &Tuple, out: &mut Vec<u8>) {
        let key = self.key.iter();
        let key = key.filter_map(|at| {
            let column = self.columns.get(*at)?;
            Some((column.name.as_str(), column, tuple.get(*at)?))
        });
        write_object(key, out);
    }

    /// The lane of a row: a hash that is equal for all changes of one row, and differs between rows but for chance.
    /// `None` if nothing identifies rows. Of a table that is gone it may not be known what did so; then all of its rows
    /// have one lane.
    ///
    /// It depends on nothing but the table's name and the key's text, so it is the same in every process and version.
    pub fn lane(&self, tuple: &Tuple) -> Option<u64> {
        let key = match self.is_gone() && self.is_told_by_all() {
            true => &[][..],
            false => &self.key,
        };
        let key = key.iter().filter_map(|at| tuple.get(*at));
        (!self.key.is_empty()).then(|| lane(&self.schema, &self.name, key))
    }
}

/// The lane of the row of a table with these values of its key; see [`Relation::lane`].
pub fn lane<'a>(schema: &str, table: &str, key: impl Iterator<Item = &'a Value>) -> u64 {
    let mut hash = Sha256::new();
    let mut add = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    add(b's', schema.as_bytes());
    add(b't', table.as_bytes());
    for value in key {
        match value {
            Value::Text(text) => add(b'v', text),
            Value::Null => add(b'n', b""),
            Value::Unchanged => add(b'u', b""),
        }
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A column as the catalog has it now, which may be later than the change that is being read.
struct CatalogColumn {
    /// The name of the table.
    table: TableName,
    name: String,
    /// The table is partitioned.
    partitioned: bool,
    number: i16,
    type_oid: u32,
    generated: bool,
    sql_type: String,
    nullable: bool,
    toastable: bool,
    unchecked: bool,
    foreign_key: bool,
    /// Its position in the primary key.
    key_place: Option<i32>,
    /// The operator that compares its values, if it is part of the primary key.
    key_equals: Option<String>,
}

/// The operator of every type that is built in.
const EQUALS: &str = "operator(pg_catalog.=)";

impl CatalogColumn {
    /// Reads the columns of tables, in order, by the oid of the table; those that no longer exist have none.
    async fn read_all(
        client: &Client,
        messages: &[RelationMessage],
    ) -> Result<HashMap<u32, Vec<Self>>, Error> {
        let oids: Vec<u32> = messages.iter().map(|message| message.oid).collect();
        let sql = include_str!("../../sql/catalog/relation.sql");
        let mut columns: HashMap<u32, Vec<Self>> = HashMap::new();
        for row in client.query(sql, &[&oids]).await? {
            let of_table = columns.entry(row.try_get("table_oid")?).or_default();
            of_table.push(Self::read(&row)?);
        }
        Ok(columns)
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            table: TableName {
                schema: row.try_get("schema")?,
                name: row.try_get("table_name")?,
            },
            name: row.try_get("name")?,
            partitioned: row.try_get("partitioned")?,
            number: row.try_get("number")?,
            type_oid: row.try_get("type_oid")?,
            generated: row.try_get("generated")?,
            sql_type: row.try_get("sql_type")?,
            nullable: row.try_get("nullable")?,
            toastable: row.try_get("toastable")?,
            unchecked: row.try_get("unchecked")?,
            foreign_key: row.try_get("foreign_key")?,
            key_place: row.try_get("key_place")?,
            key_equals: row.try_get("key_equals")?,
        })
    }
}

/// The columns of the stream, completed from the catalog, and after them the generated ones that the stream leaves out.
fn columns(streamed: &[ColumnMessage], catalog: &[CatalogColumn], types: &Types) -> Vec<Column> {
    let is_left_out = |column: &&CatalogColumn| {
        column.generated && streamed.iter().all(|other| other.name != column.name)
    };
    let left_out = catalog.iter().filter(is_left_out);
    let left_out = left_out.map(|column| (&column.name, column.type_oid, false, true));
    let streamed = streamed
        .iter()
        .map(|column| (&column.name, column.type_oid, column.identity_key, false));
    let complete = |(name, type_oid, identity_key, generated): (&String, u32, bool, bool)| {
        let now = catalog.iter().find(|column| column.name == *name);
        let ty = types.get(&type_oid).map(Arc::clone);
        Column {
            name: name.clone(),
            ty: ty.unwrap_or_else(|| Arc::new(Type::Text)),
            type_oid,
            sql_type: now.map_or_else(|| "text".to_owned(), |now| now.sql_type.clone()),
            nullable: now.is_none_or(|now| now.nullable),
            identity_key,
            generated,
            toastable: now.is_none_or(|now| now.toastable),
            unchecked: now.is_some_and(|now| now.unchecked),
            foreign_key: now.is_some_and(|now| now.foreign_key),
            hidden: false,
        }
    };
    streamed.chain(left_out).map(complete).collect()
}

/// The indexes in `columns` of what identifies a row: the primary key, wherever the stream carries it of old rows, so
/// that a row stays the same one when the replica identity changes.
fn key(identity: ReplicaIdentity, columns: &[Column], primary_key: &[usize]) -> Vec<usize> {
    let is_carried = |at: &usize| columns.get(*at).is_some_and(|column| column.identity_key);
    match identity {
        ReplicaIdentity::Nothing => primary_key.to_vec(),
        _ if !primary_key.is_empty() && primary_key.iter().all(is_carried) => primary_key.to_vec(),
        _ => (0..columns.len()).filter(is_carried).collect(),
    }
}

/// The indexes in `columns` of the primary key, in the key's order, and the operators that compare them.
fn primary_key(columns: &[Column], catalog: &[CatalogColumn]) -> (Vec<usize>, Vec<String>) {
    let mut key: Vec<_> = catalog
        .iter()
        .filter(|column| column.key_place.is_some())
        .collect();
    key.sort_by_key(|column| column.key_place);
    let (now, then) = (
        catalog
            .iter()
            .filter(|now| {
                !now.generated || streamed(columns).iter().any(|(name, _)| *name == now.name)
            })
            .map(|now| (now.name.as_str(), now.type_oid))
            .collect::<Vec<_>>(),
        streamed(columns),
    );
    let place = |name: &str| {
        let named = columns.iter().position(|column| column.name == name);
        named.or_else(|| {
            let at = now.iter().position(|(now, _)| *now == name)?;
            let (name, _) = then.get(renamed(&now, at, &then)?)?;
            columns.iter().position(|column| column.name == *name)
        })
    };
    let equals = |column: &CatalogColumn| column.key_equals.as_deref().unwrap_or(EQUALS).to_owned();
    // All or none: part of a key does not identify a row.
    let parts = key
        .iter()
        .map(|column| Some((place(&column.name)?, equals(column))));
    let parts: Option<(Vec<usize>, Vec<String>)> = parts.collect();
    parts.unwrap_or_default()
}

/// The columns that the stream carries: their names, and the oids of their types.
fn streamed(columns: &[Column]) -> Vec<(&str, u32)> {
    let columns = columns.iter().filter(|column| !column.generated);
    columns
        .map(|column| (column.name.as_str(), column.type_oid))
        .collect()
}

/// The place in `to` of a column that has another name there: the only one of its type whose name is not in `from`,
/// between the same columns that are in both.
fn renamed(from: &[(&str, u32)], at: usize, to: &[(&str, u32)]) -> Option<usize> {
    let has = |columns: &[(&str, u32)], name: &str| columns.iter().any(|(other, _)| *other == name);
    let (_, ty) = from.get(at)?;
    // The places of columns of this type without a name in `other`, behind as many that have one.
    let between = |columns: &[(&str, u32)], other: &[(&str, u32)], count: usize| -> Vec<usize> {
        let mut kept = 0;
        let mut found = Vec::new();
        for (place, (name, of)) in columns.iter().enumerate() {
            if has(other, name) {
                kept += 1;
            } else if kept == count && of == ty {
                found.push(place);
            }
        }
        found
    };
    let before = from.iter().take(at);
    let count = before.filter(|(name, _)| has(to, name)).count();
    match (&between(from, to, count)[..], &between(to, from, count)[..]) {
        ([_], [place]) => Some(*place),
        _ => None,
    }
}

/// Appends an object with these fields to `out`. Returns the names of the fields left out because they are unknown.
fn write_object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Column, &'a Value)>,
    out: &mut Vec<u8>,
) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut first = true;
    out.push(b'{');
    for (name, column, value) in fields {
        if *value == Value::Unchanged {
            unknown.push(name.to_owned());
            continue;
        }
        let start = out.len();
        if !first {
            out.push(b',');
        }
        json::write_text(name.as_bytes(), out);
        out.push(b':');
        let is_known = match value {
            Value::Text(text) => column.write(text, out),
            Value::Null | Value::Unchanged => {
                out.extend_from_slice(b"null");
                true
            }
        };
        if !is_known {
            out.truncate(start);
            unknown.push(name.to_owned());
            continue;
        }
        first = false;
    }
    out.push(b'}');
    unknown
}

impl Column {
    /// A column of which only the name is known.
    fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ty: Arc::new(Type::Text),
            type_oid: 0,
            sql_type: "text".to_owned(),
            nullable: true,
            identity_key: false,
            generated: false,
            toastable: true,
            unchecked: false,
            foreign_key: false,
            hidden: false,
        }
    }

    /// Is only its name known?
    pub fn is_unknown(&self) -> bool {
        self.type_oid == 0
    }

    /// Is it `character(n)`, whose values are filled up with blanks?
    pub fn is_padded(&self) -> bool {
        self.type_oid == builtin::BPCHAR.oid() || self.sql_type.starts_with("character(")
    }

    /// A value as `::text` writes it, which for a few types is not what the stream carries.
    pub fn cast_to_text<'a>(&self, text: &'a str) -> &'a str {
        match (&*self.ty, text) {
            (Type::Bool, "t") => "true",
            (Type::Bool, "f") => "false",
            _ if self.is_padded() => text.trim_end_matches(' '),
            _ => text,
        }
    }

    /// Appends a value to `out` as JSON. If the column's type has changed since, the value may not be of it, and is
    /// written as a string: an event with a value in another form is better than none. Returns whether it is known what
    /// to write.
    fn write(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match json::write(&self.ty, text, out) {
            Ok(()) => true,
            Err(json::Error::Unknown { .. }) => false,
            Err(error @ json::Error::Malformed { .. }) => {
                tracing::debug!(column = self.name, %error, "told as text");
                out.truncate(start);
                json::write_text(text, out);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the key `ident` of the catalog among columns of the stream.
    fn place(streamed: &[(&str, u32)], now: &[(&str, u32)]) -> Vec<usize> {
        let message = |(name, type_oid): &(&str, u32)| ColumnMessage {
            identity_key: true,
            name: (*name).to_owned(),
            type_oid: *type_oid,
            type_modifier: -1,
        };
        let catalog = |(at, (name, type_oid)): (usize, &(&str, u32))| CatalogColumn {
            table: TableName::public("book"),
            name: (*name).to_owned(),
            partitioned: false,
            number: i16::try_from(at).unwrap(),
            type_oid: *type_oid,
            generated: *name == "total",
            sql_type: "integer".to_owned(),
            nullable: false,
            toastable: false,
            unchecked: false,
            foreign_key: false,
            key_place: (*name == "ident").then_some(0),
            key_equals: None,
        };
        let streamed: Vec<ColumnMessage> = streamed.iter().map(message).collect();
        let catalog: Vec<CatalogColumn> = now.iter().enumerate().map(catalog).collect();
        let columns = columns(&streamed, &catalog, &Types::new());
        primary_key(&columns, &catalog).0
    }

    #[test]
    fn a_key_that_was_renamed_since_is_known_by_its_place() {
        for (streamed, now, expected) in [
            (
                vec![("n", 23), ("ident", 20)],
                vec![("n", 23), ("ident", 20)],
                vec![1],
            ),
            (
                vec![("n", 23), ("id", 20)],
                vec![("n", 23), ("ident", 20)],
                vec![1],
            ),
            (
                vec![("n", 23), ("id", 20)],
                vec![("amount", 23), ("total", 23), ("ident", 20)],
                vec![1],
            ),
            // Others came and went.
            (
                vec![("id", 20), ("n", 23), ("m", 23)],
                vec![("ident", 20), ("n", 23), ("extra", 25)],
                vec![0],
            ),
            // Another column came beside it, or it has another type: it may be any.
            (
                vec![("id", 20), ("n", 23)],
                vec![("ident", 20), ("other", 20), ("n", 23)],
                vec![],
            ),
            (vec![("id", 23)], vec![("ident", 20)], vec![]),
            // It has another name, and its place is that of a column which is still there.
            (
                vec![("n", 23), ("id", 23)],
                vec![("ident", 23), ("n", 23)],
                vec![],
            ),
        ] {
            assert_eq!(place(&streamed, &now), expected, "{streamed:?} {now:?}");
        }
    }

    /// A table `book (id, title)` of which the catalog has nothing any more.
    fn gone(identity: ReplicaIdentity, identity_key: [bool; 2]) -> Relation {
        let column = |(name, identity_key): (&str, bool)| ColumnMessage {
            identity_key,
            name: name.to_owned(),
            type_oid: 25,
            type_modifier: -1,
        };
        let message = RelationMessage {
            oid: 1,
            schema: "public".to_owned(),
            name: "book".to_owned(),
            identity,
            columns: ["id", "title"]
                .into_iter()
                .zip(identity_key)
                .map(column)
                .collect(),
        };
        Relation::complete(message, Vec::new(), &Types::new())
    }

    #[test]
    fn the_rows_of_a_table_that_is_gone_stay_in_order() {
        let row = |id: &'static str, title: &'static str| -> Tuple {
            let texts = [id, title].into_iter();
            texts.map(|text| Value::Text(text.into())).collect()
        };
        let names = |names: &[&str]| vec![names.iter().map(|name| (*name).to_owned()).collect()];
        let full = || gone(ReplicaIdentity::Full, [true, true]);
        // It is not known what identifies its rows, so all of them wait for each other.
        assert_eq!(full().lane(&row("1", "a")), full().lane(&row("2", "b")));
        for (relation, keys, expected) in [
            (full(), names(&["id"]), vec![0]),
            // The key had this name later.
            (full(), names(&["ident"]), vec![0, 1]),
            (
                gone(ReplicaIdentity::Index, [true, true]),
                names(&["id"]),
                vec![0],
            ),
            // Old rows lack the key, and only inserts have it.
            (
                gone(ReplicaIdentity::Index, [false, true]),
                names(&["id"]),
                vec![1],
            ),
            (
                gone(ReplicaIdentity::Default, [false, false]),
                names(&["id"]),
                vec![0],
            ),
        ] {
            let identified = relation.identified_by(&keys);
            assert_eq!(
                identified.key, expected,
                "{keys:?} {:?}",
                identified.identity
            );
        }
        let known = full().identified_by(&names(&["id"]));
        assert_eq!(known.lane(&row("1", "a")), known.lane(&row("1", "b")));
        assert_ne!(known.lane(&row("1", "a")), known.lane(&row("2", "a")));
    }
}
