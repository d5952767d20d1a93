//! Where the log goes: to standard error, a line each, filtered by RUST_LOG.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

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
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour)
        .with_target(false);
    match format {
        Format::Human => log.init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
}
