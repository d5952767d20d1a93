//! What people read: aligned columns, in colour only on a terminal; or JSON for programs.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use serde::Serialize;

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
}

impl Tone {
    /// Of a state of a hook or a delivery.
    pub(super) fn of(state: &str) -> Self {
        match state {
            "active" | "delivered" => Self::Good,
            "failing" | "parked" => Self::Warn,
            "disabled" | "invalid" | "dead" => Self::Bad,
            _ => Self::Plain,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }

    pub(super) fn paint(self, text: &str, colour: bool) -> String {
        match self {
            Self::Plain => text.to_owned(),
            _ if !colour => text.to_owned(),
            tone => format!("{}{text}\x1b[0m", tone.code()),
        }
    }
}

/// One cell of a table.
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            // Whatever an endpoint has answered, it writes no line and no escape of its own.
            text: clean(&text.into()),
            tone,
        }
    }

    /// A state, in its colour.
    pub(super) fn state(state: &str) -> Self {
        Self::toned(state, Tone::of(state))
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Text without control characters.
pub(super) fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Lines with columns.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn render(&self, colour: bool) -> String {
        let width = |at: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widths = cells.map(|cell| cell.text.chars().count());
            widths.chain([head.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self
            .head
            .iter()
            .enumerate()
            .map(|(at, head)| width(at, head))
            .collect();
        let head = self.head.iter().map(|head| Cell::toned(*head, Tone::Faint));
        let head: Vec<Cell> = head.collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let padding = width.saturating_sub(cell.text.chars().count());
                line.push_str(&cell.tone.paint(&cell.text, colour));
                line.extend(std::iter::repeat_n(' ', padding + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Prints it; `nothing` where it has no rows.
    pub(super) fn print(&self, nothing: &str) -> Result<()> {
        match self.rows.is_empty() {
            true => line(nothing),
            false => put(&self.render(coloured())),
        }
    }
}

/// Prints names and values, one pair on each line; values that are empty are left out.
pub(super) fn facts(facts: &[(&str, Cell)]) -> Result<()> {
    let colour = coloured();
    let shown = facts.iter().filter(|(_, value)| !value.text.is_empty());
    let width = shown.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in shown {
        let padded = format!("{name:<width$}");
        text.push_str(&Tone::Faint.paint(&padded, colour));
        text.push_str("  ");
        text.push_str(&value.tone.paint(&value.text, colour));
        text.push('\n');
    }
    put(&text)
}

/// Prints a line.
pub(super) fn line(text: &str) -> Result<()> {
    put(&format!("{text}\n"))
}

/// Prints JSON.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints text as it is. Whoever reads may have read enough.
pub(super) fn put(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

pub(super) fn coloured() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// How far long work has come, shown on a terminal while it lasts.
pub(super) struct Progress {
    what: &'static str,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, shown: false }
    }

    /// So many are done, of so many where that is known.
    pub(super) fn at(&mut self, done: u64, of: Option<u64>) {
        if !stderr().is_terminal() {
            return;
        }
        self.shown = true;
        let what = self.what;
        match of.filter(|of| *of > 0) {
            Some(of) => {
                const WIDTH: u64 = 30;
                let filled = (done.min(of) * WIDTH / of) as usize;
                let bar = "█".repeat(filled) + &"░".repeat(WIDTH as usize - filled);
                eprint!("\r\x1b[K{bar} {done}/{of} {what}");
            }
            None => eprint!("\r\x1b[K{done} {what}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// A point in time, as a user writes it: `2h` ago, or as in RFC 3339.
pub(super) fn time(text: &str) -> Result<SystemTime> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemTime::now()
            .checked_sub(ago)
            .unwrap_or(SystemTime::UNIX_EPOCH));
    }
    match humantime::parse_rfc3339_weak(text) {
        Ok(time) => Ok(time),
        Err(_) => bail!(
            "{text:?} is no time; write how long ago, such as 2h or 3days, or a time such as 2026-01-31T12:00:00Z"
        ),
    }
}

/// Bytes, as people say them.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// Seconds, as people say them.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = Duration::from_secs(seconds.max(0.0) as u64);
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_cell_breaks_its_line() {
        let mut table = Table::new(&["id", "answer"]);
        table.row(["1".into(), Cell::state("dead")]);
        table.row(["100".into(), "a\nb\x1b[31m".into()]);
        assert_eq!(
            table.render(false),
            "id   answer\n1    dead\n100  a b [31m\n"
        );
        assert!(table.render(true).contains("\x1b[31mdead\x1b[0m"));
    }

    #[test]
    fn a_time_is_an_age_or_a_date() {
        assert!(time("2h").unwrap() < SystemTime::now());
        assert_eq!(
            time("1970-01-01T00:01:00Z").unwrap(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(60)
        );
        assert!(
            time("yesterday")
                .unwrap_err()
                .to_string()
                .contains("such as 2h")
        );
    }

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
