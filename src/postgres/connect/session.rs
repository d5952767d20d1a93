//! What every ordinary session has in common: the settings that server, database, role and address may not decide.
//!
//! A setting that was made for the application must not change what we do. With synchronous_commit = off, a crash of
//! the server would take back what is already confirmed to the slot. With a search_path in which others may create,
//! their functions would run with our privileges.

use std::fmt::Write;

use tokio_postgres::Client;

use super::{Error, Reason};
use crate::postgres::{address::Address, quote, types::SESSION_SETTINGS};

/// The settings of an ordinary session, beside [`SESSION_SETTINGS`].
///
/// `synchronous_commit = local` waits for the disk of this server, and not for standbys: while one is missing, the
/// application's commits wait for it, and ours must not. `row_security = off` makes an error of a query that row
/// security would answer with only some of the rows. `jit = off`: the catalog of a thousand tables is read in 50 ms,
/// and compiling such a query takes a second.
const ORDINARY: [(&str, &str); 10] = [
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("synchronous_commit", "local"),
    ("row_security", "off"),
    ("jit", "off"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", r"read\ committed"),
    ("plpgsql.extra_errors", "none"),
    ("plpgsql.extra_warnings", "none"),
];

/// The settings of every session, of a replication connection too. What the application limits for its own sessions
/// would end ours again and again, and a database whose sessions read only would take nothing from us.
const ANY: [(&str, &str); 5] = [
    ("default_transaction_read_only", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// The search_path of a session. Nobody but superusers can create in pg_catalog. pg_temp is searched first unless it is
/// named, so it is named last.
const PATH: &str = "pg_catalog, pg_temp";

/// The setting whose value before ours is asked for: in it the application took the times that have no zone.
const TIME_ZONE: &str = "timezone";

/// The first version of Postgres that has transaction_timeout.
const WITH_TRANSACTION_TIMEOUT: u32 = 17;

/// The settings of a replication connection.
pub fn of_stream() -> Vec<(&'static str, &'static str)> {
    let path = ("search_path", "pg_catalog,pg_temp");
    SESSION_SETTINGS
        .into_iter()
        .chain(ANY)
        .chain([path])
        .collect()
}

/// The `options` of the startup message of an ordinary session: those of the address, and then ours, which override
/// them.
pub(super) fn options(address: &Address) -> String {
    let mut options = address.options.clone().unwrap_or_default();
    let all = SESSION_SETTINGS.into_iter().chain(ANY).chain(ORDINARY);
    for (name, value) in all.filter(|(name, _)| *name != TIME_ZONE) {
        // Writing to a String cannot fail.
        let _ = write!(options, " -c {name}={value}");
    }
    options
}

/// The major version in what a server calls its version, such as `15.18 (Debian)` or `19beta1`; `None` if it says
/// something else.
pub(in super::super) fn major(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit());
    version.get(..end.unwrap_or(version.len()))?.parse().ok()
}

/// Makes the settings that cannot be made when the session begins. `major` is the server's version, if it tells.
///
/// # Errors
/// If the connection fails.
pub(super) async fn settle(
    client: &Client,
    major: Option<u32>,
) -> Result<(), tokio_postgres::Error> {
    // Not with the other settings: `RESET` then finds the role's own search_path, in which hooks.toml's queries run,
    // and pg_settings tells the time zone of the database.
    let mut sql = format!("set search_path to {PATH}");
    for (name, value) in SESSION_SETTINGS {
        if name == TIME_ZONE {
            let _ = write!(sql, "; set {name} to '{value}'");
        }
    }
    if has_transaction_timeout(major) {
        sql.push_str("; set transaction_timeout = 0");
    }
    client.batch_execute(&sql).await
}

/// Whether a server of this major version has the setting transaction_timeout. Older ones would refuse a session with
/// it.
pub(in super::super) fn has_transaction_timeout(major: Option<u32>) -> bool {
    major.is_some_and(|major| major >= WITH_TRANSACTION_TIMEOUT)
}

/// Lets names in the queries of hooks.toml mean what they mean to the role: from here on the session has the
/// search_path of the role, the database or the address. What we ask ourselves in it must name its schemas.
///
/// # Errors
/// If the connection fails.
pub async fn search_as_role(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("reset search_path").await
}

/// Takes back [`search_as_role`].
///
/// # Errors
/// If the connection fails.
pub async fn search_as_usual(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!("set search_path to {PATH}"))
        .await
}

/// The roles that may create in a schema beside its owner, this role and superusers. `public` stands for everyone.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn creators(client: &Client, schema: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/catalog/creators.sql");
    let rows = client.query(sql, &[&schema]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

impl Address {
    /// Opens a session in which tables and functions in `schema` can be named without it. Nobody may create there who
    /// is not trusted: what they made would be found too, and run with our privileges.
    ///
    /// # Errors
    /// If no host accepts the session, or somebody else may create in the schema.
    pub async fn connect_to_schema(
        &self,
        application_name: &str,
        schema: &str,
    ) -> Result<Client, Error> {
        let client = self.connect(application_name).await?;
        let failed = |reason| Error {
            at: self.database.clone(),
            reason,
        };
        let asked = creators(&client, schema).await;
        let creators = asked.map_err(|error| failed(self.reason(&error)))?;
        if !creators.is_empty() {
            return Err(failed(Reason::OpenSchema {
                schema: schema.to_owned(),
                creators,
            }));
        }
        let path = format!(
            "set search_path to pg_catalog, {}, pg_temp",
            quote::name(schema)
        );
        let set = client.batch_execute(&path).await;
        set.map_err(|error| failed(self.reason(&error)))?;
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        for (version, expected) in [
            ("15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("14.23", Some(14)),
            ("18beta2", Some(18)),
            ("19devel", Some(19)),
            ("17rc1", Some(17)),
            ("9.6.24", Some(9)),
            ("13", Some(13)),
            ("", None),
            ("PostgreSQL", None),
            ("99999999999999", None),
        ] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
