//! `rowhook run`: attaches, and stays attached until it is told to stop.
//!
//! The outer loop decides whether and when a session is opened again; the inner one reads a session to its end.

mod attached;
mod control;
pub mod health;
mod stop;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use self::{
    attached::{Attached, Outlived},
    health::{Health, Link},
};
use crate::{
    config::Config,
    delivery::{Desk, ledger::Ledger, memory_budget::Memory},
    event::EventMap,
    history::History,
    hook::{self, off::OffHooks},
    journal::Journal,
    lookup::permission::Permission,
    meters::Meters,
    postgres::{Lsn, address::Address, connect, stream},
    reader::Reader,
    send::{Sender, guard::Guard},
    setup,
    store::{Holder, Store},
    trace::Traces,
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is handed in from outside.
pub struct Options {
    /// Make what is missing in the database.
    pub setup: bool,
    /// Who is told of what happens.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Says how we are attached.
    pub health: Arc<Health>,
    /// Cancelled when it is time to stop: then nothing more is read, what is in flight is finished within the grace period,
    /// and what is settled is confirmed.
    pub stop: CancellationToken,
}

/// Runs until `options.stop` is cancelled, or something needs a human.
///
/// # Errors
/// When something needs a human; the message says what to do.
pub async fn run(config: &Config, options: Options) -> Result<()> {
    // After that, nothing in memory fits what the server and its slot have come to.
    while let Ended::Outlived(why) = live(config, &options).await? {
        tracing::warn!("{why}; starting anew from the slot");
    }
    Ok(())
}

/// Finds what would keep [`run`] from beginning with this configuration, as far as that can be told without a database.
///
/// # Errors
/// What it is.
pub fn rehearse(config: &Config) -> Result<()> {
    Address::parse(config.database.url.expose()).context("database.url")?;
    Sender::new(&config.delivery)?;
    let guard = Guard::new(config.delivery.allow_http, &config.delivery.allow_networks);
    EventMap::new(config)?;
    for hook in &config.hooks {
        let named = || format!("hook {:?}", hook.name);
        guard.check_url(&hook.target).with_context(named)?;
        hook::from_file(hook)
            .map_err(anyhow::Error::msg)
            .with_context(named)?;
    }
    Ok(())
}

/// How a life ended that nothing went wrong in.
enum Ended {
    Stopped,
    Outlived(Outlived),
}

/// From the first session on, as long as nobody but us has the slot of the same server.
async fn live(config: &Config, options: &Options) -> Result<Ended> {
    let address = Address::parse(config.database.url.expose()).context("database.url")?;
    let name = format!("{} {:08x}", address.stream_name(), rand::random::<u32>());
    let holder = Holder {
        slot: config.database.slot.clone(),
        name: name.clone(),
    };
    let (store, writer) = Store::open(address.clone(), config, holder);
    let writer = tokio::spawn(writer);
    let traces = traces(config, &options.meters)?;
    let sending = traces.clone().map(|traces| {
        let sending = async move { traces.keep_sending().await };
        AbortOnDropHandle::new(tokio::spawn(sending))
    });
    let desk = Arc::new(Desk {
        sender: Sender::new(&config.delivery)?,
        store,
        memory: Memory::new(config.delivery.memory),
        permission: Permission::new(config, address.clone(), Arc::clone(&options.meters)),
        journal: options.journal.clone(),
        meters: Arc::clone(&options.meters),
        history: Arc::new(History::new(config.history)),
        traces,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let ledger = Ledger::new(Lsn::ZERO);
    let off = OffHooks::default();
    let mut reader = Reader::new(config, Arc::clone(&desk), ledger.clone(), off.clone())?;
    options.health.live(&ledger, desk.memory.clone());
    let mut session = Attached::new(config, &address, &desk, &ledger, off, options, name);
    let mut pause = Pause::default();
    let ended = loop {
        let ended = session.attach(&mut reader, &mut pause).await;
        options.health.link(match &ended {
            Err(error) if is_occupied(error) => Link::Standby,
            _ => Link::Down,
        });
        match ended {
            Ok(stream) => break Ok((Ended::Stopped, stream)),
            Err(error) if options.stop.is_cancelled() => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the session ended while stopping"
                );
                break Ok((Ended::Stopped, None));
            }
            Err(error) => match error.downcast::<Outlived>() {
                Ok(why) => break Ok((Ended::Outlived(why), None)),
                Err(error) if !is_transient(&error) => break Err(error),
                Err(error) => pause.tell(&error, &config.database.slot),
            },
        }
        tokio::select! {
            () = session.wait(pause.next()) => {}
            () = options.stop.cancelled() => break Ok((Ended::Stopped, None)),
        }
    };
    let mut last = session.into_last_word();
    drop(reader);
    let ended = ended.map(|(ended, stream)| {
        last.stream = stream;
        ended
    });
    last.stop(config, desk, writer, &ledger).await;
    drop(sending);
    ended
}

/// Who gathers spans, where there are to be traces.
fn traces(config: &Config, meters: &Arc<Meters>) -> Result<Option<Arc<Traces>>> {
    let rules = config.tracing.as_ref();
    let traces = rules.map(|rules| Traces::new(rules, Arc::clone(meters)));
    Ok(traces.transpose().context("[tracing]")?.map(Arc::new))
}

/// Is it worth trying again? If not, a person must act first.
fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<stream::Error>() {
            return error.is_transient();
        }
        if let Some(error) = cause.downcast_ref::<connect::Error>() {
            return error.is_transient();
        }
        if let Some(setup::Error::Connect(error)) = cause.downcast_ref() {
            return error.is_transient();
        }
        // Without a code of the server's it is the connection that failed, and with one of classes 08 and 57 too; 40 is for
        // transactions that stood in each other's way.
        cause
            .downcast_ref::<tokio_postgres::Error>()
            .is_some_and(|error| {
                let code = error.code().map(|code| code.code());
                code.is_none_or(|code| {
                    ["08", "40", "57"]
                        .iter()
                        .any(|class| code.starts_with(class))
                })
            })
    })
}

/// Does another rowhook hold the slot?
fn is_occupied(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(stream::Error::Occupied { .. }))
}

/// How long to wait before the next session.
#[derive(Default)]
struct Pause {
    failures: u32,
    standby: bool,
}

impl Pause {
    fn tell(&mut self, error: &anyhow::Error, slot: &str) {
        let standby = is_occupied(error);
        if !standby {
            self.failures += 1;
            tracing::warn!(error = format!("{error:#}"), "not attached; trying again");
        } else if !self.standby {
            tracing::info!(
                slot,
                "another rowhook holds the slot; standing by until it is free"
            );
        }
        self.standby = standby;
    }

    /// Doubled for each failure, and spread so that several do not come at once.
    fn next(&self) -> Duration {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.saturating_sub(1).min(10))
            .min(LONGEST_PAUSE);
        pause.mul_f64(rand::random_range(0.8..1.2))
    }
}
