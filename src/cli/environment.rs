//! The process's environment, which hooks.toml and receive.toml may refer to as `${NAME}`.

use std::path::Path;

use crate::config::{Databases, Mistakes};

/// The value of an environment variable; `None` if it is not set or not UTF-8.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Loads hooks.toml, with the variables of this process.
///
/// # Errors
/// When the file cannot be read, or with all mistakes in it.
pub(super) fn load(path: &Path) -> Result<Databases, Mistakes> {
    Databases::load(path, &variable)
}
