//! A made-up row of a table, for examples of what is sent. Nothing in it comes from the database but what its columns
//! are called and which types they have.

use bytes::Bytes;

use crate::postgres::{
    relation::{Column, Relation},
    tuple::{Tuple, Value},
    types::Type,
};

/// Which of the two rows of an update it is. A row that is alone is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The row before.
    Earlier,
    /// The row after.
    Later,
}

/// A row with a value in each column.
pub fn row(relation: &Relation) -> Tuple {
    let columns = relation.columns.iter();
    columns
        .map(|column| value(column, Version::Later))
        .collect()
}

/// The same row before an update that has set `changed`, or one column beside the key where that is empty.
pub fn earlier_row(relation: &Relation, changed: &[String]) -> Tuple {
    let is_key = |at: &usize| relation.key.contains(at) || relation.primary_key.contains(at);
    let changed: Vec<usize> = match changed {
        [] => (0..relation.columns.len())
            .rev()
            .find(|at| !is_key(at))
            .into_iter()
            .collect(),
        names => names
            .iter()
            .filter_map(|name| relation.column(name))
            .collect(),
    };
    let columns = relation.columns.iter().enumerate();
    let row = columns.map(|(at, column)| match changed.contains(&at) {
        true => value(column, Version::Earlier),
        false => value(column, Version::Later),
    });
    row.collect()
}

fn value(column: &Column, version: Version) -> Value {
    match text(&column.ty, &column.name, version) {
        Some(text) => Value::Text(Bytes::from(text)),
        None => Value::Null,
    }
}

/// A value as Postgres prints it. `None` where only Postgres can write one.
fn text(ty: &Type, name: &str, version: Version) -> Option<String> {
    let pick = |earlier: &'static str, later: &'static str| {
        Some(match version {
            Version::Earlier => earlier.to_owned(),
            Version::Later => later.to_owned(),
        })
    };
    match ty {
        Type::Bool => pick("f", "t"),
        Type::Integer => pick("6", "7"),
        Type::Float => pick("2.5", "1.5"),
        Type::Numeric => pick("12.50", "9.99"),
        Type::Json => pick("{}", r#"{"key": "value"}"#),
        Type::Timestamp => pick("2026-01-01 08:00:00", "2026-01-02 09:30:00"),
        Type::TimestampTz => pick("2026-01-01 08:00:00+00", "2026-01-02 09:30:00+00"),
        Type::Date => pick("2026-01-01", "2026-01-02"),
        Type::Time => pick("08:00:00", "09:30:00"),
        Type::Interval => pick("02:00:00", "1 day"),
        Type::Uuid => pick(
            "0b7e2c58-5f0f-4f0b-9d5e-2f4f0c1d3a6b",
            "6f1c0f0e-7c43-4a3b-8f5b-0a3f5e1d2c4b",
        ),
        Type::Bytes => pick(r"\x00", r"\x00ff"),
        Type::NumberVector => pick("1", "1 2"),
        Type::TextVector => pick("a", "a b"),
        Type::Enum(labels) => match version {
            Version::Earlier => labels.last().cloned(),
            Version::Later => labels.first().cloned(),
        },
        Type::Array { element, .. } => {
            let element = text(element, name, version)?;
            Some(format!("{{{}}}", quoted(&element, "\\\\", "\\\"")))
        }
        Type::Composite(fields) => {
            let fields = fields.iter().map(|(name, ty)| {
                let field = text(ty, name, version);
                field.map_or_else(String::new, |field| quoted(&field, "\\\\", "\"\""))
            });
            Some(format!("({})", Vec::from_iter(fields).join(",")))
        }
        Type::Hstore => pick(r#""key"=>"old""#, r#""key"=>"value""#),
        Type::Text => {
            let words = name.replace('_', " ");
            Some(match version {
                Version::Earlier => format!("former {words}"),
                Version::Later => words,
            })
        }
        Type::Cast(_) => None,
    }
}

/// A part of an array or a composite, in quotation marks.
fn quoted(part: &str, backslash: &str, mark: &str) -> String {
    let part = part.replace('\\', backslash).replace('"', mark);
    format!("\"{part}\"")
}
