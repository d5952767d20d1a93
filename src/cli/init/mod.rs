//! `rowhook init`: writes a hooks.toml to start from.

mod application;
mod choose;
mod django;
mod found;
mod names;
mod owners;
mod render;
mod secrets;
mod toml;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use self::{
    application::Application,
    choose::{Choice, choose},
    found::find,
    owners::Owners,
    render::{Written, render},
};
use super::output;
use crate::postgres::TableName;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: rowhook init postgresql://localhost/shop\n          rowhook init --tables 'book*' --tables clinic.pet --owner-table accounts\n          rowhook init --from-django ~/bookstore --python ~/bookstore/.venv/bin/python\n          rowhook init --from-django-hook-events hook_events.json\n          (made by: python manage.py shell -c 'import json; from django.conf import settings; print(json.dumps(settings.HOOK_EVENTS))')"
)]
pub(super) struct Args {
    /// The libpq URL of the database; default: $DATABASE_URL.
    #[arg(
        env = "DATABASE_URL",
        hide_env_values = true,
        required_unless_present_any = ["from_django", "from_django_hook_events"]
    )]
    url: Option<String>,
    /// Only these tables; * stands for any characters. May be given several times. Without it all tables are taken but
    /// those of frameworks, or at a terminal those that you pick.
    #[arg(long, value_name = "[SCHEMA.]PATTERN", value_delimiter = ',')]
    tables: Vec<String>,
    /// Only tables of this schema. May be given several times.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    schema: Vec<String>,
    /// The table of the users, whom rows belong to; default: the one of a usual name, such as users or auth_user, that
    /// most foreign keys refer to.
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    owner_table: Option<String>,
    /// Take the events from a JSON dump of django-rest-hooks' HOOK_EVENTS. A database is then only read to find the
    /// tables.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tables", "schema", "owner_table"])]
    from_django_hook_events: Option<PathBuf>,
    /// Ask the Django application in this folder, by running its `manage.py shell`, for its models and HOOK_EVENTS. Or
    /// a file with what it answered once.
    #[arg(
        long,
        value_name = "PROJECT",
        conflicts_with_all = ["from_django_hook_events", "tables", "schema", "owner_table"]
    )]
    from_django: Option<PathBuf>,
    /// The Python that the application runs with.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "python3",
        requires = "from_django"
    )]
    python: String,
}

/// Writes a hooks.toml from the tables of a database, from a Django application, or from a dump of django-rest-hooks'
/// HOOK_EVENTS. A file that exists already stays as it is, and is an error.
pub(super) async fn run(args: Args, path: &Path) -> Result<()> {
    match (&args.from_django, &args.from_django_hook_events) {
        (Some(project), _) => from_django(project, &args.python, path).await,
        (None, Some(dump)) => from_hook_events(dump, args.url.as_deref(), path).await,
        (None, None) => init(args, path).await,
    }
}

async fn init(args: Args, path: &Path) -> Result<()> {
    // Before somebody has picked tables for nothing.
    ensure!(
        !path.exists(),
        "{} is there already; remove it, or name another with --config",
        path.display()
    );
    let url = args.url.as_deref();
    let found = find(url.context("name the database, or set DATABASE_URL")?).await?;
    let choice = Choice {
        tables: args.tables,
        schemas: args.schema,
    };
    let owners = Owners::find(&found, args.owner_table.as_deref())?;
    let chosen = choose(&choice, &found)?;
    let Written {
        text,
        notes,
        events,
    } = render(&chosen, &owners);
    ensure!(
        events > 0,
        "there is no table here that could have events; temporary and unlogged ones have none"
    );
    write(path, &text)?;
    output::line(&format!(
        "wrote {} with the events of {} tables; next: edit it, then `rowhook check` and `rowhook run`",
        path.display(),
        chosen.len()
    ))?;
    tell(&notes)
}

/// Looks for the tables of the events in the database at `url`, if there is one, and notes what is missing there.
async fn from_hook_events(dump: &Path, url: Option<&str>, path: &Path) -> Result<()> {
    let json = fs::read_to_string(dump);
    let json = json.with_context(|| format!("read {}", dump.display()))?;
    let events = django::parse(&json).with_context(|| dump.display().to_string())?;
    let found = match url {
        Some(url) => Some(find(url).await?),
        None => None,
    };
    // django-rest-hooks makes the column.
    let has_created = found.as_deref().is_none_or(|found| {
        let hooks = TableName::public(django::HOOKS);
        let hooks = found.iter().find(|found| found.table == hooks);
        hooks.is_some_and(|hooks| hooks.has("created"))
    });
    let (text, notes) = django::render(&events, found.as_deref(), None, has_created);
    finish(path, &text, events.len(), &notes)
}

/// Writes a hooks.toml from what the Django application in the folder `project` says of itself when it is run with
/// `python`.
async fn from_django(project: &Path, python: &str, path: &Path) -> Result<()> {
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
    tell(notes)
}

fn tell(notes: &[String]) -> Result<()> {
    let mut notes = notes.iter();
    notes.try_for_each(|note| output::line(&format!("note: {note}")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("write {}", path.display()))
}
