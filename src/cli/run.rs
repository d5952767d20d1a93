//! `rowhook run`: delivers, and serves the API, the page and the console beside that.
//!
//! It runs in generations. A new hooks.toml or a pause ends one as a stop would: what is in flight is finished, and
//! what is settled is confirmed. The next generation goes on from there. Each database of hooks.toml does so by itself.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::Result;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{environment, signals};
use crate::{
    config::{Config, Databases},
    console::Console,
    files,
    run::{self, fleet::Fleet},
    send::Sender,
    server::{Handles, Served, Server},
};

/// Runs until a signal asks to stop, or an error needs a person.
pub(super) async fn run(path: PathBuf, setup: bool) -> Result<()> {
    let databases = environment::load(&path)?;
    files::raise_limit();
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    let mut handles = Known::new(reload);
    let served = handles.of(&databases);
    let server = Server::start(&served).await?;
    let console = Console::start(&served).await?;
    let mut service = Service {
        path,
        databases,
        setup,
        handles,
        stop,
        server,
        console,
    };
    let mut fleet = Fleet::default();
    let ended = service.run(&mut fleet).await;
    fleet.stop().await;
    service.console.stop().await;
    service.server.stop().await;
    ended
}

/// Everything that lasts from one generation to the next.
struct Service {
    /// Where hooks.toml is read again.
    path: PathBuf,
    databases: Databases,
    /// Whether to create what is missing in the databases.
    setup: bool,
    handles: Known,
    stop: CancellationToken,
    server: Server,
    console: Console,
}

impl Service {
    /// Follows all databases, until it is time to stop or there is nothing left to do.
    async fn run(&mut self, fleet: &mut Fleet) -> Result<()> {
        self.follow(fleet)?;
        loop {
            let mut paused = self.handles.paused.subscribe();
            tokio::select! {
                error = fleet.until_all_are_set_aside() => return Err(error),
                () = self.stop.cancelled() => return Ok(()),
                () = self.handles.reload.notified() => match self.reload().await {
                    Ok(()) => self.follow(fleet)?,
                    Err(error) => {
                        tracing::error!("hooks.toml is not reloaded, and the old one stays: {error:#}");
                    }
                },
                () = until(&mut paused, true) => {
                    fleet.stop().await;
                    tracing::warn!("paused; Postgres keeps its WAL until RESUME");
                    tokio::select! {
                        () = until(&mut paused, false) => tracing::info!("resumed"),
                        () = self.stop.cancelled() => return Ok(()),
                    }
                    self.follow(fleet)?;
                }
            }
        }
    }

    /// Follows the databases of this configuration from now on. They share what requests are made with: connections,
    /// what is known of names, and the bound of open files.
    fn follow(&mut self, fleet: &mut Fleet) -> Result<()> {
        let served = self.handles.of(&self.databases);
        let Some(first) = served.first() else {
            return Ok(());
        };
        let sender = Sender::new(&first.config.delivery)?;
        let options = |handles: Handles| run::Options {
            setup: self.setup,
            journal: handles.journal,
            meters: handles.meters,
            health: handles.health,
            stop: self.stop.clone(),
            sender: sender.clone(),
        };
        let followed = served.into_iter();
        fleet.follow(followed.map(|Served { config, handles }| (config, options(handles))));
        Ok(())
    }

    /// Reads hooks.toml again, and has the server and the console go on with it.
    ///
    /// # Errors
    /// When it cannot be used; then everything stays as it is.
    async fn reload(&mut self) -> Result<()> {
        let databases = environment::load(&self.path)?;
        for config in databases.all() {
            run::validate(config)?;
        }
        let served = self.handles.of(&databases);
        self.server.reload(&served).await?;
        self.databases = databases;
        if let Err(error) = self.console.reload(&served).await {
            tracing::error!(error = format!("{error:#}"), "there is no console now");
        }
        Ok(())
    }
}

/// Waits until what is paused is paused, or is not.
async fn until(paused: &mut watch::Receiver<bool>, wanted: bool) {
    // The service holds the sender, so this does not end otherwise.
    if paused.wait_for(|paused| *paused == wanted).await.is_err() {
        std::future::pending().await
    }
}

/// What is known of each database that has been followed, whatever generation that was in.
struct Known {
    databases: BTreeMap<Option<String>, Handles>,
    reload: Arc<Notify>,
    /// True while all are paused.
    paused: watch::Sender<bool>,
}

impl Known {
    fn new(reload: Arc<Notify>) -> Self {
        Self {
            databases: BTreeMap::new(),
            reload,
            paused: watch::Sender::new(false),
        }
    }

    /// The databases of this configuration, each with what is known of it.
    fn of(&mut self, databases: &Databases) -> Vec<Served> {
        let served = databases.all().iter().map(|config| Served {
            handles: self.handles(config),
            config: Arc::clone(config),
        });
        served.collect()
    }

    fn handles(&mut self, config: &Config) -> Handles {
        let known = self.databases.entry(config.name.clone());
        let known = known.or_insert_with(|| Handles {
            journal: Default::default(),
            meters: Arc::default(),
            health: Arc::default(),
            reload: Arc::clone(&self.reload),
            paused: self.paused.clone(),
        });
        known.clone()
    }
}
