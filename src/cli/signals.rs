//! Signals. The first SIGTERM or SIGINT asks to stop, the second ends the process at once. SIGHUP asks to read
//! hooks.toml again.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    act::{Kind, Who},
    run::reload::Reload,
};

/// Returns a token that the first SIGTERM or SIGINT cancels. The second ends the process with exit code 1.
pub(super) fn stop() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_second {
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

/// Returns what each SIGHUP asks to read hooks.toml again.
pub(super) fn reload() -> Result<Arc<Reload>> {
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let reload = Arc::new(Reload::default());
    let asked = Arc::clone(&reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            asked.ask(Who::only(Kind::Signal));
        }
    });
    Ok(reload)
}
