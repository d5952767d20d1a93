//! What a Django application says of itself: its models, its HOOK_EVENTS, and the model of its hooks.

use std::{collections::HashMap, fs, path::Path, process::Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::toml;
use crate::{config::Model, postgres::TableName};

/// What the application runs to describe itself. It is given as an argument: Django's shell reads standard input only
/// if something stands there already.
const PROGRAM: &str = include_str!("models.py");

/// What stands before the description. An application may print more when it starts.
const MARK: &str = "rowhook-models: ";

/// The longest line that hooks.toml is written with.
const WIDTH: usize = 120;

/// A Django application.
#[derive(Debug, Deserialize)]
pub(super) struct Application {
    pub(super) hook_events: serde_json::Value,
    /// HOOK_SERIALIZER: a function that makes all bodies.
    pub(super) serializer: Option<String>,
    /// USE_TZ
    pub(super) use_tz: bool,
    pub(super) hooks: Option<Hooks>,
    models: Vec<DjangoModel>,
}

/// The model in which the application keeps hooks.
#[derive(Debug, Deserialize)]
pub(super) struct Hooks {
    pub(super) table: String,
    key: String,
    /// The column of each field.
    columns: HashMap<String, String>,
}

/// A model of the application.
#[derive(Debug, Deserialize)]
pub(super) struct DjangoModel {
    label: String,
    pub(super) table: String,
    key: Option<String>,
    fields: Vec<Field>,
    lists: Vec<List>,
    /// The column that holds `user`, or the path to it.
    owner: Option<String>,
    /// It has something called `user`.
    has_user: bool,
    /// Its rows are the users.
    is_user: bool,
    /// It has a `serialize_hook`.
    own_serializer: bool,
    proxies: Vec<String>,
    /// The models that inherit from it and have tables of their own.
    children: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    column: String,
    key: bool,
}

/// A many-to-many field, which is a table between two others.
#[derive(Debug, Deserialize)]
struct List {
    name: String,
    table: String,
    own: String,
    other: String,
}

impl Application {
    /// Asks the project in this folder, which has a `manage.py`; or reads what it has answered once, from a file.
    ///
    /// # Errors
    /// If the project cannot be run, or the answer cannot be read.
    pub(super) async fn read(project: &Path, python: &str) -> Result<Self> {
        let is_script = project.extension().is_some_and(|ending| ending == "py");
        let text = match project.is_dir() || is_script {
            true => ask(project, python).await?,
            false => {
                let text = fs::read_to_string(project);
                text.with_context(|| format!("read {}", project.display()))?
            }
        };
        Self::parse(&text).with_context(|| project.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let description = match text.rsplit_once(MARK) {
            Some((_, description)) => description.lines().next().unwrap_or_default(),
            None => text,
        };
        serde_json::from_str(description).context("it does not describe a Django application")
    }

    /// The model with this name.
    pub(super) fn model(&self, model: &Model) -> Option<&DjangoModel> {
        let label = model.to_string();
        self.models.iter().find(|known| known.label == label)
    }
}

/// Has the project describe itself.
async fn ask(project: &Path, python: &str) -> Result<String> {
    let script = match project.is_dir() {
        true => project.join("manage.py"),
        false => project.to_owned(),
    };
    ensure!(
        script.is_file(),
        "there is no {}; name the folder with the manage.py of the application",
        script.display()
    );
    let folder = script.parent().filter(|folder| *folder != Path::new(""));
    let name = script.file_name().context("manage.py has a name")?;
    // It is run in the folder of the application. A mere name is looked up in PATH.
    let program = match python.contains('/') {
        true => std::path::absolute(python)?,
        false => python.into(),
    };
    let answer = Command::new(program)
        .arg(name)
        .args(["shell", "-c", PROGRAM])
        .current_dir(folder.unwrap_or(Path::new(".")))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| {
            format!("run {python}; name the Python that the application runs with: --python PATH")
        })?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        let last = said.trim_end().lines().last().unwrap_or("it said nothing");
        bail!(
            "{python} {} shell: {last} ({}); it must run as the application does, with its settings and --python PATH",
            script.display(),
            answer.status
        );
    }
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    ensure!(
        text.contains(MARK),
        "{python} {} shell has not run what it was given; it is the command of something else than Django",
        script.display()
    );
    Ok(text)
}

impl DjangoModel {
    /// The table. A schema may be written into `db_table`, as `library"."book`.
    pub(super) fn table(&self) -> TableName {
        match self.table.trim_matches('"').split_once("\".\"") {
            Some((schema, name)) => TableName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            },
            None => TableName::public(&self.table),
        }
    }

    /// The lines of `[tables.NAME]` that say what the table alone does not, and the sections after them. `is_owned`:
    /// some event goes to the hooks of the row's user. What is left to do by hand goes to `notes`.
    pub(super) fn rules(
        &self,
        model: &Model,
        is_owned: bool,
        notes: &mut Vec<String>,
    ) -> (Vec<String>, Vec<String>) {
        let table = self.table();
        let mut lines = Vec::new();
        if table != model.table() {
            lines.push(format!("model = {}", toml::text(&self.label)));
        }
        match (&self.owner, &self.key) {
            (Some(owner), _) if owner == "user_id" => {}
            (Some(owner), _) => lines.push(format!("owner = {}", toml::text(owner))),
            (None, Some(key)) if self.is_user && !self.has_user => {
                lines.push(format!("owner = {}   # A user's own row.", toml::text(key)));
            }
            (None, _) if is_owned => {
                notes.push(format!(
                    "{model} has no column for its user: say under [tables.{}] whose its rows are",
                    toml::key(&table)
                ));
                lines.push("# owner = \"…\"         # Whose are its rows? A column, or a path: \"shelf_id -> shelf.user_id\"".to_owned());
            }
            (None, _) => {}
        }
        let fields = self.fields.iter().filter(|field| !field.key);
        let names: Vec<&str> = fields
            .clone()
            .map(|field| field.name.as_str())
            .chain(self.lists.iter().map(|list| list.name.as_str()))
            .collect();
        if !names.is_empty() {
            lines.push(list("fields", &names));
        }
        // A foreign key is found by its name with _id.
        let other = fields.filter(|field| {
            field.column != field.name && field.column.strip_suffix("_id") != Some(&field.name)
        });
        let renamed: Vec<String> = other
            .map(|field| {
                format!(
                    "{} = {}",
                    toml::bare(&field.column),
                    toml::text(&field.name)
                )
            })
            .collect();
        if !renamed.is_empty() {
            lines.push(format!("rename = {{ {} }}", renamed.join(", ")));
        }
        let mut sections = Vec::new();
        if let (false, Some(key)) = (self.lists.is_empty(), &self.key) {
            sections.push(format!("[tables.{}.enrich]", toml::key(&table)));
            for list in &self.lists {
                let query = format!(
                    "select coalesce(json_agg({other}), '[]') from {table} where {own} = ${key}",
                    other = toml::part(&list.other),
                    table = toml::part(&list.table),
                    own = toml::part(&list.own),
                );
                sections.push(format!(
                    "{} = {}",
                    toml::bare(&list.name),
                    toml::text(&query)
                ));
            }
        }
        self.note_what_differs(notes);
        (lines, sections)
    }

    fn note_what_differs(&self, notes: &mut Vec<String>) {
        let Self { label, .. } = self;
        if self.own_serializer {
            notes.push(format!(
                "{label} has a serialize_hook: say what it makes of a row with payload = '''…''' under [tables.{}]",
                toml::key(&self.table())
            ));
        }
        if !self.proxies.is_empty() {
            notes.push(format!(
                "a save through {} is told as one of {label}: the row does not say which class saved it",
                self.proxies.join(", ")
            ));
        }
        if !self.children.is_empty() {
            notes.push(format!(
                "the rows of {} have one in {label} too, so what happens to them causes its events as well",
                self.children.join(", ")
            ));
        }
    }
}

impl Hooks {
    /// The section `[hook_table]`.
    pub(super) fn section(&self) -> String {
        let mut text = format!(
            "[hook_table]\ntable = {}\n",
            toml::text(&toml::source(&TableName::public(&self.table)))
        );
        let mut line = |key: &str, column: &str, default: &str| {
            if column != default {
                text.push_str(&format!("{key} = {}\n", toml::text(column)));
            }
        };
        line("id", &self.key, "id");
        for (key, field, default) in [
            ("owner", "user", "user_id"),
            ("event", "event", "event"),
            ("target", "target", "target"),
            ("active", "is_active", ""),
            ("created", "created", ""),
        ] {
            if let Some(column) = self.columns.get(field) {
                line(key, column, default);
            }
        }
        text
    }
}

/// `key = ["one", "two"]`, in lines that are not too long.
fn list(key: &str, items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| toml::text(item)).collect();
    let short = format!("{key} = [{}]", items.join(", "));
    if short.len() <= WIDTH {
        return short;
    }
    let mut text = format!("{key} = [\n");
    let mut length = 0;
    for item in &items {
        let begins = length == 0 || length + item.len() + 2 > WIDTH;
        if begins && length > 0 {
            text.push('\n');
        }
        let before = if begins { "    " } else { " " };
        length = if begins { 0 } else { length } + before.len() + item.len() + 1;
        text.push_str(&format!("{before}{item},"));
    }
    text + "\n]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_broken_into_lines() {
        let names: Vec<String> = (0..60).map(|n| format!("field_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = list("fields", &names);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let read: ::toml::Table = text.parse().unwrap();
        let read: Vec<&str> = read["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.as_str().unwrap())
            .collect();
        assert_eq!(read, names);
        assert_eq!(list("fields", &["a", "b"]), r#"fields = ["a", "b"]"#);
    }

    #[test]
    fn what_an_application_prints_before_its_description_is_skipped() {
        let text = "12 objects imported\n\nrowhook-models: {\"hook_events\": {}, \"serializer\": null, \"use_tz\": true, \"hooks\": null, \"models\": []}\nbye\n";
        assert!(Application::parse(text).unwrap().use_tz);
        let error = format!("{:#}", Application::parse("[1]").unwrap_err());
        assert!(
            error.contains("does not describe a Django application"),
            "{error}"
        );
    }
}
