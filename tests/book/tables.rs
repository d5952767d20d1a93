//! The reference of rowhook's own tables, made from the migrations.

use std::{collections::BTreeMap, fs};

use rowhook::setup::migration::TABLES;

use super::{
    pages,
    text::{cell, head, row},
};

#[derive(Default)]
struct Table {
    said: String,
    /// Each with its type and what is said of it, in the order of the table.
    columns: Vec<(String, String, String)>,
}

/// All tables, each with its columns.
pub fn all() -> String {
    let tables = read();
    let mut chapter = String::new();
    for name in TABLES {
        let table = &tables[name];
        chapter.push_str(&format!("### rowhook.{name}\n\n{}\n\n", cell(&table.said)));
        chapter.push_str(&head(["column", "type", "what it is"]));
        for (column, sql_type, said) in &table.columns {
            let column = format!("`{column}`");
            chapter.push_str(&row([&column, sql_type, &cell(said)]));
        }
        chapter.push('\n');
    }
    chapter
}

/// What the migrations make, one after the other.
fn read() -> BTreeMap<String, Table> {
    let folder = pages::root().join("sql");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for file in files {
        let sql = fs::read_to_string(file).unwrap();
        let mut current = String::new();
        for line in sql.lines() {
            if let Some(name) = line.strip_prefix("create table ") {
                current = name.trim_end_matches(" (").to_owned();
                tables.entry(current.clone()).or_default();
            } else if let Some(name) = line.strip_prefix("alter table ") {
                current = name.split([' ', ';']).next().unwrap().to_owned();
            } else if let Some(comment) = line.strip_prefix("comment on ") {
                comment_on(&mut tables, comment);
            } else if let Some(column) = line.strip_prefix("    add column ") {
                add(tables.get_mut(&current).unwrap(), column);
            } else if let Some(column) = line.strip_prefix("    drop column ") {
                let column = column.trim_end_matches([',', ';']);
                let table = tables.get_mut(&current).unwrap();
                table.columns.retain(|(name, ..)| name != column);
            } else if let Some(column) = line.strip_prefix("    ")
                && let Some(table) = tables.get_mut(&current)
                && column.starts_with(|c: char| c.is_ascii_lowercase())
            {
                add(table, column);
            } else if line.ends_with(';') || line.is_empty() {
                current.clear();
            }
        }
    }
    tables
}

/// Adds the column that a line defines, unless it defines something else.
fn add(table: &mut Table, line: &str) {
    const OTHERS: &[&str] = &[
        "add",
        "alter",
        "and",
        "check",
        "constraint",
        "drop",
        "foreign",
        "or",
        "primary",
        "set",
        "unique",
    ];
    let mut words = line.trim_end_matches([',', ';']).split(' ');
    let Some(name) = words.next().filter(|word| !OTHERS.contains(word)) else {
        return;
    };
    let ends = [
        "not",
        "default",
        "constraint",
        "primary",
        "generated",
        "references",
        "check",
        "unique",
        "null",
    ];
    let sql_type: Vec<&str> = words.take_while(|word| !ends.contains(word)).collect();
    table
        .columns
        .push((name.to_owned(), sql_type.join(" "), String::new()));
}

/// The last comment on something is the one that holds.
fn comment_on(tables: &mut BTreeMap<String, Table>, comment: &str) {
    let Some((of, said)) = comment.split_once(" is '") else {
        return;
    };
    let said = said.trim_end_matches("';").replace("''", "'");
    if let Some(name) = of.strip_prefix("table ") {
        tables.get_mut(name).unwrap().said = said;
    } else if let Some(column) = of.strip_prefix("column ") {
        let (table, column) = column.split_once('.').unwrap();
        let mut columns = tables.get_mut(table).unwrap().columns.iter_mut();
        let found = columns.find(|(name, ..)| name == column);
        found.unwrap_or_else(|| panic!("{table} has no {column}")).2 = said;
    }
}

#[test]
fn every_table_is_explained_with_its_columns() {
    let tables = read();
    for name in TABLES {
        assert!(!tables[name].said.is_empty(), "{name}");
        assert!(!tables[name].columns.is_empty(), "{name}");
    }
    let hook: Vec<&str> = tables["hook"]
        .columns
        .iter()
        .map(|(name, ..)| name.as_str())
        .collect();
    for column in [
        "id",
        "owner",
        "event",
        "target",
        "secret",
        "signature",
        "rate",
        "template",
    ] {
        assert!(hook.contains(&column), "{column} in {hook:?}");
    }
}
