//! The name of a table with its schema.

use std::fmt;

/// A table with its schema; `public` where the file names none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema, unquoted.
    pub schema: String,
    /// Table, unquoted.
    pub name: String,
}

impl TableName {
    /// A table of the schema `public`.
    pub fn public(name: impl Into<String>) -> Self {
        Self {
            schema: "public".into(),
            name: name.into(),
        }
    }
}

/// As a user writes it: without the schema where that is `public`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}
