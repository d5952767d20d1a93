//! `[audit]`: how long acts are on record.

use std::time::Duration;

use super::reader::{Keys, Table, Value};

/// `[audit]`: how long acts are on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// The time for which they are kept. Default `400d`.
    pub retention: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(400 * 24 * 60 * 60),
        }
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &["retention"],
    later: &[],
};

pub(super) fn read(section: &Table<'_>) -> Audit {
    let retention = section.find("retention").and_then(Value::positive_duration);
    Audit {
        retention: retention.unwrap_or(Audit::default().retention),
    }
}
