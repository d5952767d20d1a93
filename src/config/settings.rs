//! How a hook is sent, as a row of the hook table says it.
//!
//! A row has each setting as a text: a word, or JSON where hooks.toml has a number, a list, a table or false. The texts
//! are written as TOML and read by those who read hooks.toml, so that both mean the same and are refused with the same
//! words.

use std::fmt;

use http::Method;
use serde_json::Value as Json;
use toml::de::DeTable;

use super::{
    access::{self, Auth},
    bounds::{self, Bound},
    delivery::{self, Delivery, DisableAfter},
    method,
    mistake::{Location, Mistake},
    quantity::{written, written_size},
    reader::{Reader, Table},
    unfit::{Blame, Unfit},
};
use crate::signature::{Algorithm, Encoding, SignatureScheme};

/// A setting of a hook that `[hook_table]` can name a column for, and that `[limits]` leaves to owners or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The method of its requests.
    Method,
    /// Its credentials.
    Auth,
    /// The time-out of a request.
    Timeout,
    /// The pauses between attempts.
    Retries,
    /// What arrives in commit order.
    Order,
    /// The most requests in flight.
    Concurrency,
    /// How deliveries are gathered.
    Batch,
    /// The largest body.
    MaxBody,
    /// When it is disabled for failing.
    DisableAfter,
    /// How bodies are signed, which a row has had for longer.
    Signature,
}

/// How many of them are texts of [`SettingTexts`].
pub const TEXTS: usize = Setting::ALL.len() - 1;

/// What a row says, in the order of [`Setting::ALL`]: all but the signature.
pub type SettingTexts = [Option<String>; TEXTS];

impl Setting {
    /// All settings, the signature last.
    pub const ALL: [Self; 10] = [
        Self::Method,
        Self::Auth,
        Self::Timeout,
        Self::Retries,
        Self::Order,
        Self::Concurrency,
        Self::Batch,
        Self::MaxBody,
        Self::DisableAfter,
        Self::Signature,
    ];

    /// Its key in hooks.toml, which is also that in the API and the name of its column in rowhook's own table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Retries => "retries",
            Self::Order => "order",
            Self::Concurrency => "concurrency",
            Self::Batch => "batch",
            Self::MaxBody => "max_body",
            Self::DisableAfter => "disable_after",
            Self::Signature => "signature",
        }
    }

    /// How large the text of a row may be.
    pub fn bound(self) -> Bound {
        const SHORT: usize = 1 << 10;
        match self {
            Self::Method => Bound::new("the method has", SHORT),
            Self::Auth => Bound::new("the auth has", 16 << 10),
            Self::Timeout => Bound::new("the timeout has", SHORT),
            Self::Retries => Bound::new("the retries have", 4 << 10),
            Self::Order => Bound::new("the order has", SHORT),
            Self::Concurrency => Bound::new("the concurrency has", SHORT),
            Self::Batch => Bound::new("the batch has", SHORT),
            Self::MaxBody => Bound::new("the max_body has", SHORT),
            Self::DisableAfter => Bound::new("the disable_after has", SHORT),
            Self::Signature => bounds::SIGNATURE,
        }
    }

    /// Its place in [`SettingTexts`]; `None`: it is not one of them.
    pub fn place(self) -> Option<usize> {
        Some(self as usize).filter(|place| *place < TEXTS)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SettingSet(u16);

impl SettingSet {
    /// These settings.
    pub const fn of(settings: &[Setting]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < settings.len() {
            set |= 1 << settings[at] as u16;
            at += 1;
        }
        Self(set)
    }

    /// Whether it is one of them.
    pub fn has(self, setting: Setting) -> bool {
        self.0 & (1 << setting as u16) != 0
    }
}

impl fmt::Debug for SettingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Setting::ALL.into_iter().filter(|one| self.has(*one));
        f.debug_set().entries(own).finish()
    }
}

/// What the settings of a row come to.
pub struct Settings {
    /// The method of its requests.
    pub method: Method,
    /// Its credentials.
    pub auth: Option<Auth>,
    /// `[delivery]`, with the row's own settings in place of those there.
    pub delivery: Delivery,
}

/// Reads the settings of a row, over `base`.
///
/// # Errors
/// The first of them that cannot be used and why, in words for the owner of the hook. Credentials are not repeated.
pub fn read(texts: &SettingTexts, base: &Delivery) -> Result<Settings, Unfit> {
    let toml = document(texts);
    let reader = Reader::of_row(&toml);
    let (root, errors) = DeTable::parse_recoverable(&toml);
    if let Some(error) = errors.first() {
        let place = reader.place(error.span().map_or(0, |span| span.start));
        let setting = at(place).unwrap_or(Setting::Method);
        return Err(format!("its {setting} cannot be read")).blame(setting.name());
    }
    let start = Location { line: 1, column: 1 };
    let table = Table::new(&reader, "", start, root.get_ref());
    let method = method::read(&table);
    let auth = table.find("auth");
    let auth = auth.and_then(|value| access::auth(value, base.allow_http));
    let delivery = delivery::overlay(&table, base);
    match reader.finish().first() {
        None => Ok(Settings {
            method,
            auth,
            delivery,
        }),
        Some(mistake) => Err(told(mistake)),
    }
}

/// Checks a setting alone, before it is written to a row.
///
/// # Errors
/// As [`read`].
pub fn check(setting: Setting, value: &Json, base: &Delivery) -> Result<(), Unfit> {
    let mut texts = SettingTexts::default();
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    match setting.place().and_then(|place| texts.get_mut(place)) {
        Some(place) => *place = Some(text),
        None => {
            return SignatureScheme::parse(&text)
                .map(drop)
                .blame(setting.name());
        }
    }
    read(&texts, base).map(drop)
}

/// In which settings a hook differs from `usual`, in the form of hooks.toml. Its method and its credentials are not
/// among them.
pub fn differences(own: &Delivery, usual: &Delivery) -> Vec<(Setting, Json)> {
    let retries = || match own.retries.is_empty() {
        true => Json::Bool(false),
        false => own.retries.iter().copied().map(written).collect(),
    };
    let batch = || match own.batch {
        None => Json::Bool(false),
        Some(rule) => serde_json::json!({
            "max": rule.max,
            "wait": written(rule.wait),
            "max_bytes": written_size(rule.max_bytes),
        }),
    };
    let disable_after = || match own.disable_after {
        DisableAfter::Time(time) => written(time).into(),
        DisableAfter::Failures(failures) => failures.into(),
    };
    let mut found = Vec::new();
    let mut differs = |setting, differs: bool, value: &dyn Fn() -> Json| {
        if differs {
            found.push((setting, value()));
        }
    };
    differs(Setting::Timeout, own.timeout != usual.timeout, &|| {
        written(own.timeout).into()
    });
    differs(Setting::Retries, own.retries != usual.retries, &retries);
    differs(Setting::Order, own.order != usual.order, &|| {
        own.order.name().into()
    });
    differs(
        Setting::Concurrency,
        own.concurrency != usual.concurrency,
        &|| own.concurrency.get().into(),
    );
    differs(Setting::Batch, own.batch != usual.batch, &batch);
    differs(Setting::MaxBody, own.max_body != usual.max_body, &|| {
        written_size(own.max_body).into()
    });
    let after = own.disable_after != usual.disable_after;
    differs(Setting::DisableAfter, after, &disable_after);
    let signature = own.signature != usual.signature;
    differs(Setting::Signature, signature, &|| scheme(&own.signature));
    found
}

fn scheme(signature: &SignatureScheme) -> Json {
    let SignatureScheme::Header(rule) = signature else {
        return "standard".into();
    };
    serde_json::json!({
        "header": rule.header.as_str(),
        "algorithm": match rule.algorithm {
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        },
        "encoding": match rule.encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
        },
        "prefix": rule.prefix,
    })
}

/// What kind of credentials an `auth` has: `bearer`, `basic` or `oauth2`; `None`: none that can be used.
pub fn kind_of_auth(auth: &Json) -> Option<&'static str> {
    let kinds = [
        ("bearer", "bearer"),
        ("user", "basic"),
        ("oauth2", "oauth2"),
    ];
    let kind = kinds.into_iter().find(|(key, _)| auth.get(key).is_some());
    kind.map(|(_, kind)| kind)
}

/// A value as a row has it: JSON, or else a text. `None`: null in JSON, which says nothing, as null in SQL does.
pub fn value(text: &str) -> Option<Json> {
    match serde_json::from_str(text) {
        Ok(Json::Null) => None,
        Ok(json) => Some(json),
        Err(_) => Some(Json::String(text.to_owned())),
    }
}

/// The settings as TOML, each on the line of its place.
fn document(texts: &SettingTexts) -> String {
    let mut toml = String::new();
    for (setting, text) in Setting::ALL.into_iter().zip(texts) {
        if let Some(value) = text.as_deref().and_then(value) {
            toml.push_str(setting.name());
            toml.push_str(" = ");
            write(&value, &mut toml);
        }
        toml.push('\n');
    }
    toml
}

/// Writes JSON as TOML, on one line. A key that is null is left out.
fn write(json: &Json, toml: &mut String) {
    match json {
        // An empty text is refused wherever a text is asked for.
        Json::Null => toml.push_str("\"\""),
        Json::Bool(value) => toml.push_str(&value.to_string()),
        Json::Number(number) => toml.push_str(&number.to_string()),
        Json::String(text) => quote(text, toml),
        Json::Array(elements) => {
            toml.push('[');
            for (number, element) in elements.iter().enumerate() {
                if number > 0 {
                    toml.push_str(", ");
                }
                write(element, toml);
            }
            toml.push(']');
        }
        Json::Object(entries) => {
            toml.push('{');
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            for (number, (key, value)) in entries.enumerate() {
                toml.push_str(if number > 0 { ", " } else { " " });
                quote(key, toml);
                toml.push_str(" = ");
                write(value, toml);
            }
            toml.push_str(" }");
        }
    }
}

/// Writes a text as TOML: as in JSON, but that DEL is escaped too.
fn quote(text: &str, toml: &mut String) {
    let quoted = Json::String(text.to_owned()).to_string();
    toml.push_str(&quoted.replace('\u{7f}', "\\u007f"));
}

/// The setting that stands on this line.
fn at(place: Location) -> Option<Setting> {
    Setting::ALL.get(place.line.checked_sub(1)?).copied()
}

/// A mistake in words for the owner of the hook.
fn told(mistake: &Mistake) -> Unfit {
    let text = &mistake.text;
    let Some(setting) = mistake.place.and_then(at) else {
        return format!("its {text}").into();
    };
    let names_it = text.strip_prefix(setting.name());
    let names_it = names_it.is_some_and(|rest| rest.starts_with([' ', '.']));
    let text = match names_it {
        true => format!("its {text}"),
        false => format!("its {setting}: {text}"),
    };
    // What it says to write is as it would stand in hooks.toml.
    let reason = match text.contains(" = ") {
        true => format!("{text} (here in JSON)"),
        false => text,
    };
    Unfit {
        part: Some(setting.name()),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Batch, DisableAfter, Order};

    fn texts(given: &[(Setting, &str)]) -> SettingTexts {
        let mut texts = SettingTexts::default();
        for (setting, text) in given {
            texts[setting.place().unwrap()] = Some((*text).to_owned());
        }
        texts
    }

    fn refused(setting: Setting, text: &str) -> String {
        let read = read(&texts(&[(setting, text)]), &Delivery::default());
        let unfit = read.err();
        assert!(unfit.iter().all(|unfit| unfit.part == Some(setting.name())));
        unfit.map(|unfit| unfit.reason).unwrap_or_default()
    }

    #[test]
    fn a_row_says_what_hooks_toml_can_say() {
        let base = Delivery::default();
        let read = read(
            &texts(&[
                (Setting::Method, "PUT"),
                (Setting::Auth, r#"{"user": "anna", "password": "s\"${X}"}"#),
                (Setting::Timeout, "500ms"),
                (Setting::Retries, r#"["1s", "2m"]"#),
                (Setting::Order, "hook"),
                (Setting::Concurrency, "3"),
                (
                    Setting::Batch,
                    r#"{"max": 7, "wait": "2s", "max_bytes": null}"#,
                ),
                (Setting::MaxBody, "\"64KiB\""),
                (Setting::DisableAfter, "100"),
            ]),
            &base,
        );
        let read = read.unwrap_or_else(|unfit| panic!("{unfit:?}"));
        assert_eq!(read.method, Method::PUT);
        let Some(Auth::Header(header)) = read.auth else {
            panic!("these are credentials of HTTP Basic");
        };
        // What looks like a variable of the environment is none.
        assert_eq!(header, "Basic YW5uYTpzIiR7WH0=");
        let delivery = read.delivery;
        assert_eq!(delivery.timeout, Duration::from_millis(500));
        assert_eq!(delivery.retries, [1, 120].map(Duration::from_secs));
        assert_eq!(delivery.order, Order::Hook);
        assert_eq!(delivery.concurrency.get(), 3);
        let batch = Batch {
            max: NonZeroUsize::new(7).unwrap(),
            max_bytes: 1 << 20,
            wait: Duration::from_secs(2),
        };
        assert_eq!(delivery.batch, Some(batch));
        assert_eq!(delivery.max_body, 64 << 10);
        assert_eq!(delivery.disable_after, DisableAfter::Failures(100));
        assert_eq!(delivery.retention, base.retention);
    }

    #[test]
    fn what_differs_is_shown_as_it_is_written() {
        let base = Delivery::default();
        assert_eq!(differences(&base, &base), []);
        let given = [
            (Setting::Timeout, "500ms"),
            (Setting::Retries, r#"["1s","2m"]"#),
            (Setting::Order, "none"),
            (Setting::Concurrency, "3"),
            (
                Setting::Batch,
                r#"{"max":7,"wait":"2s","max_bytes":"64KiB"}"#,
            ),
            (Setting::MaxBody, "1MiB"),
            (Setting::DisableAfter, "100"),
        ];
        let read = read(&texts(&given), &base).unwrap_or_else(|unfit| panic!("{unfit:?}"));
        let shown = differences(&read.delivery, &base);
        let expected = given.map(|(setting, text)| (setting, value(text).unwrap()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_null_says_nothing() {
        let base = Delivery {
            timeout: Duration::from_secs(7),
            ..Delivery::default()
        };
        let given = Setting::ALL[..TEXTS].iter().map(|one| (*one, "null"));
        for texts in [texts(&given.collect::<Vec<_>>()), SettingTexts::default()] {
            let read = read(&texts, &base).unwrap_or_else(|unfit| panic!("{unfit:?}"));
            assert_eq!((read.method, read.auth.is_none()), (Method::POST, true));
            assert_eq!(format!("{:?}", read.delivery), format!("{base:?}"));
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_name_and_its_remedy() {
        for (setting, text, reason) in [
            (
                Setting::Method,
                "GET",
                "its method cannot be \"GET\"; did you mean \"PUT\"?",
            ),
            (
                Setting::Timeout,
                "0s",
                "its timeout is zero; write a longer time, such as \"15s\"",
            ),
            (
                Setting::Timeout,
                "15",
                "its timeout is an integer; write a number with its unit, ms, s, m, h or d, such as \"15s\"",
            ),
            (
                Setting::Timeout,
                "5 s",
                "its timeout: \"5 s\" is not a duration; write a number with its unit, ms, s, m, h or d, such as \"15s\"",
            ),
            (
                Setting::Concurrency,
                "99999999999999999999",
                "its concurrency is a float; write a whole number",
            ),
            (
                Setting::Batch,
                r#"{"max": 500}"#,
                "its batch.max is 500; write a whole number from 1 to 200",
            ),
            (
                Setting::Batch,
                "{max: 1}",
                "its batch is a string; write a table such as { max = 100, wait = \"1s\" }, or false to send each \
                 alone (here in JSON)",
            ),
            (
                Setting::Auth,
                r#"{"bearer": "marker", "token": "marker"}"#,
                "its auth has no key \"token\"; write \"user\", \"password\", \"bearer\" or \"oauth2\"",
            ),
            (
                Setting::DisableAfter,
                "true",
                "its disable_after is a boolean; write a duration such as \"5d\", or a number of failures",
            ),
        ] {
            let told = refused(setting, text);
            let is_expected = match setting {
                // What is nearest is no matter of this.
                Setting::Method => told.starts_with(&reason[..16]),
                _ => told == reason,
            };
            assert!(is_expected && !told.contains("marker"), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_taken_for_a_variable(text in "\\PC*", place in 0..TEXTS) {
            let mut texts = SettingTexts::default();
            texts[place] = Some(text.clone());
            let _ = read(&texts, &Delivery::default());
            // Every text can stand in TOML.
            let mut toml = "x = ".to_owned();
            write(&Json::String(text), &mut toml);
            prop_assert!(DeTable::parse(&toml).is_ok(), "{}", toml);
        }
    }
}
