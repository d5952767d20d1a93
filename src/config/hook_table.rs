//! `[hook_table]`: a table of the application that holds the users' hooks.

use super::mistake::Place;
use super::{
    name,
    reader::{Keys, Table},
};
use crate::postgres::TableName;

/// `[hook_table]`: a table of the application that holds the users' hooks. Each field is a column's name.
#[derive(Debug, Clone)]
pub struct HookTable {
    /// The table.
    pub table: TableName,
    /// Default `id`.
    pub id: String,
    /// Default `user_id`.
    pub owner: String,
    /// Default `event`.
    pub event: String,
    /// Default `target`.
    pub target: String,
    /// A boolean; hooks where it is not true hear nothing.
    pub active: Option<String>,
    /// A signing secret.
    pub secret: Option<String>,
    /// The signing secret before it, which signs too until it is removed.
    pub previous_secret: Option<String>,
    /// `standard`, or a JSON object, where it differs from `[delivery]`.
    pub signature: Option<String>,
    /// A CEL expression.
    pub filter: Option<String>,
    /// A JSON object of the headers to add.
    pub headers: Option<String>,
    /// The name of a payload, where it differs from `[delivery]`.
    pub payload: Option<String>,
    /// When the hook was made.
    pub created: Option<String>,
    /// A note of whoever made it.
    pub description: Option<String>,
    /// What a 410 does to the row. Default `disable` where `active` is named, else `delete`.
    pub on_gone: OnGone,
    /// Where the table stands.
    pub place: Place,
}

impl HookTable {
    /// The keys that name a column, and the columns.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [
            ("id", &self.id),
            ("owner", &self.owner),
            ("event", &self.event),
            ("target", &self.target),
        ];
        let named = [
            ("active", &self.active),
            ("secret", &self.secret),
            ("previous_secret", &self.previous_secret),
            ("signature", &self.signature),
            ("filter", &self.filter),
            ("headers", &self.headers),
            ("payload", &self.payload),
            ("created", &self.created),
            ("description", &self.description),
        ];
        let always = always.map(|(key, column)| (key, column.as_str()));
        let named = named.map(|(key, column)| Some((key, column.as_deref()?)));
        always.into_iter().chain(named.into_iter().flatten())
    }
}

/// `owner_exists = "auth_user.id"`: where the owners of hooks are kept. Hooks of others are disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerExists {
    /// The table of the owners.
    pub table: TableName,
    /// Its column with what hooks call their owner.
    pub column: String,
    /// Where the key stands.
    pub place: Place,
}

/// What a 410 does to a row of `[hook_table]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// Sets its `active` column to false.
    Disable,
    /// Deletes it.
    Delete,
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "table",
        "id",
        "owner",
        "event",
        "target",
        "active",
        "secret",
        "previous_secret",
        "signature",
        "filter",
        "headers",
        "payload",
        "created",
        "description",
        "on_gone",
        "owner_exists",
    ],
    later: &[],
};

/// `owner_exists`, which goes with rowhook's own table too.
pub(super) fn owner_exists(section: &Table<'_>) -> Option<OwnerExists> {
    let value = section.find("owner_exists")?;
    let text = value.string()?;
    let split = name::parts(&text)
        .and_then(|mut parts| Some((parts.pop()?, TableName::from_parts(parts)?)));
    let Some((column, table)) = split else {
        value.wrong(format!(
            "{} is no column of a table; write one such as \"auth_user.id\"",
            value.quote(&text)
        ));
        return None;
    };
    Some(OwnerExists {
        table,
        column,
        place: value.place,
    })
}

/// The application's table; none where the section is about rowhook's own.
pub(super) fn read(section: &Table<'_>) -> Option<HookTable> {
    let about_ours = section.iter().all(|value| value.name == "owner_exists");
    if about_ours && section.find("owner_exists").is_some() {
        return None;
    }
    let table = section
        .need("table", "table = \"rest_hooks_hook\"")
        .and_then(|value| {
            let text = value.string()?;
            let table = TableName::parse(&text);
            if table.is_none() {
                value.wrong(format!(
                    "{} is no table; write \"[schema.]table\", with \"double quotes\" around odd names",
                    value.quote(&text)
                ));
            }
            table
        });
    let column = |key: &str| section.string(key);
    let or = |key: &str, default: &str| column(key).unwrap_or_else(|| default.to_owned());
    let active = column("active");
    let choices = [("disable", OnGone::Disable), ("delete", OnGone::Delete)];
    let on_gone = section.find("on_gone");
    let wanted = on_gone.and_then(|value| value.choice(&choices));
    if wanted == Some(OnGone::Disable) && section.find("active").is_none() {
        section.reader.wrong(
            on_gone.map_or(section.place, |value| value.place),
            "hook_table.on_gone = \"disable\" needs a column to clear; name it with active, or write \"delete\"",
        );
    }
    let default = match active {
        Some(_) => OnGone::Disable,
        None => OnGone::Delete,
    };
    Some(HookTable {
        id: or("id", "id"),
        owner: or("owner", "user_id"),
        event: or("event", "event"),
        target: or("target", "target"),
        active,
        secret: column("secret"),
        previous_secret: column("previous_secret"),
        signature: column("signature"),
        filter: column("filter"),
        headers: column("headers"),
        payload: column("payload"),
        created: column("created"),
        description: column("description"),
        on_gone: wanted.unwrap_or(default),
        place: section.place,
        table: table?,
    })
}
