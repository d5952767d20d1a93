//! `rowhook run`: attaches, and listens for people and programs beside that.
//!
//! A new hooks.toml takes the place of the old one between two lives: what is in flight is finished and what is settled is
//! confirmed, as at the end, and then rowhook begins again where it was.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use tokio::{
    pin,
    sync::{Notify, watch},
};

use super::{load, signals};
use crate::{
    config::Config,
    console::Console,
    journal::Journal,
    meters::Meters,
    run,
    server::{Handles, Server},
};

/// Runs until it is told to stop, or something needs a person.
pub(super) async fn run(path: PathBuf, setup: bool) -> Result<()> {
    let path = path.as_path();
    let mut config = Arc::new(load(path)?);
    let (journal, meters) = (Journal::default(), Arc::new(Meters::default()));
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    let handles = Handles {
        journal: journal.clone(),
        meters: Arc::clone(&meters),
        reload: Arc::clone(&reload),
        paused: watch::Sender::new(false),
    };
    let mut paused = handles.paused.subscribe();
    let mut server = Server::start(&config, &handles).await?;
    let mut console = Console::start(&config, &handles).await?;
    let ended = loop {
        let life = stop.child_token();
        let options = run::Options {
            setup,
            journal: journal.clone(),
            meters: Arc::clone(&meters),
            stop: life.clone(),
        };
        let turn = {
            let running = run::run(&config, options);
            pin!(running);
            let turn = tokio::select! {
                ended = &mut running => Err(ended),
                next = renewed(path, &reload, &mut server) => Ok(Turn::Renewed(next)),
                Ok(_) = paused.wait_for(|paused| *paused) => Ok(Turn::Paused),
            };
            match turn {
                // Finished as at the end, and then begun anew.
                Ok(turn) => {
                    life.cancel();
                    running.await.map(|()| turn).map_err(Err)
                }
                Err(ended) => Err(ended),
            }
        };
        match turn {
            Ok(_) if stop.is_cancelled() => break Ok(()),
            Ok(Turn::Renewed(next)) => {
                config = next;
                if let Err(error) = console.renew(&config, &handles).await {
                    tracing::error!(error = format!("{error:#}"), "there is no console now");
                }
                tracing::info!(config = %path.display(), "reloaded");
            }
            Ok(Turn::Paused) => {
                tracing::warn!("paused; Postgres keeps its WAL until RESUME");
                tokio::select! {
                    _ = paused.wait_for(|paused| !*paused) => tracing::info!("resumed"),
                    () = stop.cancelled() => break Ok(()),
                }
            }
            Err(ended) => break ended,
        }
    };
    console.stop().await;
    server.stop().await;
    ended
}

/// Why a life ended, and another begins.
enum Turn {
    Renewed(Arc<Config>),
    Paused,
}

/// Waits until the file is to be read again and can be used, and has been taken up by the server.
async fn renewed(path: &Path, reload: &Notify, server: &mut Server) -> Arc<Config> {
    loop {
        reload.notified().await;
        match renew(path, server).await {
            Ok(config) => return config,
            Err(error) => {
                tracing::error!("hooks.toml is not reloaded, and the old one stays: {error:#}");
            }
        }
    }
}

async fn renew(path: &Path, server: &mut Server) -> Result<Arc<Config>> {
    let config = Arc::new(load(path)?);
    run::rehearse(&config)?;
    server.reload(&config).await?;
    Ok(config)
}
