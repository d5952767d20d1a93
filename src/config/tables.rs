//! `[tables.NAME]`: the owner and the identity of a table's rows, and how payloads show them.

use std::collections::HashSet;

use super::mistake::Location;
use super::{
    content,
    events::Events,
    model::Model,
    name,
    reader::{Keys, Table, Value},
};
use crate::postgres::TableName;
use crate::{
    expression::{query::Query, template::Template},
    nearest::nearest,
};

/// `[tables.NAME]`: the rules for the rows of one table.
#[derive(Debug, Clone)]
pub struct TableRules {
    /// The table.
    pub table: TableName,
    /// How the owner of a row is found; `None`: by the column `user_id`, where the table has it.
    pub owner: Option<OwnerRule>,
    /// Shall setup set REPLICA IDENTITY FULL?
    pub identity_full: bool,
    /// The columns that payloads show.
    pub columns: Columns,
    /// The fields of the payload `django`, by the names of the model, in its order; `None`: all columns in theirs.
    pub fields: Option<Vec<String>>,
    /// Columns that payloads show by another name: each with its own name and that one.
    pub rename: Vec<(String, String)>,
    /// The queries whose results are added to a row, in the order of the file.
    pub enrich: Vec<Enrich>,
    /// The template that makes what is sent in place of the plain row.
    pub payload: Option<Template>,
    /// The query that says which owners may see a row; `None`: every owner whose hook is sent it.
    pub visible: Option<Query>,
    /// Where the rules stand in hooks.toml.
    pub place: Location,
}

/// One line of `[tables.NAME.enrich]`: `key = "query"`.
#[derive(Debug, Clone)]
pub struct Enrich {
    /// The key under which payloads show the result.
    pub key: String,
    /// The query.
    pub query: Query,
    /// Where it stands in hooks.toml.
    pub place: Location,
}

/// The columns of a table that payloads show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Columns {
    /// All columns, later ones included.
    #[default]
    All,
    /// Only these.
    Only(Vec<String>),
    /// All columns except these.
    Except(Vec<String>),
}

/// How the owner of a row is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRule {
    /// A column of the row. It holds the owner or, when there are steps, the key that the first step looks up.
    pub column: String,
    /// The tables on the path to the owner, in order: `shelf_id -> shelf.user_id` has one step.
    pub steps: Vec<OwnerStep>,
}

/// One `-> table.column` of an owner path. Its rows are found by the table's primary key, which must be one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerStep {
    /// The table that the previous key refers to.
    pub table: TableName,
    /// The column that holds the owner, or the key of the next step.
    pub column: String,
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "owner", "identity", "columns", "exclude", "rename", "enrich", "payload", "visible",
        "model", "fields",
    ],
    later: &[],
};

/// The Django models that the tables name. Their mistakes are reported by [`read`].
pub(super) fn models(table: &Table<'_>) -> Vec<(TableName, Model)> {
    let models = table.iter().filter_map(|value| {
        let text = value.peek("model")?;
        Some((TableName::parse(value.name)?, Model::parse(text)?))
    });
    models.collect()
}

/// Reads the rules of tables. That of the hooks, `of_hooks`, may have some although no event is about it.
pub(super) fn read(
    table: &Table<'_>,
    events: &Events,
    of_hooks: Option<&TableName>,
) -> Vec<TableRules> {
    let mut rules: Vec<TableRules> = Vec::new();
    let mut ruled = HashSet::new();
    let mut looked_up = looked_up(table);
    looked_up.extend(of_hooks.cloned());
    for value in table.iter() {
        let Some(read) = read_one(value, events, &looked_up) else {
            continue;
        };
        if !ruled.insert(read.table.clone()) {
            value.reader.wrong(
                value.key_place,
                format!(
                    "the table {} has rules already; put them together",
                    read.table
                ),
            );
        }
        rules.push(read);
    }
    rules
}

/// The tables that owner paths go through. They may have rules although no event is about them.
fn looked_up(table: &Table<'_>) -> HashSet<TableName> {
    let rules = table
        .iter()
        .filter_map(|value| owner_rule(value.peek("owner")?));
    let steps = rules.flat_map(|rule| rule.steps);
    steps.map(|step| step.table).collect()
}

impl TableRules {
    /// The rules of a table that hooks.toml says nothing of.
    pub fn none(table: TableName, place: Location) -> Self {
        Self {
            table,
            owner: None,
            identity_full: false,
            columns: Columns::All,
            fields: None,
            rename: Vec::new(),
            enrich: Vec::new(),
            payload: None,
            visible: None,
            place,
        }
    }
}

fn read_one(
    value: &Value<'_>,
    events: &Events,
    looked_up: &HashSet<TableName>,
) -> Option<TableRules> {
    let wrong = |text: String| value.reader.wrong(value.key_place, text);
    if value.has_no_key_of(KEYS.known) && value.holds_tables() {
        wrong(format!(
            "{} is no table; write a schema and its table in one pair of quotes: [tables.\"{}.name\"]",
            value.key, value.name
        ));
        return None;
    }
    let table = value.table(&KEYS)?;
    let owner = table.find("owner").and_then(owner);
    let identity_full = table
        .find("identity")
        .and_then(|value| value.choice(&[("full", true)]))
        .unwrap_or_default();
    let columns = columns(&table);
    let fields = table.find("fields").and_then(Value::strings);
    let rename = table.find("rename").map(rename).unwrap_or_default();
    let enrich = table.find("enrich").map(enrich).unwrap_or_default();
    let payload = table.find("payload").and_then(content::template);
    let visible = table.find("visible").and_then(query);
    if let Some(value) = table.find("model") {
        model(value, events);
    }
    let Some(name) = TableName::parse(value.name) else {
        wrong(format!(
            "{:?} is no table; write [tables.name] or [tables.\"schema.name\"]",
            value.name
        ));
        return None;
    };
    let is_known = events.tables.contains(&name) || looked_up.contains(&name);
    if !events.tables_unclear && !is_known {
        let known: Vec<String> = events.tables.iter().map(ToString::to_string).collect();
        let remedy = match nearest(&name.to_string(), known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "name it in [events], or remove its rules".into(),
        };
        wrong(format!("no event is about the table {name}; {remedy}"));
    }
    Some(TableRules {
        table: name,
        owner,
        identity_full,
        columns,
        fields,
        rename,
        enrich,
        payload,
        visible,
        place: value.key_place,
    })
}

/// Checks `model`, such as `bookstore.Book`: no two tables may have the same one.
fn model(value: &Value<'_>, events: &Events) {
    let Some(text) = value.string() else { return };
    match Model::parse(&text) {
        None => value.wrong(format!(
            "{} is no Django model; write \"app.Model\", such as \"bookstore.Book\"",
            value.quote(&text)
        )),
        Some(model) if events.shared_models.contains(&model) => value.wrong(format!(
            "{} is the model of another table too; each has its own",
            value.quote(&text)
        )),
        Some(_) => {}
    }
}

/// Reads `{ user_id = "owner" }`.
fn rename(value: &Value<'_>) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut taken = HashSet::new();
    let Some(table) = value.open_table() else {
        return names;
    };
    for value in table.iter() {
        let Some(shown) = value.string() else {
            continue;
        };
        if !taken.insert(shown.clone()) {
            value.wrong(format!(
                "{} is the name of another column already; give each its own",
                value.quote(&shown)
            ));
        }
        names.push((value.name.to_owned(), shown));
    }
    names
}

/// Reads `{ author = "select name from author where id = $author_id" }`.
fn enrich(value: &Value<'_>) -> Vec<Enrich> {
    let Some(table) = value.open_table() else {
        return Vec::new();
    };
    let read = |value: &Value<'_>| {
        Some(Enrich {
            key: value.name.to_owned(),
            query: query(value)?,
            place: value.place,
        })
    };
    table.iter().filter_map(read).collect()
}

/// Reads a query with `$column` in place of values.
fn query(value: &Value<'_>) -> Option<Query> {
    let sql = value.string()?;
    match Query::parse(&sql) {
        Ok(query) => Some(query),
        Err(why) => {
            value.wrong(format!("{} cannot be asked: {why}", value.key));
            None
        }
    }
}

fn columns(table: &Table<'_>) -> Columns {
    let read = |key| Some((table.find(key)?, table.find(key)?.strings()));
    match (read("columns"), read("exclude")) {
        (Some(_), Some((exclude, _))) => {
            exclude.reader.wrong(
                exclude.key_place,
                format!("{} stands beside columns; keep one of the two", exclude.key),
            );
            Columns::All
        }
        (Some((_, only)), None) => only.map_or(Columns::All, Columns::Only),
        (None, Some((_, except))) => except.map_or(Columns::All, Columns::Except),
        (None, None) => Columns::All,
    }
}

/// Reads `user_id`, or a path such as `shelf_id -> shelf.user_id`.
fn owner(value: &Value<'_>) -> Option<OwnerRule> {
    let text = value.string()?;
    let rule = owner_rule(&text);
    if rule.is_none() {
        value.wrong(format!(
            "{} is no owner; write a column, or a path such as \"shelf_id -> shelf.user_id\"",
            value.quote(&text)
        ));
    }
    rule
}

fn owner_rule(text: &str) -> Option<OwnerRule> {
    let mut parts = text.split("->").map(|part| name::parts(part.trim()));
    let [column] = <[String; 1]>::try_from(parts.next()??).ok()?;
    let step = |parts: Option<Vec<String>>| {
        let mut parts = parts?;
        let column = parts.pop()?;
        let table = TableName::from_parts(parts)?;
        Some(OwnerStep { table, column })
    };
    let steps = parts.map(step).collect::<Option<_>>()?;
    Some(OwnerRule { column, steps })
}

impl Columns {
    /// Do payloads show the column `name`?
    pub fn show(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(columns) => columns.iter().any(|column| column == name),
            Self::Except(columns) => columns.iter().all(|column| column != name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_column_or_a_path() {
        let rule = owner_rule("box_id -> box.shelf_id->lib.shelf.\"User\"").unwrap();
        assert_eq!(rule.column, "box_id");
        assert_eq!(rule.steps.len(), 2);
        assert_eq!(rule.steps[0].table, TableName::public("box"));
        assert_eq!(rule.steps[1].table.schema, "lib");
        assert_eq!(rule.steps[1].column, "User");
        assert_eq!(owner_rule("user_id").unwrap().steps, []);
        for text in ["a.b", "a ->", "a -> b", "-> b.c", "a -> b.c.d.e", "a b"] {
            assert_eq!(owner_rule(text), None, "{text}");
        }
    }

    #[test]
    fn columns_show_what_is_named_or_what_is_not() {
        let names = vec!["cost".to_owned()];
        assert!(Columns::All.show("cost"));
        assert!(Columns::Only(names.clone()).show("cost"));
        assert!(!Columns::Only(names.clone()).show("id"));
        assert!(!Columns::Except(names.clone()).show("cost"));
        assert!(Columns::Except(names).show("id"));
    }
}
