//! Names of tables.

use std::fmt;

/// The name of a table and its schema. Where a user writes no schema, it is `public`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema, unquoted.
    pub schema: String,
    /// The table, unquoted.
    pub name: String,
}

impl TableName {
    /// The name of a table in the schema `public`.
    pub fn public(name: impl Into<String>) -> Self {
        Self {
            schema: "public".into(),
            name: name.into(),
        }
    }
}

/// As a user writes it: without the schema if that is `public`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}
