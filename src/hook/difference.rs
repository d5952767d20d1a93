//! What has changed of a hook, as it goes on record: without its secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::{Hook, row::HookRow};
use crate::{
    config::{Secrets, Setting},
    panics::beginning,
    secret::Secret,
};

/// The most bytes of a value that go on record.
const LONGEST: usize = 4096;
/// What is larger is not taken apart. No hook that can be used has as much.
const LARGEST: usize = 128 << 10;
/// How many headers are told apart. No hook that can be used has more.
const MOST_HEADERS: usize = 100;
/// Stands for what is secret and is not what it was.
const CHANGED: &str = "changed";

/// What was different of a hook before, and what it is now.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it had; all of it, where the hook is no more.
    pub before: Map<String, Value>,
    /// What it has; all of it, where the hook is new.
    pub after: Map<String, Value>,
}

/// What can be shown of a hook, and what of it can only be compared.
#[derive(Default)]
struct Facts {
    shown: Map<String, Value>,
    secret: BTreeMap<String, String>,
}

impl Difference {
    /// What is different between two states of a hook. `None`: there was or is no such hook.
    pub fn between(before: Option<&HookRow>, after: Option<&HookRow>, keys: &Secrets) -> Self {
        // Sealing is no change. What cannot be opened is compared as it is.
        let opened = |row: &HookRow| row.opened(keys);
        let both = match (before.map(opened), after.map(opened)) {
            (Some(None), _) | (_, Some(None)) => None,
            (before, after) => Some((before.flatten(), after.flatten())),
        };
        match both {
            Some((before, after)) => Self::of(
                &before.as_ref().map(Facts::of_row).unwrap_or_default(),
                &after.as_ref().map(Facts::of_row).unwrap_or_default(),
            ),
            None => Self::of(
                &before.map(Facts::of_row).unwrap_or_default(),
                &after.map(Facts::of_row).unwrap_or_default(),
            ),
        }
    }

    /// What is different of a hook whose row is not known as it was before; only what every hook has is compared.
    pub fn from_known(before: &Hook, after: &HookRow) -> Self {
        let before = Facts::of_hook(before);
        let events = after.event_names().unwrap_or_default();
        let mut after = Facts::of_row(after);
        // As they are known of the one before.
        after.show("event", Some(clipped(&events.join(", "))));
        after
            .shown
            .retain(|name, _| before.shown.contains_key(name) || Facts::COMMON.contains(&&**name));
        after.secret.clear();
        Self::of(&before, &after)
    }

    fn of(before: &Facts, after: &Facts) -> Self {
        let only = |one: &Facts, other: &Facts| {
            let shown = one.shown.iter();
            let shown = shown.filter(|(name, value)| other.shown.get(*name) != Some(value));
            let shown = shown.map(|(name, value)| (name.clone(), value.clone()));
            shown.collect::<Map<String, Value>>()
        };
        let mut difference = Self {
            before: only(before, after),
            after: only(after, before),
        };
        for (name, value) in &after.secret {
            match before.secret.get(name) {
                Some(same) if same == value => {}
                Some(_) => {
                    difference.after.insert(name.clone(), CHANGED.into());
                }
                None => {
                    difference.after.insert(name.clone(), "set".into());
                }
            }
        }
        for name in before.secret.keys() {
            if !after.secret.contains_key(name) {
                difference.before.insert(name.clone(), "set".into());
            }
        }
        difference
    }

    /// Whether nothing is different.
    pub fn is_none(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// Whether it has been switched on or off, and nothing else; `None`: neither.
    pub fn switched(&self) -> Option<bool> {
        match (self.before.len(), self.after.len()) {
            (1, 1) => self.after.get("active")?.as_bool(),
            _ => None,
        }
    }

    /// Whether only its secrets are others.
    pub fn is_rotation(&self) -> bool {
        let names = || self.before.keys().chain(self.after.keys());
        let are_secrets = names().all(|name| matches!(&**name, "secret" | "previous_secret"));
        are_secrets && self.after.contains_key("secret") && self.before.get("secret").is_none()
    }
}

impl Facts {
    /// What is compared of a hook whose row is not known.
    const COMMON: [&'static str; 5] = ["owner", "event", "target", "active", "filter"];

    fn of_row(row: &HookRow) -> Self {
        let mut facts = Self::default();
        facts.show("active", Some(Value::Bool(row.active)));
        for (name, value) in [
            ("owner", &row.owner),
            ("event", &row.event),
            ("filter", &row.filter),
            ("payload", &row.payload),
            ("content", &row.content),
            ("content_type", &row.content_type),
            ("rate", &row.rate),
            ("user_agent", &row.user_agent),
            ("template", &row.template),
            ("description", &row.description),
            ("signature", &row.signature),
            ("certificate", &row.certificate),
            ("compress", &row.compress),
        ] {
            facts.show(name, value.as_deref().map(clipped));
        }
        if let Some(more) = &row.more {
            facts.show("events", more.events.as_deref().map(clipped));
            for (setting, value) in Setting::ALL.into_iter().zip(&more.settings) {
                match setting {
                    Setting::Auth => facts.hide("auth", value.clone()),
                    _ => facts.show(setting.name(), value.as_deref().map(clipped)),
                }
            }
        }
        if let Some(target) = &row.target {
            let (shown, credentials) = split(target);
            facts.show("target", Some(clipped(&shown)));
            facts.hide("target credentials", credentials);
        }
        if let Some(headers) = &row.headers {
            facts.add_headers(headers);
        }
        let exposed = |secret: &Option<Secret>| secret.as_ref().map(|of| of.expose().to_owned());
        facts.hide("secret", exposed(&row.secret));
        facts.hide("previous_secret", exposed(&row.previous_secret));
        facts
    }

    fn of_hook(hook: &Hook) -> Self {
        let mut facts = Self::default();
        let events: Vec<String> = hook.events.iter().map(ToString::to_string).collect();
        facts.show("active", Some(Value::Bool(hook.active)));
        facts.show("owner", hook.owner.as_deref().map(clipped));
        facts.show("event", Some(clipped(&events.join(", "))));
        let (target, _) = split(hook.target.display());
        facts.show("target", Some(clipped(&target)));
        let filter = hook.filter.as_deref().map(|filter| clipped(filter.text()));
        facts.show("filter", filter);
        facts
    }

    /// The names of headers are shown, and of their values only that they have changed.
    fn add_headers(&mut self, json: &str) {
        let headers: Option<Map<String, Value>> = match json.len() {
            ..=LARGEST => serde_json::from_str(json).ok(),
            _ => None,
        };
        let Some(headers) = headers.filter(|headers| headers.len() <= MOST_HEADERS) else {
            self.hide("headers", Some(json.to_owned()));
            return;
        };
        if headers.is_empty() {
            return;
        }
        let names = headers.keys().map(|name| clipped(name)).collect();
        self.show("headers", Some(Value::Array(names)));
        for (name, value) in &headers {
            let name = format!("header {}", beginning(name, LONGEST));
            self.hide(&name, Some(value.to_string()));
        }
    }

    fn show(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.shown.insert(name.to_owned(), value);
        }
    }

    fn hide(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.secret.insert(name.to_owned(), value);
        }
    }
}

fn clipped(text: &str) -> Value {
    match beginning(text, LONGEST) {
        whole if whole.len() == text.len() => Value::String(text.to_owned()),
        beginning => Value::String(format!("{beginning}…")),
    }
}

/// A target without its credentials, and these. What is not a URL may have them anywhere, so it is not shown.
fn split(target: &str) -> (String, Option<String>) {
    let url = (target.len() <= LARGEST).then(|| Url::parse(target).ok());
    let Some(mut url) = url.flatten() else {
        return ("(not a URL)".to_owned(), Some(target.to_owned()));
    };
    let credentials = format!("{}:{}", url.username(), url.password().unwrap_or_default());
    // These fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let credentials = (credentials != ":").then_some(credentials);
    (url.into(), credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(target: &str, headers: &str, secret: &str) -> Facts {
        let mut facts = Facts::default();
        let (shown, credentials) = split(target);
        facts.show("target", Some(clipped(&shown)));
        facts.hide("target credentials", credentials);
        facts.add_headers(headers);
        facts.hide("secret", Some(secret.to_owned()));
        facts
    }

    #[test]
    fn what_is_secret_is_compared_and_not_shown() {
        let before = facts(
            "https://u:marker@a.example/x",
            r#"{"X-Key": "marker"}"#,
            "marker1",
        );
        let after = facts(
            "https://u:marker2@a.example/y",
            r#"{"X-Key": "marker2", "X-New": "marker3"}"#,
            "marker2",
        );
        let difference = Difference::of(&before, &after);
        let shown = serde_json::json!([difference.before, difference.after]);
        assert_eq!(
            shown,
            serde_json::json!([
                {"target": "https://a.example/x", "headers": ["X-Key"]},
                {
                    "target": "https://a.example/y",
                    "target credentials": "changed",
                    "headers": ["X-Key", "X-New"],
                    "header X-Key": "changed",
                    "header X-New": "set",
                    "secret": "changed",
                },
            ])
        );
        assert!(Difference::of(&after, &after).is_none());
        let gone = Difference::of(&after, &Facts::default());
        assert!(!format!("{gone:?}").contains("marker"), "{gone:?}");
    }

    #[test]
    fn a_target_that_is_not_a_url_is_not_shown() {
        let one = facts("https://u:marker@a b/x", "marker", "s");
        let difference = Difference::of(&Facts::default(), &one);
        assert!(
            !format!("{difference:?}").contains("marker"),
            "{difference:?}"
        );
    }
}
