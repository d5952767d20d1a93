//! `rowhook init`: writes a hooks.toml to start from.

mod application;
mod columns;
mod django;
mod found;
mod toml;

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::{Context, Result};

use self::{
    application::Application,
    columns::columns,
    found::{Found, find},
};
use super::output;
use crate::postgres::TableName;

/// Writes a hooks.toml from the tables of the database at `url`, or from a dump of django-rest-hooks' HOOK_EVENTS. A
/// file that exists already stays as it is, and is an error.
pub(super) async fn run(url: Option<&str>, hook_events: Option<&Path>, path: &Path) -> Result<()> {
    match hook_events {
        Some(dump) => init_from_django(dump, url, path).await,
        None => {
            let url = url.context("name the database, or set DATABASE_URL")?;
            init(url, path).await
        }
    }
}

async fn init(url: &str, path: &Path) -> Result<()> {
    let found = find(url).await?;
    write(path, &render(&found))?;
    output::line(&format!(
        "wrote {} with the events of {} tables; next: edit it, then `rowhook check` and `rowhook run`",
        path.display(),
        found.len()
    ))
}

/// Looks for the tables of the events in the database at `url`, if there is one, and notes what is missing there.
async fn init_from_django(dump: &Path, url: Option<&str>, path: &Path) -> Result<()> {
    let json = fs::read_to_string(dump);
    let json = json.with_context(|| format!("read {}", dump.display()))?;
    let events = django::parse(&json).with_context(|| dump.display().to_string())?;
    let found = match url {
        Some(url) => Some(find(url).await?),
        None => None,
    };
    // django-rest-hooks makes the column.
    let has_created = match url {
        Some(url) => {
            let names = columns(url, &TableName::public(django::HOOKS)).await?;
            names.iter().any(|name| name == "created")
        }
        None => true,
    };
    let (text, notes) = django::render(&events, found.as_deref(), None, has_created);
    finish(path, &text, events.len(), &notes)
}

/// Writes a hooks.toml from what the Django application in the folder `project` says of itself when it is run with
/// `python`.
pub(super) async fn from_django(project: &Path, python: &str, path: &Path) -> Result<()> {
    let application = Application::read(project, python).await?;
    let events = django::events(application.hook_events.clone());
    let events = events.with_context(|| format!("HOOK_EVENTS of {}", project.display()))?;
    let (text, notes) = django::render(&events, None, Some(&application), true);
    finish(path, &text, events.len(), &notes)
}

fn finish(path: &Path, text: &str, events: usize, notes: &[String]) -> Result<()> {
    write(path, text)?;
    output::line(&format!(
        "wrote {} with {} events; next: read it, then `rowhook check` and `rowhook run`",
        path.display(),
        events
    ))?;
    notes
        .iter()
        .try_for_each(|note| output::line(&format!("note: {note}")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("write {}", path.display()))
}

/// The text of a hooks.toml with the events of these tables.
fn render(found: &[Found]) -> String {
    let mut text = String::from(
        "# What becomes a webhook. Every key is explained in the hooks.toml of rowhook's repository.\n\n\
         [database]\nurl = \"${DATABASE_URL}\"\n\n[events]\n# Delete what nobody should hear of. A + at the end lets the hooks of all owners hear it.\n",
    );
    for Found {
        table, identified, ..
    } in found
    {
        let key = event_prefix(table);
        let source = toml::source(table);
        // Writing to a String cannot fail.
        for (event, action) in [
            ("added", "created"),
            ("changed", "updated"),
            ("removed", "deleted"),
        ] {
            let comment = if *identified || action == "created" {
                ""
            } else {
                "# "
            };
            let _ = writeln!(
                text,
                "{comment}\"{key}.{event}\" = {}",
                toml::text(&format!("{source}.{action}"))
            );
        }
        if !identified {
            let _ = writeln!(
                text,
                "# {source} has no primary key: its updates and deletes cannot be told."
            );
        }
    }
    for Found {
        table, has_user_id, ..
    } in found
    {
        if !has_user_id {
            let _ = writeln!(
                text,
                "\n# [tables.{}]\n# owner = \"…\"   # it has no user_id: whose are its rows? A column, or a path: \"shelf_id -> shelf.user_id\"",
                toml::key(table)
            );
        }
    }
    text.push_str(
        "\n# A hook of yours; those of your users are rows of the table rowhook.hook.\n# [[hooks]]\n# name = \"mine\"\n# events = [\"*\"]\n# target = \"https://example.com/hook\"\n",
    );
    text
}

/// The first part of the names of a table's events, as in `shop_book.added`. It has the schema in it unless that is
/// public, so that it stays unique when other tables follow.
fn event_prefix(table: &TableName) -> String {
    let clean = |text: &str| {
        text.replace(
            |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-',
            "_",
        )
    };
    match table.schema.as_str() {
        "public" => clean(&table.name),
        schema => format!("{}.{}", clean(schema), clean(&table.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_a_configuration() {
        let table = |schema: &str, name: &str, identified, has_user_id| Found {
            table: TableName {
                schema: schema.into(),
                name: name.into(),
            },
            identified,
            has_user_id,
        };
        let text = render(&[
            table("public", "book", true, true),
            table("clinic", "Odd \"pet.name\"", true, false),
            table("public", "log line", false, false),
        ]);
        let env =
            |name: &str| (name == "DATABASE_URL").then(|| "postgresql://localhost/shop".to_owned());
        let config = crate::config::Config::parse(Path::new("hooks.toml"), &text, &env).unwrap();
        let names: Vec<&str> = config
            .events
            .iter()
            .map(|event| event.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "book.added",
                "book.changed",
                "book.removed",
                "clinic.Odd__pet_name_.added",
                "clinic.Odd__pet_name_.changed",
                "clinic.Odd__pet_name_.removed",
                "log_line.added"
            ]
        );
        assert!(text.contains("# \"log_line.changed\" = "));
    }
}
