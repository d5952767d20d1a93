//! Which replica identity a table can have, and what to do where it is not the one that is wanted.
//!
//! Postgres refuses an update where a publication that has it lacks a column of the replica identity. So REPLICA
//! IDENTITY FULL does harm where a column cannot be published, or another publication leaves one out.

use super::{Kind, RowIdentity, Table};
use crate::postgres::quote;

impl Table {
    /// Why updates and deletes would fail if the replica identity were full, beginning with a verb; `None` if they
    /// would not.
    pub fn no_full(&self) -> Option<String> {
        let own = match (&self.virtual_columns[..], &self.partial_publications[..]) {
            ([], []) => None,
            ([], partial) => Some(format!(
                "is in the publication {}, which has not all of its columns",
                partial.join(", ")
            )),
            (columns, _) => Some(format!(
                "has the virtual generated column {}, which cannot be published",
                columns.join(", ")
            )),
        };
        own.or_else(|| self.leaves.iter().find_map(Self::no_full))
    }

    /// Why only its inserts can be published, beginning with a verb.
    pub fn why_inserts_only(&self) -> String {
        match self.no_full() {
            Some(cause) if self.some_full().is_some() => {
                format!("{cause}, and replica identity full")
            }
            _ => "has no replica identity".to_owned(),
        }
    }

    /// How to give it a replica identity with which updates can be published.
    pub fn how_to_identify(&self) -> String {
        let name = &self.name;
        match (self.no_full(), self.some_full()) {
            (Some(_), Some(full)) => {
                let default = format!(
                    "run: alter table {} replica identity default",
                    quote::table(&full.name)
                );
                match full.primary_key.is_empty() {
                    true => format!("give {name} a primary key, and {default}"),
                    false => default,
                }
            }
            (Some(_), None) => format!("give {name} a primary key"),
            (None, _) if self.kind == Kind::Partitioned => format!(
                "give {name} a primary key; identity = \"full\" does not do, as a partition that is added later would not have it"
            ),
            (None, _) => {
                format!("give {name} a primary key, or identity = \"full\" under [tables.{name}]")
            }
        }
    }

    /// What to do where `identity = "full"` is asked for and cannot be had.
    pub fn how_to_do_without_full(&self) -> String {
        match &self.virtual_columns[..] {
            [] => "let that publication have all columns, or no updates; or take identity = \"full\" out".to_owned(),
            columns => format!("make {} stored, or take identity = \"full\" out", columns.join(", ")),
        }
    }

    /// The table that has the identity full: itself, or one of its partitions. Without a primary key, the identity of
    /// partitions is not the reason why a partitioned table is heard with inserts only.
    fn some_full(&self) -> Option<&Self> {
        match self.kind {
            Kind::Partitioned if self.primary_key.is_empty() => None,
            Kind::Partitioned => self.leaves.iter().find_map(Self::some_full),
            _ => (self.identity == RowIdentity::Full).then_some(self),
        }
    }
}
