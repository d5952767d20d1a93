//! The console: `psql -p 6432 rowhook` asks rowhook itself, as users of PgBouncer expect.
//!
//! It speaks Postgres' protocol, and knows a handful of commands instead of SQL. Off unless configured; on this host alone,
//! with a password.

mod answer;
mod command;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{answer::Desk, wire::Doors};
use crate::{config::Config, server::Handles};

/// So many people at a time.
const SESSIONS: usize = 20;

/// What listens, if something does.
pub struct Console {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Console {
    /// Begins to listen, where `[console]` says so.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(config: &Arc<Config>, handles: &Handles) -> Result<Self> {
        let stop = CancellationToken::new();
        let Some(console) = &config.console else {
            return Ok(Self { stop, task: None });
        };
        let listener = TcpListener::bind(console.listen).await;
        let listener = listener
            .with_context(|| format!("listen on {}, as [console] listen says", console.listen))?;
        let bound: SocketAddr = listener.local_addr().context("read the address")?;
        tracing::info!(console = %bound, "listening for psql");
        let desk = Arc::new(Desk::new(Arc::clone(config), handles.clone()));
        let password = console.password.clone();
        let (ended, free) = (stop.clone(), Arc::new(Semaphore::new(SESSIONS)));
        let task = tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = ended.cancelled() => return,
                };
                let Ok((socket, _)) = accepted else { continue };
                // One too many is hung up on.
                let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                    continue;
                };
                let doors = Doors::new(Arc::clone(&desk), password.clone());
                let ended = ended.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        served = pgwire::tokio::process_socket(socket, None, doors) => {
                            if let Err(error) = served {
                                tracing::debug!(%error, "a session of the console ended");
                            }
                        }
                        () = ended.cancelled() => {}
                    }
                    drop(permit);
                });
            }
        });
        Ok(Self {
            stop,
            task: Some(task),
        })
    }

    /// Goes on with another configuration. Sessions end, and are welcome again.
    ///
    /// # Errors
    /// As [`Self::start`]; then nothing listens.
    pub async fn renew(&mut self, config: &Arc<Config>, handles: &Handles) -> Result<()> {
        self.stop().await;
        *self = Self::start(config, handles).await?;
        Ok(())
    }

    /// Stops to listen; sessions end.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends at once, and has nothing to say.
            let _ = task.await;
        }
    }
}
