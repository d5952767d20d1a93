//! The types of columns, as far as JSON tells them apart.
//!
//! The text of a value depends on settings of the session that prints it. Every session whose values are read has
//! [`SESSION_SETTINGS`], so this module and [`json`](super::json) can rely on one format.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio_postgres::{Client, Error, types as builtin};

use super::cast::Cast;

/// The settings of every session whose values are read. They decide how Postgres prints a value.
pub const SESSION_SETTINGS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
];

/// A type of a column, as far as JSON tells types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Printed as `t` or `f`.
    Bool,
    /// int2, int4 and int8.
    Integer,
    /// float4 and float8, which may be NaN or infinite.
    Float,
    /// numeric, which may be NaN or infinite.
    Numeric,
    /// json and jsonb, printed as JSON.
    Json,
    /// A timestamp without time zone.
    Timestamp,
    /// A timestamp with time zone, printed in UTC.
    TimestampTz,
    /// An array.
    Array {
        /// The type of its elements.
        element: Arc<Type>,
        /// The character between two elements.
        delimiter: u8,
    },
    /// int2vector: numbers separated by spaces.
    NumberVector,
    /// oidvector: texts separated by spaces.
    TextVector,
    /// A composite type: the names and types of its fields.
    Composite(Vec<(String, Arc<Type>)>),
    /// hstore, which maps texts to texts.
    Hstore,
    /// uuid.
    Uuid,
    /// A date, or `infinity`.
    Date,
    /// A time of day, without time zone.
    Time,
    /// An interval, printed as `1 day 02:00:00`.
    Interval,
    /// bytea, printed as `\x` and hexadecimal digits.
    Bytes,
    /// An enum: its labels, in order.
    Enum(Vec<String>),
    /// A type that JSON shows as what its cast to json returns.
    Cast(Arc<Cast>),
    /// Any other type. Its values are shown as the text that Postgres prints.
    Text,
}

impl Type {
    /// Is it a composite type, or a list of such?
    pub fn has_fields(&self) -> bool {
        match self {
            Self::Composite(_) => true,
            Self::Array { element, .. } => element.has_fields(),
            _ => false,
        }
    }

    /// The casts of the types that it is made of, itself included.
    pub fn casts(&self) -> Vec<&Cast> {
        match self {
            Self::Cast(cast) => vec![cast],
            Self::Array { element, .. } => element.casts(),
            Self::Composite(fields) => fields.iter().flat_map(|(_, ty)| ty.casts()).collect(),
            _ => Vec::new(),
        }
    }

    /// Is it a type with a cast to json, or made of such types?
    pub fn has_casts(&self) -> bool {
        match self {
            Self::Cast(_) => true,
            Self::Array { element, .. } => element.has_casts(),
            Self::Composite(fields) => fields.iter().any(|(_, ty)| ty.has_casts()),
            _ => false,
        }
    }
}

/// Loads the types with these oids. A type that no longer exists is [`Type::Text`].
///
/// # Errors
/// If the catalog cannot be read.
pub async fn load(
    client: &Client,
    oids: impl IntoIterator<Item = u32>,
) -> Result<HashMap<u32, Arc<Type>>, Error> {
    let wanted: Vec<u32> = oids.into_iter().collect();
    let catalog = read(client, &wanted).await?;
    Ok(wanted
        .into_iter()
        .map(|oid| (oid, resolve(oid, &catalog, 0)))
        .collect())
}

/// What pg_type and related catalogs have on a type.
struct Entry {
    kind: String,
    base: u32,
    element: Option<u32>,
    delimiter: u8,
    /// Its cast to json, if it has one that is a function.
    cast: Option<Arc<Cast>>,
    /// That cast is hstore's own.
    is_hstore: bool,
    attributes: Vec<(String, u32)>,
    labels: Vec<String>,
}

/// Reads the types that are not built in, and the types that they are made of.
async fn read(client: &Client, wanted: &[u32]) -> Result<HashMap<u32, Entry>, Error> {
    let mut catalog = HashMap::new();
    let mut asked: HashSet<u32> = HashSet::new();
    let mut next: Vec<u32> = wanted.to_vec();
    loop {
        next.retain(|oid| built_in(*oid).is_none() && asked.insert(*oid));
        if next.is_empty() {
            return Ok(catalog);
        }
        let rows = client
            .query(include_str!("../../sql/catalog/types.sql"), &[&next])
            .await?;
        next.clear();
        for row in rows {
            let names: Vec<String> = row.try_get("attributes")?;
            let types: Vec<u32> = row.try_get("attribute_types")?;
            let delimiter: String = row.try_get("delimiter")?;
            let entry = Entry {
                kind: row.try_get("kind")?,
                base: row.try_get("base")?,
                element: row.try_get("element")?,
                delimiter: delimiter.bytes().next().unwrap_or(b','),
                is_hstore: row.try_get("is_hstore")?,
                cast: match row.try_get::<_, Option<bool>>("cast_usable")? {
                    Some(usable) => Some(Arc::new(Cast::new(
                        row.try_get("oid")?,
                        row.try_get("sql_type")?,
                        usable,
                        row.try_get("cast_owner")?,
                    ))),
                    None => None,
                },
                attributes: names.into_iter().zip(types).collect(),
                labels: row.try_get("labels")?,
            };
            next.push(entry.base);
            next.extend(entry.element);
            next.extend(entry.attributes.iter().map(|(_, oid)| oid));
            catalog.insert(row.try_get("oid")?, entry);
        }
        next.retain(|oid| *oid != 0);
    }
}

/// A limit on nested types that no real type reaches. The catalog has no cycles, but the recursion does not depend on
/// that.
const DEEPEST: u32 = 32;

fn resolve(oid: u32, catalog: &HashMap<u32, Entry>, depth: u32) -> Arc<Type> {
    if let Some(ty) = built_in(oid) {
        return Arc::new(ty);
    }
    let Some(entry) = catalog.get(&oid).filter(|_| depth < DEEPEST) else {
        return Arc::new(Type::Text);
    };
    let resolve = |oid| resolve(oid, catalog, depth + 1);
    Arc::new(match (entry.kind.as_str(), entry.element) {
        ("d", _) => return resolve(entry.base),
        ("c", _) => {
            let fields = entry.attributes.iter();
            Type::Composite(
                fields
                    .map(|(name, oid)| (name.clone(), resolve(*oid)))
                    .collect(),
            )
        }
        (_, Some(element)) => Type::Array {
            element: resolve(element),
            delimiter: entry.delimiter,
        },
        _ if entry.is_hstore => Type::Hstore,
        // Of an array or a composite type, Postgres does not look for a cast.
        (kind, None) => match (&entry.cast, kind) {
            (Some(cast), _) => Type::Cast(Arc::clone(cast)),
            (None, "e") => Type::Enum(entry.labels.clone()),
            (None, _) => Type::Text,
        },
    })
}

/// The type with this oid, if it is one that every Postgres has.
fn built_in(oid: u32) -> Option<Type> {
    use builtin::Type as B;
    let ty = B::from_oid(oid)?;
    Some(match ty {
        B::BOOL => Type::Bool,
        B::INT2 | B::INT4 | B::INT8 => Type::Integer,
        B::FLOAT4 | B::FLOAT8 => Type::Float,
        B::NUMERIC => Type::Numeric,
        B::JSON | B::JSONB => Type::Json,
        B::TIMESTAMP => Type::Timestamp,
        B::TIMESTAMPTZ => Type::TimestampTz,
        B::UUID => Type::Uuid,
        B::DATE => Type::Date,
        B::TIME => Type::Time,
        B::INTERVAL => Type::Interval,
        B::BYTEA => Type::Bytes,
        B::INT2_VECTOR => Type::NumberVector,
        B::OID_VECTOR => Type::TextVector,
        _ => match ty.kind() {
            builtin::Kind::Array(element) => Type::Array {
                element: Arc::new(built_in(element.oid())?),
                delimiter: if *element == B::BOX { b';' } else { b',' },
            },
            _ => Type::Text,
        },
    })
}
