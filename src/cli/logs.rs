//! Where the log goes: to standard error, a line each, filtered by RUST_LOG.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write, stderr},
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::layer,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The filter if RUST_LOG is not set. tokio-postgres and async-nats also log each session that ends; we log that
/// ourselves, once, where it is handled.
const DEFAULT: &str = "info,tokio_postgres=warn,async_nats=warn";

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts logging. Must be called once, before anything is logged.
pub(super) fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = layer()
        .with_writer(|| OneLine(stderr()))
        .with_ansi(colour)
        .with_target(false);
    let layer = match format {
        Format::Human => layer.boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    let filter = filter.and(filter_fn(has_no_secrets));
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
}

/// Writes each event of the log on one line of its own, whatever ids, owners, names and answers are in it.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// Writes an event, which comes as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n');
        self.0
            .write_all(on_one_line(line.unwrap_or(&text)).as_bytes())?;
        if line.is_some() {
            self.0.write_all(b"\n")?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with everything written out that would begin another line, or turn the direction of writing. Other control
/// characters are the formatter's own colours, or were written out by it.
fn on_one_line(text: &str) -> Cow<'_, str> {
    let turns = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{85}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        ) || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(turns) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match turns(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Whether an event of the log may be printed, whatever RUST_LOG says. Below `info`, libraries print what they carry:
/// the parameters of queries and the headers of requests, with the secrets in them.
fn has_no_secrets(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target().split("::").next() == Some("rowhook")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_a_line_or_turns_it() {
        let mut written = Vec::new();
        let event = "WARN hook=a\nERROR forged \u{202e}txt.exe \u{e9}\n";
        OneLine(&mut written).write_all(event.as_bytes()).unwrap();
        let expected = "WARN hook=a\\nERROR forged \\u{202e}txt.exe \u{e9}\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
