//! `rowhook run`: delivers, and serves the API, the page and the console beside that.
//!
//! It runs in generations. A new hooks.toml or a pause ends one as a stop would: what is in flight is finished, and
//! what is settled is confirmed. The next generation goes on from there. Each database of hooks.toml does so by itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[cfg(not(feature = "console"))]
use super::no_console::Console;
use super::{environment, signals};
#[cfg(feature = "console")]
use crate::console::Console;
use crate::{
    act::{Act, Who, what},
    backoff::Backoff,
    config::{Config, Databases, Outline},
    files,
    manage::Admin,
    run::{self, Duty, fleet::Fleet, reload::Reload},
    send::Sender,
    server::{Handles, Served, Server},
};

/// The pauses between two tries to put something on record.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));

/// A part of the work of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// Read the slot when it is free, and hand deliveries to senders.
    Read,
    /// Send what readers hand over.
    Send,
}

impl From<Only> for Duty {
    fn from(only: Only) -> Self {
        match only {
            Only::Read => Self::Read,
            Only::Send => Self::Send,
        }
    }
}

/// Runs until a signal asks to stop, or an error needs a person.
pub(super) async fn run(path: PathBuf, setup: bool, duty: Duty) -> Result<()> {
    let databases = environment::load(&path)?;
    ensure!(
        duty == Duty::Both
            || databases
                .all()
                .iter()
                .all(|config| config.cluster.is_some()),
        "{}: --only is for a cluster; add [cluster], or leave --only out",
        path.display()
    );
    files::raise_limit();
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    let mut handles = Known::new(reload);
    let served = handles.of(&databases);
    let server = Server::start(&served).await?;
    let console = Console::start(&served).await?;
    let mut service = Service {
        outlines: outlines(&path, &databases),
        path,
        databases,
        setup,
        duty,
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
    /// What hooks.toml was made of when it was read.
    outlines: BTreeMap<Option<String>, Outline>,
    /// Whether to create what is missing in the databases.
    setup: bool,
    /// What it does in a cluster.
    duty: Duty,
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
                who = self.handles.reload.asked() => match self.reload(&who).await {
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
            duty: self.duty,
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
    async fn reload(&mut self, who: &[Who]) -> Result<()> {
        let databases = environment::load(&self.path)?;
        for config in databases.all() {
            run::validate(config)?;
        }
        let served = self.handles.of(&databases);
        self.server.reload(&served).await?;
        self.databases = databases;
        self.record_reload(who);
        if let Err(error) = self.console.reload(&served).await {
            tracing::error!(error = format!("{error:#}"), "there is no console now");
        }
        Ok(())
    }
}

impl Service {
    /// Puts it on record, in each database, that hooks.toml was read again, and what has changed in it.
    fn record_reload(&mut self, who: &[Who]) {
        let before = std::mem::replace(&mut self.outlines, outlines(&self.path, &self.databases));
        for config in self.databases.all() {
            let after = self.outlines.get(&config.name).cloned().unwrap_or_default();
            let before = before.get(&config.name).cloned().unwrap_or_default();
            let changes = before.changes(&after);
            let acts = who.iter().map(|who| {
                let mut act = Act::of(who, what::CONFIGURATION_RELOADED)
                    .with("file", self.path.display().to_string());
                act.after.extend(changes.clone());
                act
            });
            let acts: Vec<Act> = acts.collect();
            tokio::spawn(record(Arc::clone(config), acts, self.stop.clone()));
        }
    }
}

/// Puts acts on record as soon as the database can be written to, or gives up when rowhook stops.
async fn record(config: Arc<Config>, acts: Vec<Act>, stop: CancellationToken) {
    let mut failures = 0;
    loop {
        let recorded = async {
            let admin = Admin::open(Arc::clone(&config), "rowhook audit", Who::default()).await?;
            admin.record_all(&acts).await?;
            anyhow::Ok(())
        };
        let Err(error) = recorded.await else {
            return;
        };
        failures += 1;
        let pause = PAUSES.pause(failures);
        tracing::warn!(error = format!("{error:#}"), retry_in = ?pause, "that hooks.toml was read again is not on record yet");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What hooks.toml is made of, for each of its databases.
fn outlines(path: &Path, databases: &Databases) -> BTreeMap<Option<String>, Outline> {
    let all = databases.all().iter();
    let all = all.map(|config| {
        let name = config.name.clone();
        let outline = Outline::read(path, name.as_deref());
        (name, outline)
    });
    all.collect()
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
    reload: Arc<Reload>,
    /// True while all are paused.
    paused: watch::Sender<bool>,
}

impl Known {
    fn new(reload: Arc<Reload>) -> Self {
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
