//! The admin console: `psql -p 6432 rowhook` connects to rowhook itself, as it does to PgBouncer.
//!
//! It speaks Postgres' wire protocol, and understands a handful of commands instead of SQL. It is off unless it is
//! configured, listens on this host alone, and asks for a password.

mod answers;
mod command;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{answers::Answers, wire::Handlers};
use crate::{config::Config, secret::Secret, server::Handles};

/// The most sessions that are open at a time.
const MAX_SESSIONS: usize = 20;

/// The listener of the console; idle if the configuration has no `[console]`.
pub struct Console {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Console {
    /// Starts listening, if the configuration has a `[console]`.
    ///
    /// # Errors
    /// When the address cannot be bound.
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
        let answers = Arc::new(Answers::new(Arc::clone(config), handles.clone()));
        let accepting = accept(listener, answers, console.password.clone(), stop.clone());
        let task = tokio::spawn(accepting);
        Ok(Self {
            stop,
            task: Some(task),
        })
    }

    /// Starts again with another configuration. Open sessions end.
    ///
    /// # Errors
    /// As [`Self::start`]; then nothing listens.
    pub async fn renew(&mut self, config: &Arc<Config>, handles: &Handles) -> Result<()> {
        self.stop().await;
        *self = Self::start(config, handles).await?;
        Ok(())
    }

    /// Stops listening. Open sessions end.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // The task returns nothing, and there is nobody to report a panic of it to.
            let _ = task.await;
        }
    }
}

/// Accepts sessions until `stop`. While [`MAX_SESSIONS`] are open, further connections are closed at once.
async fn accept(
    listener: TcpListener,
    answers: Arc<Answers>,
    password: Secret,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(MAX_SESSIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((socket, _)) = accepted else { continue };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let handlers = Handlers::new(Arc::clone(&answers), password.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = pgwire::tokio::process_socket(socket, None, handlers) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a session of the console ended");
                    }
                }
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}
