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
    let mut tables = BTreeMap::new();
    for file in files {
        carry_out(&fs::read_to_string(file).unwrap(), &mut tables);
    }
    tables
}

/// What the statements of one migration make of the tables.
fn carry_out(sql: &str, tables: &mut BTreeMap<String, Table>) {
    let mut current = String::new();
    for line in sql.lines() {
        let mut clause = line.strip_prefix("    ");
        if let Some(name) = line.strip_prefix("create table ") {
            name.trim_end_matches(" (").clone_into(&mut current);
            tables.entry(current.clone()).or_default();
        } else if let Some(rest) = line.strip_prefix("alter table ") {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            name.trim_end_matches(';').clone_into(&mut current);
            clause = Some(rest);
        } else if let Some(comment) = line.strip_prefix("comment on ") {
            comment_on(tables, comment);
        }
        if let (Some(clause), Some(table)) = (clause, tables.get_mut(&current)) {
            table.alter(clause.trim_end_matches([',', ';']));
        }
        if line.ends_with(';') || line.is_empty() {
            current.clear();
        }
    }
}

impl Table {
    /// What a line of `create table` or `alter table` does to the columns.
    fn alter(&mut self, clause: &str) {
        if let Some(column) = clause.strip_prefix("drop column ") {
            self.columns.retain(|(name, ..)| name != column);
        } else if let Some(names) = clause.strip_prefix("rename column ") {
            let (from, to) = names.split_once(" to ").unwrap();
            let mut columns = self.columns.iter_mut();
            let found = columns.find(|(name, ..)| name == from);
            to.clone_into(&mut found.unwrap().0);
        } else {
            self.add(clause.strip_prefix("add column ").unwrap_or(clause));
        }
    }

    /// Adds the column that a line defines, unless it defines something else.
    fn add(&mut self, line: &str) {
        const OTHERS: &str = "add alter and check cluster constraint disable drop enable foreign or primary \
                              rename replica set unique validate";
        const ENDS: &str = "not default constraint primary generated references check unique null";
        let is_one_of = |words: &str, word: &str| words.split(' ').any(|one| one == word);
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().trim_matches('"');
        let sql_type: Vec<&str> = words.take_while(|word| !is_one_of(ENDS, word)).collect();
        if !name.is_empty()
            && name.chars().all(is_name)
            && !is_one_of(OTHERS, name)
            && !sql_type.is_empty()
        {
            self.columns
                .push((name.to_owned(), sql_type.join(" "), String::new()));
        }
    }
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
        let column = column.trim_matches('"');
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
        "event",
        "target",
        "secret",
        "signature",
        "rate",
        "template",
        "events",
        "order",
    ] {
        assert!(hook.contains(&column), "{column} in {hook:?}");
    }
}

#[test]
fn later_migrations_change_what_earlier_ones_made() {
    let mut tables = BTreeMap::new();
    carry_out(
        "create table t (\n    id bigint primary key,\n    owner text,\n    constraint c\n        check (id > 0)\n);\n\n\
         comment on table t is 'It''s one.';\ncomment on column t.owner is 'Whose.';\n",
        &mut tables,
    );
    carry_out(
        "alter table t add column events text[] not null default '{}';\nalter table t\n    rename column owner to who,\n    \
         drop column id;\n",
        &mut tables,
    );
    let column = |name: &str, sql_type: &str, said: &str| {
        (name.to_owned(), sql_type.to_owned(), said.to_owned())
    };
    assert_eq!(tables["t"].said, "It's one.");
    assert_eq!(
        tables["t"].columns,
        [
            column("who", "text", "Whose."),
            column("events", "text[]", "")
        ]
    );
}
