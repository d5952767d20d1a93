//! The table that holds the users' hooks: rowhook's own, or the application's that `[hook_table]` names.

use super::{
    mistake::Location,
    name,
    reader::{Keys, Table},
    settings::{Setting, SettingTexts},
};
use crate::postgres::TableName;

/// The table that holds the users' hooks, and the names of its columns.
///
/// A column that is `None` does not exist: what it would say is then the same for all hooks.
#[derive(Debug, Clone)]
pub struct HookColumns {
    /// The table.
    pub table: TableName,
    /// The hook's id.
    pub id: String,
    /// Whose rows the hook is sent.
    pub owner: String,
    /// An event or a pattern.
    pub event: Option<String>,
    /// A list of events and patterns, beside that one or in its place.
    pub events: Option<String>,
    /// The URL that it is sent to.
    pub target: String,
    /// A boolean. A hook where it is not true is sent nothing.
    pub active: Option<String>,
    /// A signing secret.
    pub secret: Option<String>,
    /// The signing secret before it, which signs too until it is removed or expires.
    pub previous_secret: Option<String>,
    /// When the previous secret stops signing. Only rowhook's own table has it.
    pub previous_secret_expires_at: Option<String>,
    /// `standard`, or a JSON object, where it differs from `[delivery]`.
    pub signature: Option<String>,
    /// A CEL expression. Only events for which it is true are sent.
    pub filter: Option<String>,
    /// A JSON object of the headers to add.
    pub headers: Option<String>,
    /// The name of a payload format, where it differs from `[delivery]`.
    pub payload: Option<String>,
    /// `json` or `form`, where it differs from `[delivery]`.
    pub content: Option<String>,
    /// The content type, where it differs from `[delivery]`.
    pub content_type: Option<String>,
    /// The most requests in a time, where that differs from `[delivery]`.
    pub rate: Option<String>,
    /// The header `user-agent`, where it is another than ours.
    pub user_agent: Option<String>,
    /// The name of a client certificate.
    pub certificate: Option<String>,
    /// `gzip` or `none`, where it differs from `[delivery]`.
    pub compress: Option<String>,
    /// A template.
    pub template: Option<String>,
    /// The settings, in the order of [`Setting::ALL`], where they differ from `[delivery]`.
    pub settings: SettingTexts,
    /// When the hook was made.
    pub created: Option<String>,
    /// A note of whoever made the hook.
    pub description: Option<String>,
    /// Why the hook cannot be used, as rowhook found. Only rowhook's own table has it.
    pub invalid: Option<String>,
    /// Which of the columns are sealed, where `[secrets]` has a key.
    pub sealed: Sealed,
    /// Is it rowhook's own table?
    pub is_own: bool,
}

/// Which columns of the hook table are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sealed {
    /// The secret and the one before it.
    pub secret: bool,
    /// The credentials in the target.
    pub target: bool,
    /// The values of the headers.
    pub headers: bool,
    /// The credentials in `auth`.
    pub auth: bool,
}

impl Sealed {
    const ALL: Self = Self {
        secret: true,
        target: true,
        headers: true,
        auth: true,
    };

    /// Whether anything is.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl HookColumns {
    /// rowhook's own table in `schema`.
    pub fn own(schema: &str) -> Self {
        let named = |name: &str| Some(name.to_owned());
        let table = TableName {
            schema: schema.to_owned(),
            name: "hook".to_owned(),
        };
        Self {
            owner: "owner".to_owned(),
            events: named("events"),
            active: named("active"),
            secret: named("secret"),
            previous_secret: named("previous_secret"),
            previous_secret_expires_at: named("previous_secret_expires_at"),
            signature: named("signature"),
            filter: named("filter"),
            headers: named("headers"),
            payload: named("payload"),
            content: named("content"),
            content_type: named("content_type"),
            rate: named("rate"),
            user_agent: named("user_agent"),
            certificate: named("certificate"),
            compress: named("compress"),
            template: named("template"),
            settings: texts(|setting| named(setting.name())),
            created: named("created_at"),
            description: named("description"),
            invalid: named("invalid"),
            sealed: Sealed::ALL,
            is_own: true,
            ..Self::usual(table)
        }
    }

    /// A table of the application with the columns that `[hook_table]` takes for granted, and no others.
    pub fn usual(table: TableName) -> Self {
        Self {
            table,
            id: "id".to_owned(),
            owner: "user_id".to_owned(),
            event: Some("event".to_owned()),
            events: None,
            target: "target".to_owned(),
            active: None,
            secret: None,
            previous_secret: None,
            previous_secret_expires_at: None,
            signature: None,
            filter: None,
            headers: None,
            payload: None,
            content: None,
            content_type: None,
            rate: None,
            user_agent: None,
            certificate: None,
            compress: None,
            template: None,
            settings: SettingTexts::default(),
            created: None,
            description: None,
            invalid: None,
            sealed: Sealed::default(),
            is_own: false,
        }
    }

    /// The column of a setting; `None`: there is none.
    pub fn setting(&self, setting: Setting) -> Option<&String> {
        match setting.place() {
            Some(place) => self.settings.get(place)?.as_ref(),
            None => self.signature.as_ref(),
        }
    }

    /// The column for this key of `[hook_table]`; `None`: there is none.
    pub fn named(&self, key: &str) -> Option<&str> {
        let mut all = self.iter();
        all.find(|(name, _)| *name == key).map(|(_, column)| column)
    }

    /// The keys of `[hook_table]` that name a column, each with its column.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [
            ("id", &self.id),
            ("owner", &self.owner),
            ("target", &self.target),
        ];
        let named = [
            ("event", &self.event),
            ("events", &self.events),
            ("active", &self.active),
            ("secret", &self.secret),
            ("previous_secret", &self.previous_secret),
            ("filter", &self.filter),
            ("headers", &self.headers),
            ("payload", &self.payload),
            ("content", &self.content),
            ("content_type", &self.content_type),
            ("rate", &self.rate),
            ("user_agent", &self.user_agent),
            ("certificate", &self.certificate),
            ("compress", &self.compress),
            ("template", &self.template),
            ("created", &self.created),
            ("description", &self.description),
        ];
        let always = always.map(|(key, column)| (key, column.as_str()));
        let named = named.map(|(key, column)| Some((key, column.as_deref()?)));
        let settings = Setting::ALL
            .into_iter()
            .filter_map(|setting| Some((setting.name(), self.setting(setting)?.as_str())));
        let named = named.into_iter().flatten();
        always.into_iter().chain(named).chain(settings)
    }
}

/// A text for each setting of [`SettingTexts`].
fn texts(text: impl Fn(Setting) -> Option<String>) -> SettingTexts {
    let mut texts = SettingTexts::default();
    for (place, setting) in texts.iter_mut().zip(Setting::ALL) {
        *place = text(setting);
    }
    texts
}

/// `[hook_table]`: a table of the application that holds the users' hooks.
#[derive(Debug, Clone)]
pub struct HookTable {
    /// The table and its columns.
    pub columns: HookColumns,
    /// What an answer of 410 does to the row. Default `disable` where `active` is named, else `delete`.
    pub on_gone: OnGone,
    /// Where the section stands in hooks.toml.
    pub place: Location,
}

/// `owner_exists = "auth_user.id"`: the table of the owners. A hook whose owner is not in it is disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerExists {
    /// The table of the owners.
    pub table: TableName,
    /// The column that holds what hooks have as their owner.
    pub column: String,
    /// Where the key stands.
    pub place: Location,
}

/// What an answer of 410 Gone does to a row of `[hook_table]`.
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
        "events",
        "target",
        "active",
        "secret",
        "previous_secret",
        "signature",
        "filter",
        "headers",
        "payload",
        "content",
        "content_type",
        "rate",
        "user_agent",
        "certificate",
        "compress",
        "template",
        "method",
        "auth",
        "timeout",
        "retries",
        "order",
        "concurrency",
        "batch",
        "max_body",
        "disable_after",
        "created",
        "description",
        "sealed",
        "on_gone",
        "owner_exists",
    ],
    later: &[],
};

/// Reads `owner_exists`, which may be used with rowhook's own table too.
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

/// Reads the application's table. `None`: the section is about rowhook's own, or has mistakes.
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
    let [id, owner, event, target] = ["id", "owner", "event", "target"].map(column);
    let events = column("events");
    let active = column("active");
    let on_gone = on_gone(section, active.is_some());
    let named = HookColumns {
        active,
        secret: column("secret"),
        previous_secret: column("previous_secret"),
        signature: column("signature"),
        filter: column("filter"),
        headers: column("headers"),
        payload: column("payload"),
        content: column("content"),
        content_type: column("content_type"),
        rate: column("rate"),
        user_agent: column("user_agent"),
        certificate: column("certificate"),
        compress: column("compress"),
        template: column("template"),
        settings: texts(|setting| column(setting.name())),
        created: column("created"),
        description: column("description"),
        sealed: sealed(section),
        ..HookColumns::usual(table?)
    };
    Some(HookTable {
        columns: HookColumns {
            id: id.unwrap_or(named.id),
            owner: owner.unwrap_or(named.owner),
            // A table with a list of events need not have a column for a single one.
            event: event.or(named.event.filter(|_| events.is_none())),
            events,
            target: target.unwrap_or(named.target),
            ..named
        },
        on_gone,
        place: section.place,
    })
}

/// Which columns are sealed: of an application's table those that it names, and no others.
fn sealed(section: &Table<'_>) -> Sealed {
    let Some(value) = section.find("sealed") else {
        return Sealed::default();
    };
    let choices = [
        ("secret", "secret"),
        ("target", "target"),
        ("headers", "headers"),
        ("auth", "auth"),
    ];
    let remedy = "a list of \"secret\", \"target\", \"headers\" and \"auth\"";
    let named = value.list_of(remedy, |element| {
        let key = element.choice(&choices)?;
        if key != "target" && section.find(key).is_none() {
            element.wrong(format!(
                "hook_table.sealed names {key:?}, and hook_table.{key} names no column; name one, or leave it out"
            ));
        }
        Some(key)
    });
    let named = named.unwrap_or_default();
    Sealed {
        secret: named.contains(&"secret"),
        target: named.contains(&"target"),
        headers: named.contains(&"headers"),
        auth: named.contains(&"auth"),
    }
}

fn on_gone(section: &Table<'_>, has_active: bool) -> OnGone {
    let choices = [("disable", OnGone::Disable), ("delete", OnGone::Delete)];
    let value = section.find("on_gone");
    let wanted = value.and_then(|value| value.choice(&choices));
    if wanted == Some(OnGone::Disable) && section.find("active").is_none() {
        section.reader.wrong(
            value.map_or(section.place, |value| value.place),
            "hook_table.on_gone = \"disable\" needs a column to clear; name it with active, or write \"delete\"",
        );
    }
    wanted.unwrap_or(if has_active {
        OnGone::Disable
    } else {
        OnGone::Delete
    })
}
