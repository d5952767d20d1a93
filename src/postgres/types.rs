//! What a column's type means for JSON.
//!
//! The text of a value depends on settings of the session that prints it. [`SESSION_SETTINGS`] pins them, so that every session of
//! ours prints a value in the same way, and this module and `json` can rely on it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio_postgres::{Client, Error, types as builtin};

/// The settings of every session whose values we read.
pub const SESSION_SETTINGS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
];

/// Makes a session print values in the way that this module relies on.
///
/// # Errors
/// When the session is lost.
pub async fn pin_settings(client: &Client) -> Result<(), Error> {
    let settings = SESSION_SETTINGS.map(|(name, value)| format!("set {name} = '{value}'"));
    client.batch_execute(&settings.join("; ")).await
}

/// A type, as far as payloads tell types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `t` or `f`.
    Bool,
    /// int2, int4 and int8.
    Integer,
    /// A binary number, which may be NaN or infinite.
    Float,
    /// A decimal number, which may be NaN or infinite.
    Numeric,
    /// json and jsonb: JSON already.
    Json,
    /// A timestamp without time zone.
    Timestamp,
    /// A timestamp with time zone, printed in UTC.
    TimestampTz,
    /// A list of values.
    Array {
        /// What they are.
        element: Arc<Type>,
        /// What stands between them.
        delimiter: u8,
    },
    /// int2vector: numbers with spaces between them.
    NumberVector,
    /// oidvector: texts with spaces between them.
    TextVector,
    /// Fields with names.
    Composite(Vec<(String, Arc<Type>)>),
    /// hstore: texts by texts.
    Hstore,
    /// Five groups of hexadecimal digits.
    Uuid,
    /// A day, or `infinity`.
    Date,
    /// A time of day without time zone.
    Time,
    /// A length of time, as `1 day 02:00:00`.
    Interval,
    /// Bytes, as `\x` and hexadecimal digits.
    Bytes,
    /// One of these texts.
    Enum(Vec<String>),
    /// Everything else, which shows as the text that Postgres prints.
    Text,
}

/// Tells what the types with these oids are. A type that is gone is [`Type::Text`].
///
/// # Errors
/// When the catalog cannot be read.
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

/// A row of pg_type.
struct Entry {
    kind: String,
    name: String,
    base: u32,
    element: Option<u32>,
    delimiter: u8,
    casts_to_json: bool,
    attributes: Vec<(String, u32)>,
    labels: Vec<String>,
}

/// Reads the types that are not built in, and those that they are made of.
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
                name: row.try_get("name")?,
                base: row.try_get("base")?,
                element: row.try_get("element")?,
                delimiter: delimiter.bytes().next().unwrap_or(b','),
                casts_to_json: row.try_get("casts_to_json")?,
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

/// Deeper than any type is made; the catalog has no circles, but we do not depend on it.
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
        ("e", _) => Type::Enum(entry.labels.clone()),
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
        _ if entry.casts_to_json && entry.name == "hstore" => Type::Hstore,
        _ => Type::Text,
    })
}

/// What a type is that every Postgres has; `None` for the others.
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
