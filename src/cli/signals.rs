//! SIGTERM and SIGINT: the first asks to stop, the second ends at once. SIGHUP asks to read hooks.toml again.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels.
pub(super) fn stop() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                tracing::warn!(
                    "a second signal; ending at once, and what was in flight will be sent again"
                );
                std::process::exit(1);
            }
            first.cancel();
        }
    });
    Ok(stop)
}

/// Rings at each SIGHUP.
pub(super) fn reload() -> Result<Arc<Notify>> {
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let reload = Arc::new(Notify::new());
    let bell = Arc::clone(&reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            bell.notify_one();
        }
    });
    Ok(reload)
}
