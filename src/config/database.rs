//! `[database]`: the database whose changes are read.

use std::sync::Arc;

use tokio_postgres::Client;

use super::reader::{Keys, Table, Value};
use crate::postgres::{
    address::Address, connect, password_command::PasswordCommand, stream::Subscription,
};

/// `[database]`: the database whose changes are read, and the names of what rowhook makes in it.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where rowhook's own tables and the publications are: the database that is written to.
    pub address: Address,
    /// A standby of it that the changes are read from, with the slot there. `None`: they are read at `address`.
    pub standby: Option<Address>,
    /// The name of the replication slot. Default `rowhook`.
    pub slot: String,
    /// The name of the publication. Tables without a replica identity go into `<publication>_inserts`. Default
    /// `rowhook`.
    pub publication: String,
    /// The schema of rowhook's own tables. Default `rowhook`.
    pub schema: String,
    /// Every role that can connect may fire custom events and actions with `pg_logical_emit_message`. Default false:
    /// only rowhook's own functions can.
    pub unsigned_messages: bool,
    /// Whether standbys copy the slot, where Postgres can do that (17 and newer). Default true.
    pub failover: bool,
}

impl Database {
    /// Where changes are read, and where the slot is.
    pub fn source(&self) -> &Address {
        self.standby.as_ref().unwrap_or(&self.address)
    }

    /// Opens a session with the standby that changes are read from; `None` where they are read at the primary.
    ///
    /// # Errors
    /// If no host accepts the session.
    pub async fn connect_standby(&self, name: &str) -> Result<Option<Client>, connect::Error> {
        match &self.standby {
            Some(standby) => standby.connect(name).await.map(Some),
            None => Ok(None),
        }
    }

    /// The name of the publication of the tables that have no replica identity.
    pub fn inserts_publication(&self) -> String {
        format!("{}_inserts", self.publication)
    }

    /// The slot and the publications that changes are read from.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            slot: self.slot.clone(),
            publications: vec![self.publication.clone(), self.inserts_publication()],
        }
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "url",
        "primary_url",
        "password_command",
        "slot",
        "publication",
        "schema",
        "unsigned_messages",
        "failover",
    ],
    later: &["store"],
};

/// The most bytes of a publication's name: `<publication>_inserts` must fit into the 63 bytes of a Postgres name.
const LONGEST_PUBLICATION: usize = 55;

/// Reads `[database]`, or one of `[[databases]]` with this slot where it names none.
pub(super) fn read(section: &Table<'_>, slot_by_default: &str) -> Option<Database> {
    let entered = |value| address(value, section.find("password_command"));
    let source = section
        .need("url", "url = \"${DATABASE_URL}\"")
        .and_then(entered);
    let (address, standby) = match section.find("primary_url") {
        Some(primary) => (entered(primary), source),
        None => (source, None),
    };
    let or_rowhook = |name: Option<String>| name.unwrap_or_else(|| "rowhook".into());
    Some(Database {
        slot: section
            .find("slot")
            .and_then(slot)
            .unwrap_or_else(|| slot_by_default.to_owned()),
        publication: or_rowhook(name(section, "publication", LONGEST_PUBLICATION)),
        schema: or_rowhook(schema(section)),
        unsigned_messages: section
            .find("unsigned_messages")
            .and_then(Value::flag)
            .unwrap_or_default(),
        failover: section
            .find("failover")
            .and_then(Value::flag)
            .unwrap_or(true),
        address: address?,
        standby,
    })
}

/// A libpq URL. Mistakes are reported without repeating any of it, because it may hold a password.
fn address(value: &Value<'_>, command: Option<&Value<'_>>) -> Option<Address> {
    let url = value.secret()?;
    // With a command, a password that is meant for something else in this environment does not count.
    let environment = |name: &str| match (name, command) {
        ("PGPASSWORD", Some(_)) => None,
        _ => (value.reader.env)(name),
    };
    let mut address = match Address::parse_with(url.expose(), &environment) {
        Ok(address) => address,
        Err(mistake) => {
            value.wrong(mistake.to_string());
            return None;
        }
    };
    if let Some(command) = command {
        if address.password.is_some() {
            command.wrong(format!(
                "{} prints the password, and {} has one already; remove one of them",
                command.key, value.key
            ));
            return None;
        }
        address.password_command = Some(Arc::new(self::command(command)?));
    }
    Some(address)
}

/// A command that prints one line, as a list of its words.
pub(super) fn command(value: &Value<'_>) -> Option<PasswordCommand> {
    // The same argument may stand twice. A string would be a program whose name has blanks, more often than not.
    let words = value.list("a list of strings")?;
    let words: Vec<Option<String>> = words.iter().map(Value::string).collect();
    let words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    let command = PasswordCommand::new(words);
    if command.is_none() {
        value.wrong(format!(
            "{} names no program; write it as [\"program\", \"argument\"]",
            value.key
        ));
    }
    command
}

fn slot(value: &Value<'_>) -> Option<String> {
    let slot = value.string()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if slot.len() > 63 || !slot.chars().all(allowed) {
        value.wrong(format!(
            "{} cannot name a slot; use up to 63 of a-z, 0-9 and _",
            value.quote(&slot)
        ));
        return None;
    }
    Some(slot)
}

fn schema(section: &Table<'_>) -> Option<String> {
    let schema = name(section, "schema", 63)?;
    if schema.starts_with("pg_")
        && let Some(value) = section.find("schema")
    {
        value.wrong(format!(
            "{} begins with pg_, which Postgres keeps for itself; choose another name",
            value.key
        ));
        return None;
    }
    Some(schema)
}

fn name(section: &Table<'_>, key: &str, longest: usize) -> Option<String> {
    let value = section.find(key)?;
    let name = value.string()?;
    if name.contains('\0') {
        value.wrong(format!("{} holds a NUL; remove it", value.key));
        return None;
    }
    if name.len() > longest {
        value.wrong(format!(
            "{} has {} bytes; Postgres leaves room for {longest}, shorten it",
            value.key,
            name.len()
        ));
        return None;
    }
    Some(name)
}
