//! `[hook_table]`: a table of the application that holds the users' hooks.

use super::{
    HookTable, OnGone, OwnerExists, TableName, name,
    reader::{Keys, Table},
};

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
