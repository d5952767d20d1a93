//! The SQL that depends on which table holds the hooks: rowhook's own or the application's.

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::{
    config::{Config, HookColumns, Setting},
    hook::{
        HookId,
        row::{id_is, number_in},
    },
    postgres::quote,
};

/// Selects the hooks of the file, given as the JSON array $1, with the same columns as [`Table::select`].
pub(super) const FILE_HOOKS: &str = "\
    select
        id, 'file' as origin, owner, event, target, true as active, signed, filter, payload, headers, content,
        content_type, rate, user_agent, certificate, compress, template, events, method, auth, timeout, retries,
        \"order\", concurrency, batch, max_body, disable_after, signature, description, unusable_reason as invalid,
        null::timestamptz as disabled_at, null::text as disabled_reason, null::timestamptz as created_at,
        null::timestamptz as updated_at
    from jsonb_to_recordset($1::text::jsonb) as file_hook (
        id text, owner text, event text, target text, signed boolean, filter text, headers text, payload text,
        content text, content_type text, rate text, user_agent text, certificate text, compress text, template text,
        events jsonb, method text, auth text, timeout text, retries text, \"order\" text, concurrency text, batch text,
        max_body text, disable_after text, signature text, description text
    )
    left join (select hook as unusable_hook, reason as unusable_reason from invalid_hook where panicked) as unusable
        on unusable_hook = id";

/// The columns of both, in their order.
pub(super) const COLUMNS: &str = "\
    id, origin, owner, event, target, active, signed, filter, payload, headers, content, content_type, rate, \
    user_agent, certificate, compress, template, events, method, auth, timeout, retries, \"order\", concurrency, \
    batch, max_body, disable_after, signature, description, invalid, disabled_at, disabled_reason, created_at, \
    updated_at";

/// The hook table.
pub(super) struct Table {
    /// Its name with its schema, quoted.
    pub(super) name: String,
    /// The column of the id, quoted.
    pub(super) id: String,
    /// The names of its columns, not quoted.
    pub(super) columns: HookColumns,
    /// The type of the id.
    id_type: String,
}

impl Table {
    /// The hook table that `config` names, as it is now.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn find(config: &Config, client: &Client) -> Result<Self> {
        let columns = config.hook_columns();
        let (name, id) = (quote::table(&columns.table), quote::name(&columns.id));
        let sql = "select pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute \
                   where attrelid = pg_catalog.to_regclass($1) and attname = $2 and not attisdropped";
        let row = client.query_opt(sql, &[&name, &columns.id]).await;
        let row = row.context("look at the hook table")?;
        let id_type = row.map(|row| row.try_get(0)).transpose();
        Ok(Self {
            // Without the column, whoever asks for rows is told that it is missing.
            id_type: id_type
                .context("look at the hook table")?
                .unwrap_or_else(|| "text".to_owned()),
            name,
            id,
            columns,
        })
    }

    /// The id of a row.
    pub(super) fn hook_id(&self, id: &str) -> HookId {
        HookId::new(id, self.has_numbers())
    }

    /// The condition that a row has the id in a parameter.
    pub(super) fn id_is(&self, parameter: &str) -> String {
        id_is(&self.columns.id, self.has_numbers(), parameter)
    }

    /// Whether ids are numbers.
    pub(super) fn has_numbers(&self) -> bool {
        matches!(self.id_type.as_str(), "smallint" | "integer" | "bigint")
    }

    /// The condition that the latest attempts of a row's hook have failed, if that finds those rows among many.
    pub(super) fn is_failing(&self) -> Option<String> {
        let sql = || {
            let number = number_in("hook");
            // As an array, which is looked up in the index whatever the planner thinks of the table of failures.
            format!("{} = any (array(select {number} from failing))", self.id)
        };
        self.has_numbers().then(sql)
    }

    /// The condition that a row comes after the one with the id in a parameter, in the order of the column.
    pub(super) fn id_is_after(&self, parameter: &str) -> String {
        format!("{} > {parameter}::text::{}", self.id, self.id_type)
    }

    /// Selects all rows, with the same columns whichever table it is.
    pub(super) fn select(&self) -> String {
        self.select_beside("")
    }

    /// The same, with the id as the table has it, which its index is in the order of, as `place`.
    pub(super) fn select_in_place(&self) -> String {
        self.select_beside(&format!(", {} as place", self.id))
    }

    fn select_beside(&self, more: &str) -> String {
        let Self {
            name, id, columns, ..
        } = self;
        let cast = |column: &Option<String>, to: &str| match column {
            Some(column) => format!("{}::{to}", quote::name(column)),
            None => format!("null::{to}"),
        };
        let text = |column: &str| format!("{}::text", quote::name(column));
        let active = columns.active.as_deref().map_or("true".into(), |column| {
            format!("coalesce({}, false)", quote::name(column))
        });
        let signed = columns.secret.as_deref().map_or("false".into(), |column| {
            format!("{} is not null", quote::name(column))
        });
        let of_own = |column: &str, to: &str| match columns.is_own {
            true => column.to_owned(),
            false => format!("null::{to}"),
        };
        let mut selected = vec![
            format!("{id}::text as id"),
            "'table' as origin".into(),
            format!("{} as owner", text(&columns.owner)),
            format!("{} as event", cast(&columns.event, "text")),
            format!("{} as target", text(&columns.target)),
            format!("{active} as active"),
            format!("{signed} as signed"),
            format!("{} as filter", cast(&columns.filter, "text")),
            format!("{} as payload", cast(&columns.payload, "text")),
            format!("{} as headers", cast(&columns.headers, "text")),
            format!("{} as content", cast(&columns.content, "text")),
            format!("{} as content_type", cast(&columns.content_type, "text")),
            format!("{} as rate", cast(&columns.rate, "text")),
            format!("{} as user_agent", cast(&columns.user_agent, "text")),
            format!("{} as certificate", cast(&columns.certificate, "text")),
            format!("{} as compress", cast(&columns.compress, "text")),
            format!("{} as template", cast(&columns.template, "text")),
            match &columns.events {
                // Whether it is an array of Postgres or one in JSON.
                Some(column) => format!("to_jsonb({}) as events", quote::name(column)),
                None => "null::jsonb as events".into(),
            },
        ];
        selected.extend(Setting::ALL.into_iter().map(|setting| {
            let column = columns.setting(setting).cloned();
            format!(
                "{} as {}",
                cast(&column, "text"),
                quote::name(setting.name())
            )
        }));
        selected.extend([
            format!("{} as description", cast(&columns.description, "text")),
            format!(
                "coalesce({}, unusable_reason) as invalid",
                of_own("invalid", "text")
            ),
            format!("{} as disabled_at", of_own("disabled_at", "timestamptz")),
            format!("{} as disabled_reason", of_own("disabled_reason", "text")),
            format!("{} as created_at", cast(&columns.created, "timestamptz")),
            format!("{} as updated_at", of_own("updated_at", "timestamptz")),
        ]);
        // Renamed, so that no column of the application's table has the same name.
        format!(
            "select {}{more} from {name} \
             left join (select hook as unusable_hook, reason as unusable_reason from invalid_hook) as unusable \
             on unusable_hook = {id}::text",
            selected.join(", ")
        )
    }

    /// Selects the rows with these ids, as [`Self::select`] does, and the ids that $1 has to be.
    pub(super) fn select_some<'a>(&self, ids: &[&'a str]) -> (String, Vec<&'a str>) {
        let (select, id) = (self.select(), &self.id);
        match self.has_numbers() {
            // By numbers, the primary key finds them among millions.
            true => {
                let numbers = ids.iter().filter(|id| id.parse::<i64>().is_ok());
                let sql = format!("{select} where {id} = any($1::text[]::bigint[])");
                (sql, numbers.copied().collect())
            }
            false => (format!("{select} where {id}::text = any($1)"), ids.to_vec()),
        }
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
             where hook.{}",
            sets.join(", "),
            self.id_is("$2"),
            table = self.name,
        )
    }

    /// Locks the row $1 against changes.
    pub(super) fn lock(&self) -> String {
        format!(
            "select from {} where {} for update",
            self.name,
            self.id_is("$1")
        )
    }

    /// Deletes the row $1.
    pub(super) fn delete(&self) -> String {
        format!("delete from {} where {}", self.name, self.id_is("$1"))
    }
}
