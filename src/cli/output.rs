//! Standard output: text, lines and JSON.
//!
//! Whoever reads it may stop early, as `head` does. That ends the command with success.

use std::io::{ErrorKind, IsTerminal, Write, stdout};

use anyhow::Result;
use serde::Serialize;

use crate::terminal::{plain, plain_json};

/// Prints text as it is.
pub(super) fn text(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// Prints one line. What in it would steer the terminal is escaped.
pub(super) fn line(line: &str) -> Result<()> {
    text(&format!("{}\n", plain(line)))
}

/// Prints JSON on several lines, for programs and for people.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    text(&format!(
        "{}\n",
        plain_json(&serde_json::to_string_pretty(value)?)
    ))
}

/// Prints JSON on one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<()> {
    text(&format!("{}\n", plain_json(&serde_json::to_string(value)?)))
}

/// Whether standard output is a terminal whose user has not switched colours off.
pub(super) fn has_colour() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
