//! The SQL that depends on which table holds the hooks: rowhook's own or the application's.

use crate::{config::Config, postgres::quote, setup::catalog::hook_table};

/// Selects the hooks of the file, given as the JSON array $1, with the same columns as [`Table::select`].
pub(super) const FILE_HOOKS: &str = "\
    select
        id, 'file' as origin, owner, event, target, true as active, signed, filter, null::text as payload, headers,
        null::text as description, null::text as invalid, null::timestamptz as disabled_at,
        null::text as disabled_reason, null::timestamptz as created_at, null::timestamptz as updated_at
    from jsonb_to_recordset($1::text::jsonb) as file_hook (
        id text, owner text, event text, target text, signed boolean, filter text, headers text
    )";

/// The hook table.
pub(super) struct Table {
    /// Its name with its schema, and the name of its key, both quoted.
    pub(super) name: String,
    pub(super) id: String,
    /// The names of its columns, not quoted, each under the name that the column has in rowhook's own table.
    pub(super) owner: String,
    pub(super) event: String,
    pub(super) target: String,
    pub(super) active: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) previous_secret: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) payload: Option<String>,
    pub(super) description: Option<String>,
    created: Option<String>,
    /// Whether it is rowhook's own, which has more columns than these.
    pub(super) own: bool,
}

impl Table {
    pub(super) fn from_config(config: &Config) -> Self {
        let name = quote::table(&hook_table(config));
        let text = |text: &str| text.to_owned();
        match &config.hook_table {
            None => Self {
                name,
                id: quote::name("id"),
                owner: text("owner"),
                event: text("event"),
                target: text("target"),
                active: Some(text("active")),
                secret: Some(text("secret")),
                previous_secret: Some(text("previous_secret")),
                filter: Some(text("filter")),
                headers: Some(text("headers")),
                payload: Some(text("payload")),
                description: Some(text("description")),
                created: Some(text("created_at")),
                own: true,
            },
            Some(theirs) => Self {
                name,
                id: quote::name(&theirs.id),
                owner: theirs.owner.clone(),
                event: theirs.event.clone(),
                target: theirs.target.clone(),
                active: theirs.active.clone(),
                secret: theirs.secret.clone(),
                previous_secret: theirs.previous_secret.clone(),
                filter: theirs.filter.clone(),
                headers: theirs.headers.clone(),
                payload: theirs.payload.clone(),
                description: theirs.description.clone(),
                created: theirs.created.clone(),
                own: false,
            },
        }
    }

    /// Selects all rows, with the same columns whichever table it is.
    pub(super) fn select(&self) -> String {
        let Self { name, id, own, .. } = self;
        let cast = |column: &Option<String>, to: &str| match column {
            Some(column) => format!("{}::{to}", quote::name(column)),
            None => format!("null::{to}"),
        };
        let text = |column: &str| format!("{}::text", quote::name(column));
        let active = self.active.as_deref().map_or("true".into(), |column| {
            format!("coalesce({}, false)", quote::name(column))
        });
        let signed = self.secret.as_deref().map_or("false".into(), |column| {
            format!("{} is not null", quote::name(column))
        });
        let of_own = |column: &str, to: &str| match own {
            true => column.to_owned(),
            false => format!("null::{to}"),
        };
        let columns = [
            format!("{id}::text as id"),
            "'table' as origin".into(),
            format!("{} as owner", text(&self.owner)),
            format!("{} as event", text(&self.event)),
            format!("{} as target", text(&self.target)),
            format!("{active} as active"),
            format!("{signed} as signed"),
            format!("{} as filter", cast(&self.filter, "text")),
            format!("{} as payload", cast(&self.payload, "text")),
            format!("{} as headers", cast(&self.headers, "text")),
            format!("{} as description", cast(&self.description, "text")),
            format!("{} as invalid", of_own("invalid", "text")),
            format!("{} as disabled_at", of_own("disabled_at", "timestamptz")),
            format!("{} as disabled_reason", of_own("disabled_reason", "text")),
            format!("{} as created_at", cast(&self.created, "timestamptz")),
            format!("{} as updated_at", of_own("updated_at", "timestamptz")),
        ];
        format!("select {} from {name}", columns.join(", "))
    }

    /// Inserts a row. The values of `columns` are taken from the JSON object $1 and converted to their types; the
    /// columns of `now` get the current time. Returns the new row's id as text.
    pub(super) fn insert(&self, columns: &[&str], now: &[String]) -> String {
        let names = columns.iter().map(|column| quote::name(column));
        let names: Vec<String> = names
            .chain(now.iter().map(|column| quote::name(column)))
            .collect();
        let values = columns
            .iter()
            .map(|column| format!("given.{}", quote::name(column)));
        let values: Vec<String> = values
            .chain(now.iter().map(|_| "clock_timestamp()".to_owned()))
            .collect();
        format!(
            "insert into {table} ({}) select {} from jsonb_populate_record(null::{table}, $1::text::jsonb) as given \
             returning {}::text",
            names.join(", "),
            values.join(", "),
            self.id,
            table = self.name,
        )
    }

    /// Sets columns of the row $2 to values of the JSON object $1, as [`Self::insert`] does.
    pub(super) fn update(&self, columns: &[&str]) -> String {
        let sets: Vec<String> = columns
            .iter()
            .map(|column| format!("{name} = given.{name}", name = quote::name(column)))
            .collect();
        format!(
            "update {table} as hook set {} from jsonb_populate_record(null::{table}, $1::text::jsonb) as given \
             where hook.{}::text = $2",
            sets.join(", "),
            self.id,
            table = self.name,
        )
    }

    /// Deletes the row $1.
    pub(super) fn delete(&self) -> String {
        format!("delete from {} where {}::text = $1", self.name, self.id)
    }
}
