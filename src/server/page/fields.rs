//! The fields of a hook in a form: what each is called, and what it holds for a hook that is there.

use std::collections::BTreeMap;

use minijinja::{Value, context};
use serde_json::Value as Json;

use super::user::User;
use crate::{
    config::{HookColumns, PayloadFormat, Setting},
    manage::{Actor, hooks::Hook},
};

/// What is written into a form, by the names of its fields. What is empty is as hooks.toml says for all hooks. Events
/// and the names of headers stand on a line each.
pub(super) type Texts = BTreeMap<String, String>;

/// A field, which has the name that the API has for the same.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    hint: &'static str,
    kind: Kind,
}

/// What can be done with a field.
enum Kind {
    Line,
    Lines,
    /// A word, beside the one that is shown for none.
    Choice(&'static str, &'static [(&'static str, &'static str)]),
    Format,
}

const ORDERS: &[(&str, &str)] = &[
    ("row", "the events of a row"),
    ("hook", "all events"),
    ("none", "none"),
];

/// All fields but the target, the events, the headers and the credentials, which look different.
const FIELDS: [Field; 18] = [
    field("description", "Note", "for yourself", Kind::Lines),
    field(
        "filter",
        "Filter",
        "a CEL expression, such as new.price > 100; only what it is true for is sent",
        Kind::Lines,
    ),
    field("payload", "Payload", "the shape of bodies", Kind::Format),
    field(
        "content",
        "Encoding",
        "of bodies",
        Kind::Choice("as usual", &[("json", "JSON"), ("form", "form")]),
    ),
    field(
        "content_type",
        "Content type",
        "such as application/json",
        Kind::Line,
    ),
    field(
        "compress",
        "Compression",
        "of bodies",
        Kind::Choice("as usual", &[("gzip", "gzip"), ("none", "none")]),
    ),
    field("user_agent", "User agent", "of its requests", Kind::Line),
    field(
        "template",
        "Template",
        "makes what is sent in place of the row",
        Kind::Lines,
    ),
    field(
        "certificate",
        "Certificate",
        "the name of a client certificate",
        Kind::Line,
    ),
    field(
        "rate",
        "Rate",
        "the most requests in a time, such as 100/s or 20/m",
        Kind::Line,
    ),
    field(
        "method",
        "Method",
        "",
        Kind::Choice("POST", &[("PUT", "PUT"), ("PATCH", "PATCH")]),
    ),
    field(
        "timeout",
        "Time-out",
        "of a request, such as 15s",
        Kind::Line,
    ),
    field(
        "retries",
        "Retries",
        "the pauses between attempts: [\"5s\", \"5m\"], {\"max_tries\": 10}, or false",
        Kind::Line,
    ),
    field(
        "order",
        "Order",
        "what arrives in the order in which it happened",
        Kind::Choice("as usual", ORDERS),
    ),
    field(
        "concurrency",
        "Concurrency",
        "the most requests in flight",
        Kind::Line,
    ),
    field(
        "batch",
        "Batch",
        "{\"max\": 100, \"wait\": \"1s\"}, or false",
        Kind::Line,
    ),
    field("max_body", "Largest body", "such as 20MiB", Kind::Line),
    field(
        "disable_after",
        "Disable after",
        "failing for a time such as 5d, or so many times in a row",
        Kind::Line,
    ),
];

/// The signature, last of all.
const SIGNATURE: Field = field(
    "signature",
    "Signature",
    "standard, or {\"header\": \"X-Signature\", \"algorithm\": \"sha256\"}",
    Kind::Line,
);

const fn field(name: &'static str, label: &'static str, hint: &'static str, kind: Kind) -> Field {
    Field {
        name,
        label,
        hint,
        kind,
    }
}

/// The labels of what is no [`Field`].
const OTHERS: [(&str, &str); 4] = [
    ("target", "URL"),
    ("events", "Events"),
    ("headers", "Headers"),
    ("auth", "Credentials"),
];

/// Credentials as they are written: JSON as the API has it, or a bearer token alone.
pub(super) fn credentials(text: &str) -> Json {
    match text.starts_with('{') {
        true => text.into(),
        false => serde_json::json!({ "bearer": text }),
    }
}

/// What a part of a hook is called in the form; `None`: it is not there.
pub(super) fn label(part: &str) -> Option<&'static str> {
    let fields = FIELDS.iter().chain([&SIGNATURE]);
    let mut all = fields.map(|field| (field.name, field.label)).chain(OTHERS);
    all.find(|(name, _)| *name == part).map(|(_, label)| label)
}

/// What of a hook somebody may change: what its table has a column for, and `[limits]` leaves to them.
pub(super) struct Allowed {
    columns: HookColumns,
    template: bool,
    user_agent: bool,
    settings: Vec<Setting>,
}

impl Allowed {
    pub(super) fn of(user: &User) -> Self {
        let config = &user.caller.generation.config;
        let limits = &config.limits;
        let is_operator = *user.actor() == Actor::Operator;
        let settings = Setting::ALL.into_iter();
        Self {
            columns: config.hook_columns(),
            template: is_operator || limits.template,
            user_agent: is_operator || limits.user_agent,
            settings: settings
                .filter(|setting| is_operator || limits.owner_settings.has(*setting))
                .collect(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let is_setting = Setting::ALL.iter().any(|setting| setting.name() == name);
        let is_theirs = match name {
            "template" => self.template,
            "user_agent" => self.user_agent,
            _ => !is_setting || self.settings.iter().any(|setting| setting.name() == name),
        };
        is_theirs && (name == "events" || self.columns.named(name).is_some())
    }

    /// The fields that they see.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        const LAST: &[Field] = &[SIGNATURE];
        const ALL: &[Field] = &FIELDS;
        let all = ALL.iter().chain(LAST);
        all.filter(|field| self.has(field.name))
    }
}

/// What the fields hold for a hook. Nothing of it is secret.
pub(super) fn texts_of(hook: &Hook) -> Texts {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let json = |value: &Option<Json>| match value {
        None => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let lines = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names.join("\n")
    };
    let all = [
        ("target", hook.target.clone()),
        ("events", lines(&hook.events)),
        ("headers", lines(&hook.headers)),
        ("auth", hook.auth.unwrap_or_default().to_owned()),
        ("description", text(&hook.description)),
        ("filter", text(&hook.filter)),
        ("payload", text(&hook.payload)),
        ("content", text(&hook.content)),
        ("content_type", text(&hook.content_type)),
        ("compress", text(&hook.compress)),
        ("user_agent", text(&hook.user_agent)),
        ("template", text(&hook.template)),
        ("certificate", text(&hook.certificate)),
        ("rate", text(&hook.rate)),
        ("method", text(&hook.method)),
        ("timeout", text(&hook.timeout)),
        ("retries", json(&hook.retries)),
        ("order", text(&hook.order)),
        ("concurrency", json(&hook.concurrency)),
        ("batch", json(&hook.batch)),
        ("max_body", text(&hook.max_body)),
        ("disable_after", json(&hook.disable_after)),
        ("signature", json(&hook.signature)),
    ];
    // Browsers end lines in their own way.
    all.map(|(name, text)| (name.to_owned(), text.replace("\r\n", "\n")))
        .into()
}

impl Field {
    /// The field as its template sees it.
    pub(super) fn shown(&self, texts: &Texts) -> Value {
        let value = texts.get(self.name).map_or("", String::as_str);
        let (none, mut choices): (&str, Vec<(&str, &str)>) = match self.kind {
            Kind::Choice(none, choices) => (none, choices.to_vec()),
            Kind::Format => {
                let names = PayloadFormat::all().map(|(name, _)| (name, name));
                ("as usual", names.collect())
            }
            Kind::Line | Kind::Lines => ("", Vec::new()),
        };
        // What is there stays a choice, whatever it is.
        let is_known = value.is_empty() || choices.iter().any(|(name, _)| *name == value);
        if !choices.is_empty() && !is_known {
            choices.push((value, value));
        }
        let choices = choices.into_iter();
        let choices = choices.map(|(name, label)| context! { name, label });
        let choices: Vec<Value> = choices.collect();
        context! {
            name => self.name,
            label => self.label,
            hint => self.hint,
            value,
            none,
            choices,
            lines => matches!(self.kind, Kind::Lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings;

    #[test]
    fn each_setting_of_a_hook_has_a_field_and_a_label() {
        for setting in Setting::ALL {
            assert!(label(setting.name()).is_some(), "{setting}");
        }
        let columns = HookColumns::own("rowhook");
        let beside = [
            "id",
            "owner",
            "event",
            "active",
            "secret",
            "previous_secret",
            "created",
        ];
        for (key, _) in columns.iter().filter(|(key, _)| !beside.contains(key)) {
            assert!(label(key).is_some(), "{key}");
        }
        assert_eq!(settings::TEXTS + 1, Setting::ALL.len());
    }
}
