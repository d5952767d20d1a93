//! `[limits]`: what the hooks of users may have.

use super::{
    rate::{self, Rate},
    reader::{Keys, Table, Value},
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
}

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
    ],
    later: &[],
};

pub(super) fn read(section: &Table<'_>) -> Limits {
    let usual = Limits::default();
    let flag = |name: &str| section.find(name).and_then(Value::flag).unwrap_or_default();
    let count = |name: &str| section.find(name).and_then(Value::count);
    let rate = |name: &str| section.find(name).and_then(rate::read).flatten();
    let size = |name: &str| section.find(name).and_then(|value| value.size(1, "1KiB"));
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
    }
}
