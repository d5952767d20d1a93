//! Columns that no body shows although their names are not among those that hooks.toml leaves out.
//!
//! A column that `exclude` names may be renamed. Then the name is gone, and one of the others holds what must not leave
//! the database. A column is known by its number, which it keeps; what cannot be told apart is hidden.

use std::collections::{HashMap, HashSet};

use crate::postgres::relation::Relation;

/// What is known of the columns of each table, by its oid.
#[derive(Debug, Default)]
pub(super) struct HiddenColumns {
    tables: HashMap<u32, Numbers>,
}

/// Columns by their numbers.
#[derive(Debug, Default)]
struct Numbers {
    /// Those that are left out.
    excluded: HashSet<i16>,
    /// Those that were there beside them.
    shown: HashSet<i16>,
}

impl HiddenColumns {
    /// Hides the columns of a table that may hold what the columns `excluded` held.
    pub(super) fn hide(&mut self, relation: &mut Relation, excluded: &[String]) {
        if excluded.is_empty() {
            return;
        }
        let is_excluded = |name: &str| excluded.iter().any(|other| other == name);
        let missing: Vec<&str> = excluded
            .iter()
            .map(String::as_str)
            .filter(|name| relation.column(name).is_none())
            .collect();
        let catalog_has_all = excluded
            .iter()
            .all(|name| relation.numbers.iter().any(|(other, _)| other == name));
        let first = !self.tables.contains_key(&relation.oid);
        let known = self.tables.entry(relation.oid).or_default();
        if catalog_has_all && (first || missing.is_empty()) {
            for (name, number) in &relation.numbers {
                if is_excluded(name) {
                    known.excluded.insert(*number);
                    known.shown.remove(number);
                } else if !known.excluded.contains(number) {
                    known.shown.insert(*number);
                }
            }
        }
        let mut hidden = Vec::new();
        for column in &mut relation.columns {
            let number = relation
                .numbers
                .iter()
                .find(|(name, _)| *name == column.name);
            let number = number.map(|(_, number)| *number);
            let was_excluded = number.is_some_and(|number| known.excluded.contains(&number));
            let is_known = number.is_some_and(|number| known.shown.contains(&number));
            column.hidden = was_excluded || !missing.is_empty() && !is_known;
            if column.hidden && !is_excluded(&column.name) {
                hidden.push(column.name.clone());
            }
        }
        if !hidden.is_empty() || !missing.is_empty() {
            tracing::warn!(
                table = %relation.table(),
                excluded = missing.join(", "),
                hidden = hidden.join(", "),
                "the table has no longer all columns that exclude names; what may have been one of them is hidden; \
                 name the columns as they are now in hooks.toml"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::postgres::{TableName, pgoutput::ReplicaIdentity, relation::Column, types::Type};

    /// A table as the stream has it, and as the catalog has it.
    fn relation(streamed: &[&str], catalog: &[(&str, i16)]) -> Relation {
        let column = |name: &&str| Column {
            name: (*name).into(),
            ty: Arc::new(Type::Text),
            type_oid: 25,
            sql_type: "text".into(),
            nullable: true,
            identity_key: *name == "id",
            generated: false,
            toastable: true,
            foreign_key: false,
            unchecked: false,
            hidden: false,
        };
        let numbers = catalog.iter();
        Relation {
            oid: 1,
            schema: "public".into(),
            name: "book".into(),
            stored_as: TableName::public("book"),
            numbers: numbers
                .map(|(name, at)| ((*name).to_owned(), *at))
                .collect(),
            identity: ReplicaIdentity::Default,
            columns: streamed.iter().map(column).collect(),
            primary_key: vec![0],
            key_equals: Vec::new(),
            key: vec![0],
        }
    }

    /// The columns that are shown, of those that are not excluded by name.
    fn shown(
        hidden: &mut HiddenColumns,
        streamed: &[&str],
        catalog: &[(&str, i16)],
    ) -> Vec<String> {
        let excluded = ["cost".to_owned()];
        let mut relation = relation(streamed, catalog);
        hidden.hide(&mut relation, &excluded);
        let columns = relation.columns.into_iter();
        let columns = columns.filter(|column| !column.hidden && column.name != "cost");
        columns.map(|column| column.name).collect()
    }

    const BOOK: [(&str, i16); 3] = [("id", 1), ("price", 2), ("cost", 3)];

    #[test]
    fn a_renamed_column_is_hidden_under_its_new_name() {
        let mut hidden = HiddenColumns::default();
        assert_eq!(
            shown(&mut hidden, &["id", "price", "cost"], &BOOK),
            ["id", "price"]
        );
        let renamed = [("id", 1), ("price", 2), ("margin", 3)];
        assert_eq!(
            shown(&mut hidden, &["id", "price", "margin"], &renamed),
            ["id", "price"]
        );
        // Renamed once more before the catalog was read.
        let later = [("id", 1), ("price", 2), ("profit", 3)];
        assert_eq!(
            shown(&mut hidden, &["id", "price", "margin"], &later),
            ["id", "price"]
        );
        // A new column may be the one.
        let more = [("id", 1), ("price", 2), ("margin", 3), ("new", 4)];
        assert_eq!(
            shown(&mut hidden, &["id", "price", "margin", "new"], &more),
            ["id", "price"]
        );
    }

    #[test]
    fn a_renamed_column_is_hidden_under_the_name_of_another() {
        let mut hidden = HiddenColumns::default();
        shown(&mut hidden, &["id", "price", "cost"], &BOOK);
        let swapped = [("id", 1), ("cost", 2), ("price", 3)];
        assert_eq!(
            shown(&mut hidden, &["id", "cost", "price"], &swapped),
            ["id"]
        );
        let mut hidden = HiddenColumns::default();
        shown(&mut hidden, &["id", "price", "cost"], &BOOK);
        let shifted = [("id", 1), ("old", 2), ("price", 3)];
        assert_eq!(
            shown(&mut hidden, &["id", "old", "price"], &shifted),
            ["id", "old"]
        );
    }

    #[test]
    fn a_row_from_before_the_file_named_the_new_name_does_not_show_the_old_one() {
        let mut hidden = HiddenColumns::default();
        assert_eq!(
            shown(&mut hidden, &["id", "price", "margin"], &BOOK),
            ["id", "price"]
        );
        let mut unknown = HiddenColumns::default();
        let gone = [("id", 1), ("price", 2), ("margin", 3)];
        assert!(shown(&mut unknown, &["id", "price", "margin"], &gone).is_empty());
    }

    #[test]
    fn other_columns_come_and_go() {
        let mut hidden = HiddenColumns::default();
        shown(&mut hidden, &["id", "price", "cost"], &BOOK);
        let more = [("id", 1), ("price", 2), ("cost", 3), ("pages", 4)];
        let columns = ["id", "price", "cost", "pages"];
        assert_eq!(
            shown(&mut hidden, &columns, &more),
            ["id", "price", "pages"]
        );
        let dropped = [("id", 1), ("cost", 3), ("length", 4)];
        assert_eq!(
            shown(&mut hidden, &["id", "cost", "length"], &dropped),
            ["id", "length"]
        );
    }
}
