//! `[limits]`: what the hooks of users may have.

use super::reader::{Keys, Table, Value};

/// `[limits]`: what the hooks of users may have. Those of the operator may have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// May they have templates? Default false.
    pub template: bool,
    /// May they choose the user agent of their requests? Default false.
    pub user_agent: bool,
}

pub(super) const KEYS: Keys = Keys {
    known: &["template", "user_agent"],
    later: &[],
};

pub(super) fn read(section: &Table<'_>) -> Limits {
    let flag = |name: &str| section.find(name).and_then(Value::flag).unwrap_or_default();
    Limits {
        template: flag("template"),
        user_agent: flag("user_agent"),
    }
}
