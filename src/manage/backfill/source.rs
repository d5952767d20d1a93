//! The table that a backfill reads, and the SQL that depends on it.

use anyhow::{Context, anyhow};

use crate::{
    config::{Action, EventSource},
    manage::{Admin, Error, Result},
    postgres::{self, TableName, quote, time::timestamp},
};

/// The table that a backfill reads.
pub(super) struct Source {
    pub(super) table: TableName,
    /// The columns of its primary key, in the order of the key.
    key: Vec<String>,
    /// The schemas, quoted, of the operators that compare these columns.
    compared_in: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) estimate: i64,
    /// Whether the server runs with track_commit_timestamp = on.
    pub(super) knows_commit_times: bool,
}

impl Source {
    /// Puts the names of the table and its columns into a query. With `after_position`, the query begins after the key
    /// in $1.
    pub(super) fn fill_in(&self, sql: &str, condition: &str, after_position: bool) -> String {
        let list = |each: &dyn Fn(&str) -> String| {
            let parts: Vec<String> = self.key.iter().map(|name| each(name)).collect();
            parts.join(", ")
        };
        let table = quote::table(&self.table);
        let given = |name: &str| {
            format!(
                "(select {} from jsonb_populate_record(null::{table}, $1::text::jsonb))",
                quote::name(name)
            )
        };
        let one = |name: &str| format!("one.{}", quote::name(name));
        let all = |each: &dyn Fn(&str) -> String| {
            let columns = self.key.iter().zip(&self.compared_in);
            let parts: Vec<String> = columns
                .map(|(name, schema)| format!("{} operator({schema}.=) {}", one(name), each(name)))
                .collect();
            parts.join(" and ")
        };
        // Other names than those of the table, so that a condition can name the key's columns.
        let wanted: Vec<String> = (1..=self.key.len())
            .map(|place| format!("rowhook_key_{place}"))
            .collect();
        let in_chunk = |name: &str| {
            let place = self.key.iter().position(|key| key == name);
            let alias = place.and_then(|place| wanted.get(place));
            format!("wanted.{}", alias.map_or("", String::as_str))
        };
        let pairs = list(&|name| format!("{}::text, {}", quote::text(name), one(name)));
        let after = match after_position {
            true => self.follows(&one, &given),
            false => "$1::text is not null".to_owned(),
        };
        let names = [
            ("key_pairs_of_chunk", pairs.clone()),
            ("key_pairs", pairs),
            ("key_desc", list(&|name| format!("{} desc", one(name)))),
            ("one_key_is", all(&given)),
            ("same_key", all(&in_chunk)),
            ("wanted", wanted.join(", ")),
            ("one_key", list(&one)),
            ("key", list(&quote::name)),
            ("after", after),
            ("table", table.clone()),
            ("condition", condition.to_owned()),
        ];
        let names = names
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        quote::fill(sql, &names)
    }

    /// That a key comes after another in the order of the primary key.
    fn follows(&self, one: &dyn Fn(&str) -> String, other: &dyn Fn(&str) -> String) -> String {
        let first = self
            .compared_in
            .first()
            .map_or("pg_catalog", String::as_str);
        if self.compared_in.iter().all(|schema| schema == first) {
            let list = |each: &dyn Fn(&str) -> String| {
                let parts: Vec<String> = self.key.iter().map(|name| each(name)).collect();
                parts.join(", ")
            };
            // One comparison of rows, for which an index serves.
            return format!(
                "row({}) operator({first}.>) row({})",
                list(one),
                list(other)
            );
        }
        let columns = self.key.iter().zip(&self.compared_in).rev();
        columns.fold("false".to_owned(), |rest, (name, schema)| {
            let (one, other) = (one(name), other(name));
            format!("({one} operator({schema}.>) {other} or {one} operator({schema}.=) {other} and {rest})")
        })
    }
}

impl Admin {
    /// The table that an event is made of, if its rows can be read in the order of a key.
    pub(super) async fn backfill_source(&self, event: &str) -> Result<Source> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        let rule = rule.ok_or_else(|| Error::Invalid(format!("there is no event {event:?}")))?;
        let EventSource::Row { table, action, .. } = &rule.source else {
            return Err(Error::Invalid(format!("{event} is not of a table's rows")));
        };
        if !matches!(action, Action::Created | Action::Updated) {
            return Err(Error::Invalid(format!(
                "{event} is made of {action}; rows that are there can be sent as one of created or updated"
            )));
        }
        let sql = include_str!("../../../sql/manage/backfill_table.sql");
        let found = self.client.query_opt(sql, &[&quote::table(table)]).await;
        let found = found.context("look at the table")?;
        let row = found.ok_or_else(|| Error::Invalid(format!("there is no table {table}")))?;
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            Ok((
                row.try_get::<_, Option<Vec<String>>>("key")?,
                row.try_get::<_, Option<Vec<String>>>("compared_in")?,
                row.try_get("columns")?,
                row.try_get("estimate")?,
                row.try_get("knows_commit_times")?,
            ))
        };
        let (key, compared_in, columns, estimate, knows_commit_times) =
            read().context("look at the table")?;
        let key = key.ok_or_else(|| {
            Error::Invalid(format!("{table} has no primary key to go through it by"))
        })?;
        Ok(Source {
            table: table.clone(),
            key,
            compared_in: compared_in.unwrap_or_default(),
            columns,
            estimate,
            knows_commit_times,
        })
    }

    /// Has Postgres parse a condition, without running it.
    pub(super) async fn check_condition(&self, table: &TableName, condition: &str) -> Result<()> {
        let sql = format!(
            "select from {} as one where ({condition}\n)",
            quote::table(table)
        );
        self.client.prepare(&sql).await.map(drop).map_err(|error| {
            Error::Invalid(format!(
                "where cannot be used: {}",
                postgres::error_message(&error)
            ))
        })
    }
}

/// The condition that rows have to meet, in SQL: the user's, and that a row was committed since a time.
///
/// # Errors
/// When `since` is not a time.
pub(super) fn condition(sql: Option<&str>, since: Option<&str>) -> Result<String> {
    let mut conditions = Vec::new();
    if let Some(sql) = sql {
        // On a line of its own: it may end in a comment.
        conditions.push(format!("({sql}\n)"));
    }
    if let Some(since) = since {
        let since = humantime::parse_rfc3339_weak(since)
            .map_err(|error| Error::Failed(anyhow!("read the backfill: {error}")))?;
        conditions.push(format!(
            "pg_xact_commit_timestamp(one.xmin) >= {}::timestamptz",
            quote::text(&timestamp(since))
        ));
    }
    Ok(match conditions.is_empty() {
        true => "true".to_owned(),
        false => conditions.join(" and "),
    })
}
