//! The admin console: `psql -p 6432 rowhook` connects to rowhook itself, as it does to PgBouncer.
//!
//! It speaks Postgres' wire protocol, and understands a handful of commands instead of SQL. It is off unless it is
//! configured, listens on this host alone, and asks for a password. Where hooks.toml has `[[databases]]`, the database
//! that a session names is the one that it is about.

mod answers;
mod command;
mod databases;
mod login;
mod scram;
mod session;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{databases::Databases, wire::Handlers};
use crate::{config::Role, files, listen, secret::Secret, server::Served};

/// The most sessions that are open at a time, if there are files enough.
const MAX_SESSIONS: usize = 20;
/// The console takes one of so many parts of the files that may be open.
const PARTS: usize = 16;

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
    pub async fn start(databases: &[Served]) -> Result<Self> {
        let stop = CancellationToken::new();
        // It is the same for all databases.
        let console = databases.first();
        let Some(console) = console.and_then(|served| served.config.console.as_ref()) else {
            return Ok(Self { stop, task: None });
        };
        let listener = TcpListener::bind(console.listen).await;
        let listener = listener
            .with_context(|| format!("listen on {}, as [console] listen says", console.listen))?;
        let bound: SocketAddr = listener.local_addr().context("read the address")?;
        tracing::info!(console = %bound, "listening for psql");
        let answers = Arc::new(Databases::new(databases));
        let accepting = accept(
            listener,
            answers,
            console.password.clone(),
            console.role,
            stop.clone(),
        );
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
    pub async fn reload(&mut self, databases: &[Served]) -> Result<()> {
        self.stop().await;
        *self = Self::start(databases).await?;
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

/// Serves sessions until `stop`.
async fn accept(
    listener: TcpListener,
    answers: Arc<Databases>,
    password: Secret,
    role: Role,
    stop: CancellationToken,
) {
    let seats = files::share(MAX_SESSIONS, PARTS);
    listen::accept(&listener, seats, &stop, |socket, _, guest| {
        let handlers = Handlers::new(Arc::clone(&answers), password.clone(), role);
        let stop = stop.clone();
        async move {
            tokio::select! {
                served = session::serve(socket, handlers, guest) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a session of the console ended");
                    }
                }
                () = stop.cancelled() => {}
            }
        }
    })
    .await;
}
