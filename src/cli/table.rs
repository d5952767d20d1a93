//! Aligned columns on standard output, coloured only on a terminal.

use anyhow::Result;

use super::output;
use crate::terminal::{plain, plain_lines};

/// What a cell means to the reader, and so its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
}

impl Tone {
    /// The tone of a state of a hook, a delivery or a backfill.
    pub(super) fn of(state: &str) -> Self {
        match state {
            "active" | "delivered" => Self::Good,
            "failing" | "parked" => Self::Warn,
            "disabled" | "invalid" | "dead" => Self::Bad,
            _ => Self::Plain,
        }
    }

    /// The tone of an attempt that was delivered, or was not.
    pub(super) fn of_delivery(delivered: bool) -> Self {
        if delivered { Self::Good } else { Self::Bad }
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

    /// Puts the escape codes of the tone around `text`, if `colour` is on.
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
    /// A cell in this tone. What an endpoint answered must not start a line of its own or send escape codes to the
    /// terminal.
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: clean(&text.into()),
            tone,
        }
    }

    /// A state, in its colour.
    pub(super) fn state(state: &str) -> Self {
        Self::toned(state, Tone::of(state))
    }

    /// Optional text; empty if there is none.
    pub(super) fn optional(text: Option<&str>) -> Self {
        text.unwrap_or_default().into()
    }

    /// Plain text that keeps its line breaks.
    fn verbatim(text: String) -> Self {
        Self {
            text: plain_lines(&text),
            tone: Tone::Plain,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// The text on one line, with spaces in place of line breaks, and without what steers a terminal.
pub(super) fn clean(text: &str) -> String {
    plain(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// A table with a head.
pub(super) struct Table {
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        let head = head.iter().map(|title| Cell::toned(*title, Tone::Faint));
        Self {
            head: head.collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints the table, or the line `nothing` if it has no rows.
    pub(super) fn print(&self, nothing: &str) -> Result<()> {
        match self.rows.is_empty() {
            true => output::line(nothing),
            false => output::text(&self.render(output::has_colour())),
        }
    }

    fn render(&self, colour: bool) -> String {
        align(std::iter::once(&self.head).chain(&self.rows), colour)
    }
}

/// Rows in aligned columns, without a head or colours. Each text keeps its line breaks.
pub(super) fn rows(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows = rows.into_iter();
    let rows: Vec<Vec<Cell>> = rows
        .map(|row| row.into_iter().map(Cell::verbatim).collect())
        .collect();
    align(rows.iter(), false)
}

/// Prints names and values, one pair a line. Empty values are left out.
pub(super) fn print_facts(pairs: &[(&str, Cell)]) -> Result<()> {
    output::text(&facts(pairs))
}

/// Names and values, one pair a line. Empty values are left out.
pub(super) fn facts(facts: &[(&str, Cell)]) -> String {
    let colour = output::has_colour();
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
    text
}

/// Lays out rows as lines. Columns are two spaces apart, and no line ends with spaces.
fn align<'a>(rows: impl Iterator<Item = &'a Vec<Cell>> + Clone, colour: bool) -> String {
    let columns = rows.clone().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.clone().filter_map(|row| row.get(at));
        cells.map(Cell::width).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width - cell.width();
            line.push_str(&cell.tone.paint(&cell.text, colour));
            line.extend(std::iter::repeat_n(' ', padding + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
            "id   answer\n1    dead\n100  a b\\u{1b}[31m\n"
        );
        assert!(table.render(true).contains("\x1b[31mdead\x1b[0m"));
    }

    #[test]
    fn cells_stand_below_each_other_and_lines_end_without_spaces() {
        let row = |cells: [&str; 3]| Vec::from(cells.map(|text| Cell::verbatim(text.to_owned())));
        let rows = [row(["event", "hooks", ""]), row(["ä", "12", "x"])];
        let text = align(rows.iter(), false);
        assert_eq!(text, "event  hooks\nä      12     x\n");
    }
}
