//! `[limits]`: what the hooks of users may have.

use std::time::Duration;

use super::{
    rate::{self, Rate},
    reader::{Keys, Table, Value},
    settings::{Setting, SettingSet},
};

/// `[limits]`: what the hooks of users may have. Those of the operator may have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// May they have templates? Default false.
    pub template: bool,
    /// May they choose the user agent of their requests? Default false.
    pub user_agent: bool,
    /// How many hooks an owner may have when they make another one. Default 1000.
    pub hooks: u32,
    /// How many tests an owner may send in a minute. Default 60.
    pub tests_per_minute: u32,
    /// The most requests of one hook in a time. Default: any.
    pub rate: Option<Rate>,
    /// The most events that the hooks of one owner are sent in a time, all together. Default: any.
    pub owner_rate: Option<Rate>,
    /// How many requests of the hooks of one owner are begun at once. Default 256.
    pub owner_requests: u32,
    /// The most requests that the hooks of users make of one host in a time, all together. Default: any.
    pub host_rate: Option<Rate>,
    /// How many bytes the target of a hook may have. Default 8 KiB.
    pub target: usize,
    /// How many bytes the headers of a hook may have, names and values together. Default 32 KiB.
    pub headers: usize,
    /// How many bytes the description of a hook may have. Default 16 KiB.
    pub description: usize,
    /// Which settings owners may choose themselves. Default: those that can harm nobody else.
    pub owner_settings: SettingSet,
    /// How many events and patterns a hook may name. Default 100.
    pub events: u32,
    /// The longest time-out that a hook may name. Default 60 s.
    pub timeout: Duration,
    /// The most requests in flight that a hook may name. Default 64.
    pub concurrency: u32,
    /// The largest body that a hook may name. Default 20 MiB.
    pub max_body: usize,
    /// The most deliveries of a request that a hook may name. Default 200.
    pub batch: u32,
    /// The longest time that a hook may have deliveries wait for others. Default 10 s.
    pub batch_wait: Duration,
}

/// What harms nobody but the hook itself, within the limits. A schedule of many retries keeps the table busy, a hook
/// that wants all of its events in order has others wait, and one that is never disabled is called for ever.
const HARMLESS: SettingSet = SettingSet::of(&[
    Setting::Method,
    Setting::Auth,
    Setting::Timeout,
    Setting::Concurrency,
    Setting::Batch,
    Setting::MaxBody,
    Setting::Signature,
]);

impl Default for Limits {
    fn default() -> Self {
        Self {
            template: false,
            user_agent: false,
            hooks: 1000,
            tests_per_minute: 60,
            rate: None,
            owner_rate: None,
            owner_requests: 256,
            host_rate: None,
            target: 8 << 10,
            headers: 32 << 10,
            description: 16 << 10,
            owner_settings: HARMLESS,
            events: 100,
            timeout: Duration::from_secs(60),
            concurrency: 64,
            max_body: 20 << 20,
            batch: 200,
            batch_wait: Duration::from_secs(10),
        }
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "template",
        "user_agent",
        "hooks",
        "tests_per_minute",
        "rate",
        "owner_rate",
        "owner_requests",
        "host_rate",
        "target",
        "headers",
        "description",
        "owner_settings",
        "events",
        "timeout",
        "concurrency",
        "max_body",
        "batch",
        "batch_wait",
    ],
    later: &[],
};

pub(super) fn read(section: &Table<'_>) -> Limits {
    let usual = Limits::default();
    let flag = |name: &str| section.find(name).and_then(Value::flag).unwrap_or_default();
    let count = |name: &str| section.find(name).and_then(Value::count);
    let rate = |name: &str| section.find(name).and_then(rate::read).flatten();
    let size = |name: &str| section.find(name).and_then(|value| value.size(1, "1KiB"));
    let time = |name: &str| section.find(name).and_then(Value::positive_duration);
    Limits {
        template: flag("template"),
        user_agent: flag("user_agent"),
        hooks: count("hooks").unwrap_or(usual.hooks),
        tests_per_minute: count("tests_per_minute").unwrap_or(usual.tests_per_minute),
        rate: rate("rate"),
        owner_rate: rate("owner_rate"),
        owner_requests: count("owner_requests").unwrap_or(usual.owner_requests),
        host_rate: rate("host_rate"),
        target: size("target").unwrap_or(usual.target),
        headers: size("headers").unwrap_or(usual.headers),
        description: size("description").unwrap_or(usual.description),
        owner_settings: section
            .find("owner_settings")
            .and_then(owner_settings)
            .unwrap_or(usual.owner_settings),
        events: count("events").unwrap_or(usual.events),
        timeout: time("timeout").unwrap_or(usual.timeout),
        concurrency: count("concurrency").unwrap_or(usual.concurrency),
        max_body: size("max_body").unwrap_or(usual.max_body),
        batch: count("batch").unwrap_or(usual.batch),
        batch_wait: time("batch_wait").unwrap_or(usual.batch_wait),
    }
}

/// A list of settings, which may be empty.
fn owner_settings(value: &Value<'_>) -> Option<SettingSet> {
    let choices = Setting::ALL.map(|setting| (setting.name(), setting));
    let remedy = "a list of settings such as [\"timeout\", \"method\"]";
    let named = value.list_of(remedy, |element| element.choice(&choices))?;
    Some(SettingSet::of(&named))
}
