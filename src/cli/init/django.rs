//! Translates HOOK_EVENTS, the setting of django-rest-hooks, into a hooks.toml.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{application::Application, found::Found, toml};
use crate::{
    config::{Model, event_mistake},
    nearest::nearest,
    postgres::TableName,
};

/// The table in which django-rest-hooks keeps hooks.
pub(super) const HOOKS: &str = "rest_hooks_hook";

/// One entry of HOOK_EVENTS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HookEvent {
    name: String,
    /// What fires the event; `None` if the application does, with any payload.
    source: Option<Source>,
}

/// An action on a model, such as `bookstore.Book.updated+`. The `+` means the hooks of all owners.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    model: Model,
    action: String,
    all_owners: bool,
}

/// Parses a JSON dump of the setting.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn parse(json: &str) -> Result<Vec<HookEvent>> {
    let dump: Value = serde_json::from_str(json)
        .context("it is not JSON; dump it with json.dumps(HOOK_EVENTS)")?;
    events(dump)
}

/// Reads the setting.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn events(dump: Value) -> Result<Vec<HookEvent>> {
    let Value::Object(entries) = dump else {
        bail!("it is not a JSON object of events; dump it with json.dumps(HOOK_EVENTS)");
    };
    ensure!(!entries.is_empty(), "it has no events");
    let mut events = Vec::new();
    let mut wrong = Vec::new();
    for (name, value) in entries {
        if let Some(hint) = event_mistake(&name) {
            wrong.push(format!("{name:?} cannot name an event; {hint}"));
        }
        match source(&value) {
            Ok(source) => events.push(HookEvent { name, source }),
            Err(reason) => wrong.push(format!("{name:?}: {reason}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(events)
}

fn source(value: &Value) -> Result<Option<Source>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        other => return Err(format!("{other} is neither \"app.Model.action\" nor null")),
    };
    let (bare, all_owners) = match text.strip_suffix('+') {
        Some(bare) => (bare, true),
        None => (text.as_str(), false),
    };
    let (model, action) = Model::parse_with_action(bare)
        .ok_or_else(|| format!("{text:?} is not \"app.Model.action\""))?;
    Ok(Some(Source {
        model,
        action: action.to_owned(),
        all_owners,
    }))
}

/// Writes the text of the hooks.toml, and notes on what is still to be done by hand. `found` are the tables of the
/// database, if one was given, and `application` says more of its models, if it was asked.
pub(super) fn render(
    events: &[HookEvent],
    found: Option<&[Found]>,
    application: Option<&Application>,
    has_created: bool,
) -> (String, Vec<String>) {
    let mut text = String::from(
        "# What becomes a webhook, as HOOK_EVENTS of django-rest-hooks says. Every key is explained in the hooks.toml of\n\
         # rowhook's repository.\n\n[database]\nurl = \"${DATABASE_URL}\"\n\n[delivery]\npayload = \"django\"      # \
         What django-rest-hooks sends for a model that has no serialize_hook.\n\n[events]\n",
    );
    // Writing to a String cannot fail.
    for event in events {
        let source = match &event.source {
            None => "custom".to_owned(),
            Some(source) => source.to_string(),
        };
        let _ = writeln!(
            text,
            "{} = {}",
            toml::text(&event.name),
            toml::text(&source)
        );
    }
    let mut notes = Vec::new();
    for model in models(events) {
        text.push_str(&rules(model, events, found, application, &mut notes));
    }
    if let Some(serializer) = application.and_then(|application| application.serializer.as_ref()) {
        notes.push(format!(
            "{serializer} makes the bodies of all models: say what it makes of a row with template = '''…''' under [delivery]"
        ));
    }
    if application.is_some_and(|application| !application.use_tz) {
        notes.push(
            "USE_TZ is off: Django writes times in the zone of the application and without its name, and rowhook in UTC"
                .to_owned(),
        );
    }
    let is_there = |name: &str| {
        found.is_none_or(|found| {
            found
                .iter()
                .any(|found| found.table == TableName::public(name))
        })
    };
    if let Some(hooks) = application.and_then(|application| application.hooks.as_ref()) {
        text.push_str("\n# The hooks that your users have made.\n");
        text.push_str(&hooks.section());
        return (text, notes);
    }
    text.push_str("\n# The hooks that your users have made. With HOOK_CUSTOM_MODEL it is the table of that model.\n");
    let comment = match is_there(HOOKS) {
        true => "",
        false => {
            notes.push(format!(
                "there is no table {HOOKS}: name the one with your hooks under [hook_table]"
            ));
            "# "
        }
    };
    let _ = writeln!(
        text,
        "{comment}[hook_table]\n{comment}table = \"{HOOKS}\"\n# active = \"is_active\""
    );
    if has_created {
        let _ = writeln!(text, "{comment}created = \"created\"");
    }
    (text, notes)
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plus = if self.all_owners { "+" } else { "" };
        write!(f, "{}.{}{plus}", self.model, self.action)
    }
}

/// The models of the events, each once, in the order of the dump.
fn models(events: &[HookEvent]) -> Vec<&Model> {
    let mut seen = BTreeSet::new();
    let models = events
        .iter()
        .filter_map(|event| Some(&event.source.as_ref()?.model));
    models
        .filter(|model| seen.insert(model.to_string()))
        .collect()
}

/// The entry in `[tables]` of a model: what Django knows and the table alone does not say. Empty if there is nothing to
/// say.
fn rules(
    model: &Model,
    events: &[HookEvent],
    found: Option<&[Found]>,
    application: Option<&Application>,
    notes: &mut Vec<String>,
) -> String {
    let sources = events.iter().filter_map(|event| event.source.as_ref());
    let of_model = sources.filter(|source| source.model == *model);
    let mut lines = Vec::new();
    if of_model.clone().any(|source| source.action == "deleted") {
        lines.push("identity = \"full\"   # Django sends a deleted row whole. Each update and delete then writes the old row to the WAL.".to_owned());
    }
    if let Some(application) = application {
        let is_owned = of_model.clone().any(|source| !source.all_owners);
        let Some(described) = application.model(model) else {
            notes.push(format!(
                "the application has no model {model}, so nothing causes its events"
            ));
            return String::new();
        };
        let (more, sections) = described.rules(model, is_owned, notes);
        lines.extend(more);
        let head = format!("[tables.{}]", toml::key(&described.table()));
        if lines.is_empty() {
            return String::new();
        }
        let all = std::iter::once(head).chain(lines).chain(sections);
        return all.fold("\n".to_owned(), |text, line| text + &line + "\n");
    }
    let table = model.table();
    let known = found.and_then(|found| found.iter().find(|found| found.table == table));
    if let (Some(found), None) = (found, known) {
        let names: Vec<String> = found.iter().map(|found| found.table.to_string()).collect();
        let meant = nearest(&table.to_string(), names.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |meant| format!(" (is it {meant}?)"));
        notes.push(format!(
            "there is no table {table}{meant}: put model = \"{model}\" under [tables.NAME] of the one that {model} is kept in"
        ));
        return format!(
            "\n# [tables.NAME]       # There is no table {table}{meant}.\n# model = \"{model}\"\n"
        );
    }
    let has_owner = known.is_none_or(|found| found.has("user_id"));
    if (model.app.as_str(), model.name.as_str()) == ("auth", "User") {
        lines.push("owner = \"id\"          # A user's own row.".to_owned());
    } else if !has_owner && of_model.clone().any(|source| !source.all_owners) {
        notes.push(format!(
            "{table} has no user_id: say under [tables.{}] whose its rows are",
            toml::key(&table)
        ));
        lines.push("# owner = \"…\"         # It has no user_id: whose are its rows? A column, or a path: \"shelf_id -> shelf.user_id\"".to_owned());
    }
    if lines.is_empty() {
        return String::new();
    }
    let head = match lines.iter().all(|line| line.starts_with('#')) {
        true => "# ",
        false => "",
    };
    format!(
        "\n{head}[tables.{}]\n{}\n",
        toml::key(&table),
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, EventSource, PayloadFormat};

    const DUMP: &str = r#"{
        "book.added": "bookstore.Book.created",
        "book.changed": "bookstore.Book.updated+",
        "book.removed": "bookstore.Book.deleted",
        "book.read": "bookstore.Book.read",
        "user.joined": "auth.User.created",
        "user.logged_in": null
    }"#;

    #[test]
    fn hook_events_become_events_with_what_django_knew() {
        let events = parse(DUMP).unwrap();
        let (text, notes) = render(&events, None, None, true);
        assert_eq!(notes, [""; 0]);
        let env =
            |name: &str| (name == "DATABASE_URL").then(|| "postgresql://localhost/shop".to_owned());
        let config = Config::parse(Path::new("hooks.toml"), &text, &env).unwrap();
        let sources: Vec<String> = config
            .events
            .iter()
            .map(|event| {
                let plus = if event.all_owners { "+" } else { "" };
                format!("{} = {}{plus}", event.name, event.source)
            })
            .collect();
        assert_eq!(
            sources,
            [
                "book.added = bookstore_book.created",
                "book.changed = bookstore_book.updated+",
                "book.removed = bookstore_book.deleted",
                "book.read = bookstore_book.read",
                "user.joined = auth_user.created",
                "user.logged_in = custom",
            ]
        );
        assert_eq!(config.events[5].source, EventSource::Custom);
        assert!(config.tables[0].identity_full);
        assert_eq!(config.tables[1].owner.as_ref().unwrap().column, "id");
        let hooks = config.hook_table.unwrap().columns;
        assert_eq!(hooks.table.name, HOOKS);
        assert_eq!(hooks.created.as_deref(), Some("created"));
        assert_eq!(config.delivery.payload, PayloadFormat::Django);
    }

    #[test]
    fn what_the_database_does_not_have_is_noted() {
        let found = |name: &str, has_user_id| Found {
            table: TableName::public(name),
            of_framework: false,
            identified: true,
            readable: true,
            columns: vec![if has_user_id { "user_id" } else { "id" }.to_owned()],
            primary_key: vec!["id".into()],
            references: Vec::new(),
        };
        let events = r#"{"a": "bookstore.Book.created", "b": "bookstore.Shelf.created", "c": "bookstore.Shelf.updated+"}"#;
        let (text, notes) = render(
            &parse(events).unwrap(),
            Some(&[
                found("bookstore_books", true),
                found("bookstore_shelf", false),
            ]),
            None,
            false,
        );
        assert_eq!(
            notes,
            [
                "there is no table bookstore_book (is it bookstore_books?): put model = \"bookstore.Book\" under [tables.NAME] of the one that bookstore.Book is kept in",
                "bookstore_shelf has no user_id: say under [tables.bookstore_shelf] whose its rows are",
                "there is no table rest_hooks_hook: name the one with your hooks under [hook_table]",
            ]
        );
        assert!(text.contains("# [hook_table]"), "{text}");
    }

    #[test]
    fn what_is_no_dump_of_hook_events_is_refused_with_all_that_is_wrong() {
        for (dump, expected) in [
            ("{", "it is not JSON"),
            ("[]", "it is not a JSON object of events"),
            ("{}", "it has no events"),
            (
                r#"{"a b": null}"#,
                r#""a b" cannot name an event; use letters"#,
            ),
            (
                r#"{"a": "Book.created"}"#,
                r#""a": "Book.created" is not "app.Model.action""#,
            ),
            (
                r#"{"a": 7}"#,
                r#""a": 7 is neither "app.Model.action" nor null"#,
            ),
        ] {
            let message = format!("{:#}", parse(dump).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
        let message = parse(r#"{"a": 7, "b": "x"}"#).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 2, "{message}");
    }
}
