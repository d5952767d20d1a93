//! Checks whether the expressions, templates and queries of the file fit the tables.
//!
//! None of that waits for the first row: expressions are checked against the columns, templates are rendered for a row
//! of NULLs and for a row of the table, and queries are prepared by the server.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use tokio_postgres::{Client, Error, types::Type as BuiltIn};

use super::{
    casts::untrusted,
    finding::{Finding, Topic},
};
use crate::{
    config::{Action, Config, EventRule, EventSource, FileHook, Location, Pattern, TableRules},
    event::shape::Shape,
    expression::{
        document::Document,
        query::Query,
        template::{Template, View},
        typing::Columns,
    },
    lookup::{enrich, permission},
    nearest::nearest,
    postgres::{
        TableName,
        connect::session,
        fault::Fault,
        quote,
        relation::{Column, Relation},
        types::Type,
    },
    setup::asked::Asked,
};

/// Checks all expressions, templates and queries.
///
/// # Errors
/// If the catalog or a table cannot be read.
pub(super) async fn shapes(client: &Client, config: &Config) -> Result<Vec<Finding>, Error> {
    let asked = Asked::new(config);
    let named = config.events.iter().filter_map(|rule| rule.source.table());
    let ruled = config.tables.iter().map(|rules| &rules.table);
    let owners = config
        .tables
        .iter()
        .filter_map(|rules| rules.owner.as_ref());
    let steps = owners
        .flat_map(|owner| &owner.steps)
        .map(|step| &step.table);
    let tables = Relation::find_all(client, named.chain(ruled).chain(steps)).await?;
    let columns = tables.iter().map(|(name, relation)| {
        let shape = asked.rules(name).map(Shape::new).unwrap_or_default();
        (name, columns_of(relation, &shape))
    });
    let columns: HashMap<&TableName, Columns> = columns.collect();
    let mut findings = conditions(config, &columns);
    for name in asked.published() {
        findings.extend(tables.get(name).into_iter().flat_map(untrusted));
    }
    findings.extend(filters(config, &columns));
    for rules in &config.tables {
        let Some(relation) = tables.get(&rules.table) else {
            continue;
        };
        findings.extend(invalid_names(rules, relation));
        findings.extend(owner_types(rules, relation, &tables));
        findings.extend(enrich_queries(client, rules, relation).await?);
        if let Some(visible) = &rules.visible {
            findings.extend(visible_query(client, visible, rules, relation).await?);
        }
    }
    let mut names: Vec<&TableName> = tables.keys().collect();
    names.sort();
    for name in names {
        let none = TableRules::none(name.clone(), Location { line: 1, column: 1 });
        let rules = asked.rules(name).unwrap_or(&none);
        let templates = templates(config, rules);
        if templates.is_empty() || asked.event(name, |_| true).is_none() {
            continue;
        }
        let sample = Sample::of(client, rules, &tables[name]).await?;
        let failures = templates.iter();
        findings.extend(failures.filter_map(|of| template_failure(of, rules, &sample, &asked)));
    }
    Ok(findings)
}

/// Checks the conditions of these events, and nothing else.
///
/// # Errors
/// If the catalog cannot be read.
pub(super) async fn of_events(client: &Client, config: &Config) -> Result<Vec<Finding>, Error> {
    let asked = Asked::new(config);
    let named = config.events.iter().filter_map(|rule| rule.source.table());
    let tables = Relation::find_all(client, named).await?;
    let columns = tables.iter().map(|(name, relation)| {
        let shape = asked.rules(name).map(Shape::new).unwrap_or_default();
        (name, columns_of(relation, &shape))
    });
    Ok(conditions(config, &columns.collect()))
}

/// A template that makes something of the rows of a table.
struct Tried<'a> {
    template: &'a Template,
    called: String,
    place: Option<Location>,
    topic: Topic,
    /// The hook that it belongs to; `None`: all hooks that have none of their own.
    hook: Option<&'a FileHook>,
}

/// All templates of the file that make something of the rows of this table.
fn templates<'a>(config: &'a Config, rules: &'a TableRules) -> Vec<Tried<'a>> {
    let of_all = config.delivery.template.as_deref();
    let mut templates = Vec::new();
    if let Some(template) = &rules.payload {
        templates.push(Tried {
            template,
            called: format!("the payload of {}", rules.table),
            place: Some(rules.place),
            topic: Topic::Tables,
            hook: None,
        });
    } else if let Some(template) = of_all {
        templates.push(Tried {
            template,
            called: "the template of [delivery]".into(),
            place: None,
            topic: Topic::Tables,
            hook: None,
        });
    }
    for hook in &config.hooks {
        let own = hook.delivery.template.as_deref();
        if let Some(template) = own.filter(|_| hook.delivery.template_is_own) {
            templates.push(Tried {
                template,
                called: format!("the template of the hook {}", hook.name),
                place: Some(hook.place),
                topic: Topic::Hooks,
                hook: Some(hook),
            });
        }
    }
    templates
}

/// Findings on columns of an owner path that can hold what is no key of the next table.
fn owner_types(
    rules: &TableRules,
    relation: &Relation,
    tables: &HashMap<TableName, Relation>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(owner) = &rules.owner else {
        return findings;
    };
    let mut table = relation;
    let mut name = &owner.column;
    for step in &owner.steps {
        // That a table, a column or a key is missing is another finding.
        let Some(next) = tables.get(&step.table) else {
            break;
        };
        let column = table.column(name).and_then(|at| table.columns.get(at));
        let key = match next.primary_key[..] {
            [at] => next.columns.get(at),
            _ => None,
        };
        if let (Some(column), Some(key)) = (column, key)
            && may_be_no_key(column, key)
        {
            let what = format!(
                "{name} of {} is {}, and the key of {} that it refers to is {}: where a value is none, the owner of the row is unknown, and only hooks of everyone hear of it",
                table.table(),
                column.sql_type,
                step.table,
                key.sql_type
            );
            let remedy = format!(
                "give {name} the type {}, or another owner to [tables.{}]",
                key.sql_type, rules.table
            );
            let finding = Finding::warn(Topic::Owners, what).remedy(remedy);
            let finding = finding.at(rules.place).kind(
                "columns on the paths to owners can hold what is no key of the table that they refer to",
                format!("{}.{name}", table.table()),
            );
            findings.push(finding);
        }
        (table, name) = (next, &step.column);
    }
    findings
}

/// Can a value of `column` be no value of the type of `key`?
fn may_be_no_key(column: &Column, key: &Column) -> bool {
    let takes_all = [BuiltIn::TEXT, BuiltIn::VARCHAR]
        .iter()
        .any(|ty| ty.oid() == key.type_oid);
    let is_same = column.type_oid == key.type_oid || (column.ty == key.ty && *key.ty != Type::Text);
    !takes_all && !is_same
}

/// The columns that expressions on events of this table may use: those that are shown.
pub fn visible(config: &Config, relation: &Relation) -> Columns {
    let table = relation.table();
    let rules = config.tables.iter().find(|rules| rules.table == table);
    columns_of(relation, &rules.map(Shape::new).unwrap_or_default())
}

fn columns_of(relation: &Relation, shape: &Shape) -> Columns {
    Columns::of(relation, |column| shape.name(column).is_some())
}

/// Checks each `when` of an event.
fn conditions(config: &Config, tables: &HashMap<&TableName, Columns>) -> Vec<Finding> {
    let rules = config.events.iter();
    rules
        .filter_map(|rule| {
            let EventSource::Row { table, when, .. } = &rule.source else {
                return None;
            };
            let filter = when.as_deref()?;
            let error = filter.check(Some(tables.get(table)?)).err()?;
            let what = format!("{}: {error}", rule.name);
            Some(Finding::fatal(Topic::Events, what).at(rule.place))
        })
        .collect()
}

/// Checks each `filter` of a hook in the file. One that fits only some of the hook's events is a warning: that may be
/// meant.
fn filters(config: &Config, tables: &HashMap<&TableName, Columns>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for hook in &config.hooks {
        let Some(filter) = &hook.filter else {
            continue;
        };
        let covers = |name: &str| {
            hook.events
                .iter()
                .any(|pattern: &Pattern| pattern.matches(name))
        };
        let mut misfits = Vec::new();
        let mut fits = false;
        for rule in config.events.iter().filter(|rule| covers(&rule.name)) {
            let columns = rule.source.table().and_then(|table| tables.get(table));
            match filter.check(columns) {
                Ok(()) => fits = true,
                Err(error) => misfits.push((&rule.name, error)),
            }
        }
        if let Some((event, error)) = misfits.first() {
            let what = format!("the filter of the hook {}, on {event}: {error}", hook.name);
            let finding = if fits {
                Finding::warn(Topic::Hooks, what).remedy(format!(
                    "ask for the event first, as in: event != {event:?} || …; what it fails on goes on record as dead"
                ))
            } else {
                Finding::fatal(Topic::Hooks, what)
            };
            findings.push(finding.at(hook.place));
        }
    }
    findings
}

/// Checks the names in `rename` and `enrich`: columns must exist, and no two may be shown by one name.
fn invalid_names(rules: &TableRules, relation: &Relation) -> Vec<Finding> {
    let wrong = |what: String| Finding::fatal(Topic::Tables, what).at(rules.place);
    let mut findings = Vec::new();
    let names = || relation.columns.iter().map(|column| column.name.as_str());
    for (column, shown) in &rules.rename {
        if relation.column(column).is_none() {
            findings.push(unknown(rules, relation, "rename", column, rules.place));
        }
        if relation.column(shown).is_some() && rules.rename.iter().all(|(own, _)| own != shown) {
            findings.push(wrong(format!(
                "{column} of {} cannot be shown as {shown}, which is another of its columns",
                rules.table
            )));
        }
    }
    for field in rules.fields.iter().flatten() {
        let shown = rules.rename.iter().map(|(_, shown)| shown.as_str());
        let mut all = names().chain(shown);
        let is_column = all.any(|name| name == field || name.strip_suffix("_id") == Some(field));
        if !is_column && rules.enrich.iter().all(|enrich| enrich.key != *field) {
            findings.push(unknown(rules, relation, "fields", field, rules.place));
        }
    }
    for enrich in &rules.enrich {
        let shown = rules.rename.iter().map(|(_, shown)| shown.as_str());
        if names().chain(shown).any(|name| name == enrich.key) {
            findings.push(wrong(format!(
                "what is added to {} cannot be called {}, which is one of its columns",
                rules.table, enrich.key
            )));
        }
    }
    findings
}

fn unknown(
    rules: &TableRules,
    relation: &Relation,
    who: &str,
    column: &str,
    place: Location,
) -> Finding {
    let what = format!(
        "{who} names {column}, but {} has no such column",
        rules.table
    );
    let names = relation.columns.iter().map(|column| column.name.as_str());
    let finding = Finding::fatal(Topic::Tables, what).at(place);
    match nearest(column, names) {
        Some(near) => finding.remedy(format!("did you mean {near}?")),
        None => finding,
    }
}

/// Checks each query of `enrich`.
async fn enrich_queries(
    client: &Client,
    rules: &TableRules,
    relation: &Relation,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for enrich in &rules.enrich {
        let who = format!("enrich.{}", enrich.key);
        let columns = enrich.query.columns();
        let missing = columns
            .iter()
            .filter(|column| relation.column(column).is_none());
        let before = findings.len();
        findings.extend(missing.map(|column| unknown(rules, relation, &who, column, enrich.place)));
        if findings.len() > before {
            continue;
        }
        let sql = enrich::sql(&enrich.query, relation);
        findings.extend(unanswerable(client, &sql, &who, rules, enrich.place).await?);
    }
    Ok(findings)
}

/// Checks the query of `visible`.
async fn visible_query(
    client: &Client,
    visible: &Query,
    rules: &TableRules,
    relation: &Relation,
) -> Result<Vec<Finding>, Error> {
    let names = visible.columns();
    let no_key = names.contains(&permission::KEY)
        && relation.column(permission::KEY).is_none()
        && relation.primary_key.len() != 1;
    if no_key {
        let what = format!(
            "visible names key, but the primary key of {} is not one column",
            rules.table
        );
        let finding = Finding::fatal(Topic::Tables, what).at(rules.place);
        return Ok(vec![
            finding.remedy("name its columns, each with a $ before it"),
        ]);
    }
    let columns = names
        .iter()
        .filter_map(|name| permission::column(name, relation));
    let missing = columns.filter(|column| relation.column(column).is_none());
    let findings: Vec<Finding> = missing
        .map(|column| unknown(rules, relation, "visible", column, rules.place))
        .collect();
    if !findings.is_empty() {
        return Ok(findings);
    }
    let sql = permission::sql(visible, |name| match permission::column(name, relation) {
        Some(column) => enrich::sql_type(relation, column),
        None => "text".to_owned(),
    });
    let finding = unanswerable(client, &sql, "visible", rules, rules.place).await?;
    Ok(finding.into_iter().collect())
}

/// The finding that the server refuses to prepare a query, if it does.
async fn unanswerable(
    client: &Client,
    sql: &str,
    who: &str,
    rules: &TableRules,
    place: Location,
) -> Result<Option<Finding>, Error> {
    // Prepared and not executed: the names of the query are the operator's, and mean what they will mean then.
    session::search_as_role(client).await?;
    let prepared = client.prepare(sql).await;
    session::search_as_usual(client).await?;
    match prepared {
        Ok(_) => Ok(None),
        // The answer may be another one in a moment.
        Err(error) if Fault::of(&error).is_transient() => Err(error),
        Err(error) if error.code().is_some() => {
            let cause = crate::postgres::error_message(&error);
            let what = format!("{who} of {} cannot be asked: {cause}", rules.table);
            Ok(Some(Finding::fatal(Topic::Tables, what).at(place)))
        }
        Err(error) => Err(error),
    }
}

/// The rows that a template is tried on.
struct Sample {
    /// A row with NULL in every nullable column.
    empty: Map<String, Value>,
    /// A row of the table, or an invented one if it has none.
    full: Map<String, Value>,
}

impl Sample {
    async fn of(client: &Client, rules: &TableRules, relation: &Relation) -> Result<Self, Error> {
        let sql = format!(
            "select to_jsonb(one)::text from {} as one limit 1",
            quote::table(&rules.table)
        );
        let row = match client.query_opt(&sql, &[]).await {
            Ok(row) => row.map(|row| row.try_get::<_, String>(0)).transpose()?,
            // That the table cannot be read is another finding.
            Err(error) if error.code().is_some() => None,
            Err(error) => return Err(error),
        };
        let row = row.and_then(|row| serde_json::from_str::<Map<String, Value>>(&row).ok());
        let mut full = Map::new();
        let mut empty = Map::new();
        for column in &relation.columns {
            let known = row.as_ref().and_then(|row| row.get(&column.name)).cloned();
            let value = known.unwrap_or_else(|| example(&column.ty));
            let bare = if column.nullable {
                Value::Null
            } else {
                value.clone()
            };
            empty.insert(column.name.clone(), bare);
            full.insert(column.name.clone(), value);
        }
        Ok(Self { empty, full })
    }
}

/// An example value of a type, as JSON.
fn example(ty: &Type) -> Value {
    match ty {
        Type::Bool => json!(true),
        Type::Integer | Type::Float | Type::Numeric => json!(1),
        Type::Timestamp | Type::TimestampTz => json!("2024-05-01T12:00:00"),
        Type::Array { .. } | Type::NumberVector | Type::TextVector => json!([]),
        Type::Json | Type::Cast(_) | Type::Composite(_) | Type::Hstore => json!({}),
        Type::Uuid
        | Type::Date
        | Type::Time
        | Type::Interval
        | Type::Bytes
        | Type::Enum(_)
        | Type::Text => json!("text"),
    }
}

/// The first failure of a template, over each kind of event of its table and each sample row.
fn template_failure(
    tried: &Tried<'_>,
    rules: &TableRules,
    sample: &Sample,
    asked: &Asked<'_>,
) -> Option<Finding> {
    let Tried { template, hook, .. } = tried;
    let rows = [
        (&sample.full, "a row of the table", true),
        (&sample.empty, "a row of NULLs", false),
    ];
    let hears = |rule: &EventRule| {
        hook.is_none_or(|hook| hook.events.iter().any(|event| event.matches(&rule.name)))
    };
    for (row, called, is_full) in rows {
        for (action, op) in [
            (Action::Created, "insert"),
            (Action::Updated, "update"),
            (Action::Deleted, "delete"),
        ] {
            let rule = rule_on(asked, &rules.table, &action).filter(|rule| hears(rule));
            let Some(rule) = rule else {
                continue;
            };
            let paths = if is_full { template.paths() } else { &[] };
            if let Err(error) = template.render(view(rules, row, paths, rule, &action, op)) {
                let what = format!("{}, for {} with {called}: {error}", tried.called, rule.name);
                // What it fails on is dead on record for its hooks, and other rows and tables go on.
                let remedy = match is_full {
                    true => "correct the template: what it fails on goes on record as dead",
                    false => {
                        "guard it, as in {{ data.author.name if data.author else none }}; an event on which it fails goes on record as dead"
                    }
                };
                let finding = Finding::warn(tried.topic, what).remedy(remedy);
                return Some(match tried.place {
                    Some(place) => finding.at(place),
                    None => finding,
                });
            }
        }
    }
    None
}

/// An example of what a query finds: an object with what the template wants of it; null if it wants nothing.
fn enriched(key: &str, paths: &[String]) -> Value {
    let before = format!("data.{key}.");
    let mut value = Value::Null;
    for path in paths.iter().filter_map(|path| path.strip_prefix(&before)) {
        let mut at = &mut value;
        for name in path.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[name];
        }
        if at.is_null() {
            *at = json!("text");
        }
    }
    value
}

/// The first event on an action of a table.
fn rule_on<'a>(asked: &Asked<'a>, table: &TableName, action: &Action) -> Option<&'a EventRule> {
    let is_on = |rule: &EventRule| matches!(&rule.source, EventSource::Row { action: its, .. } if its == action);
    asked.event(table, is_on)
}

/// What a template sees when the event happens to `row`.
fn view<'a>(
    rules: &TableRules,
    row: &Map<String, Value>,
    paths: &[String],
    rule: &'a EventRule,
    action: &Action,
    op: &'a str,
) -> View<'a> {
    let shape = Shape::new(rules);
    let fields = || row.iter().map(|(name, value)| (name, value.clone()));
    let shown = fields().filter_map(|(name, value)| Some((shape.name(name)?.to_owned(), value)));
    let added = rules.enrich.iter();
    let added = added.map(|enrich| (enrich.key.clone(), enriched(&enrich.key, paths)));
    let own = || {
        let own = fields().filter(|(name, _)| shape.name(name).is_some());
        Value::Object(own.map(|(name, value)| (name.clone(), value)).collect())
    };
    let document = |row: Value| Arc::new(Document::parse(row.to_string()).unwrap_or_default());
    View {
        data: document(Value::Object(shown.chain(added).collect())),
        new: match action {
            Action::Deleted => Arc::default(),
            _ => document(own()),
        },
        old: match action {
            Action::Created => Arc::default(),
            _ => document(own()),
        },
        changed: None,
        event: &rule.name,
        owner: None,
        table: format!("{}.{}", rules.table.schema, rules.table.name),
        op,
        timestamp: "2024-05-01T12:00:00.000000Z".to_owned(),
    }
}
