//! `rowhook run`: delivers, and serves the API, the page and the console beside that.
//!
//! It runs in generations. A new hooks.toml or a pause ends one as a stop would: what is in flight is finished, and
//! what is settled is confirmed. The next generation goes on from there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use tokio::{
    pin,
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use super::{environment, signals};
use crate::{
    config::Config,
    console::Console,
    files,
    journal::Journal,
    run,
    server::{Handles, Server},
};

/// Runs until a signal asks to stop, or an error needs a person.
pub(super) async fn run(path: PathBuf, setup: bool) -> Result<()> {
    let config = Arc::new(environment::load(&path)?);
    files::raise_limit();
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    let handles = Handles {
        journal: Journal::default(),
        meters: Arc::default(),
        health: Arc::default(),
        reload,
        paused: watch::Sender::new(false),
    };
    let server = Server::start(&config, &handles).await?;
    let console = Console::start(&config, &handles).await?;
    let mut service = Service {
        path,
        config,
        setup,
        handles,
        stop,
        server,
        console,
    };
    let ended = service.run().await;
    service.console.stop().await;
    service.server.stop().await;
    ended
}

/// Everything that lasts from one generation to the next.
struct Service {
    /// Where hooks.toml is read again.
    path: PathBuf,
    config: Arc<Config>,
    /// Whether to create what is missing in the database.
    setup: bool,
    handles: Handles,
    stop: CancellationToken,
    server: Server,
    console: Console,
}

/// What to do after a generation.
enum Next {
    Stop,
    /// Go on with this configuration, which the server already has.
    Reload(Arc<Config>),
    /// Wait until nothing is paused any more, and go on.
    Pause,
}

impl Service {
    /// Runs one generation after the other.
    async fn run(&mut self) -> Result<()> {
        loop {
            match self.generation().await? {
                Next::Stop => return Ok(()),
                Next::Reload(config) => self.reload(config).await,
                Next::Pause => {
                    tracing::warn!("paused; Postgres keeps its WAL until RESUME");
                    let mut paused = self.handles.paused.subscribe();
                    tokio::select! {
                        _ = paused.wait_for(|paused| !*paused) => tracing::info!("resumed"),
                        () = self.stop.cancelled() => return Ok(()),
                    }
                }
            }
        }
    }

    /// Runs one generation to its end.
    async fn generation(&mut self) -> Result<Next> {
        let stop = self.stop.child_token();
        let options = run::Options {
            setup: self.setup,
            journal: self.handles.journal.clone(),
            meters: Arc::clone(&self.handles.meters),
            health: Arc::clone(&self.handles.health),
            stop: stop.clone(),
            understudy: None,
        };
        let mut paused = self.handles.paused.subscribe();
        let running = run::run(&self.config, options);
        pin!(running);
        let next = tokio::select! {
            ended = &mut running => return ended.map(|()| Next::Stop),
            config = reloaded(&self.path, &self.handles.reload, &mut self.server) => Next::Reload(config),
            Ok(_) = paused.wait_for(|paused| *paused) => Next::Pause,
        };
        stop.cancel();
        running.await?;
        match self.stop.is_cancelled() {
            true => Ok(Next::Stop),
            false => Ok(next),
        }
    }

    async fn reload(&mut self, config: Arc<Config>) {
        self.config = config;
        if let Err(error) = self.console.reload(&self.config, &self.handles).await {
            tracing::error!(error = format!("{error:#}"), "there is no console now");
        }
        tracing::info!(config = %self.path.display(), "reloaded");
    }
}

/// Waits until a reload is asked for and succeeds, and returns the new configuration. The server then has it too. If it
/// cannot be used, that is logged, and the old one stays.
async fn reloaded(path: &Path, reload: &Notify, server: &mut Server) -> Arc<Config> {
    loop {
        reload.notified().await;
        match load(path, server).await {
            Ok(config) => return config,
            Err(error) => {
                tracing::error!("hooks.toml is not reloaded, and the old one stays: {error:#}");
            }
        }
    }
}

async fn load(path: &Path, server: &mut Server) -> Result<Arc<Config>> {
    let config = Arc::new(environment::load(path)?);
    run::validate(&config)?;
    server.reload(&config).await?;
    Ok(config)
}
