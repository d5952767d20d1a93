//! The names of the events of tables.

use std::collections::{HashMap, HashSet};

use crate::{config::event_mistake, postgres::TableName};

/// The first part of the names of each table's events, as in `shop_book.added`. It has the schema in it unless that is
/// public, so that it stays unique when other tables follow. No two tables have the same, and events may be called so.
pub(super) fn prefixes<'a>(
    tables: impl Iterator<Item = &'a TableName> + Clone,
) -> HashMap<&'a TableName, String> {
    // Whoever has the name from the beginning keeps it: `log_line` is not numbered for the sake of `log line`.
    let is_own = |table: &&TableName| prefix(table) == written(table);
    let own = tables.clone().filter(is_own);
    let others = tables.filter(|table| !is_own(table));
    let mut taken = HashSet::new();
    let mut prefixes = HashMap::new();
    for table in own.chain(others) {
        let wanted = prefix(table);
        let mut name = wanted.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        prefixes.insert(table, name);
    }
    prefixes
}

fn written(table: &TableName) -> String {
    match table.schema.as_str() {
        "public" => table.name.clone(),
        schema => format!("{schema}.{}", table.name),
    }
}

fn prefix(table: &TableName) -> String {
    let (schema, name) = (clean(&table.schema, "schema"), clean(&table.name, "table"));
    let prefix = match table.schema.as_str() {
        "public" => name,
        _ => format!("{schema}.{name}"),
    };
    match event_mistake(&format!("{prefix}.added")) {
        None => prefix,
        // Those that begin with hook. and rowhook. are rowhook's own.
        Some(_) => format!("my_{prefix}"),
    }
}

/// The name in characters that events may have; `otherwise` where that leaves nothing of it.
fn clean(name: &str, otherwise: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.contains(|c: char| c.is_ascii_alphanumeric()) {
        return otherwise.to_owned();
    }
    name.replace(|c| !allowed(c), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_a_name_of_its_own_that_events_may_have() {
        let table = |schema: &str, name: &str| TableName {
            schema: schema.into(),
            name: name.into(),
        };
        let tables = [
            table("public", "log line"),
            table("public", "log_line"),
            table("public", "日本"),
            table("public", "漢字"),
            table("public", "hook"),
            table("hook", "book"),
            table("rowhook", "x"),
            table("Clinic", "Pet"),
            table("public", "log.line"),
        ];
        let prefixes = prefixes(tables.iter());
        let names: Vec<&str> = tables
            .iter()
            .map(|table| prefixes[table].as_str())
            .collect();
        assert_eq!(
            names,
            [
                "log_line_2",
                "log_line",
                "table",
                "table_2",
                "my_hook",
                "my_hook.book",
                "my_rowhook.x",
                "Clinic.Pet",
                "log_line_3",
            ]
        );
    }
}
