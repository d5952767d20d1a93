//! Where the log goes: to standard error, a line each, filtered by RUST_LOG.

use std::io::{IsTerminal, stderr};

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
        .with_writer(stderr)
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

/// Whether an event of the log may be printed, whatever RUST_LOG says. Below `info`, libraries print what they carry:
/// the parameters of queries and the headers of requests, with the secrets in them.
fn has_no_secrets(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target().split("::").next() == Some("rowhook")
}
