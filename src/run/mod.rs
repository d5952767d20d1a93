//! `rowhook run`: attaches, and stays attached until it is time to stop.
//!
//! The outer loop decides whether and when another session is opened; the inner one reads a session to its end.

mod attaching;
mod context;
mod control;
pub mod fleet;
mod following;
pub mod health;
mod held;
mod hook_table;
mod policy;
mod progress;
pub mod reload;
mod sessions;
mod shutdown;
mod tables;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::Instrument;

use self::{
    attaching::Attaching,
    context::SessionContext,
    health::{Health, Link},
    policy::{Next, Superseded},
};
use crate::{
    backoff::{Backoff, spread},
    before::asker::Asker,
    cluster::{nats::Nats, outlet::Outlet, parts::Parts, sender},
    config::Config,
    courier::{self, gate::SharedGates, quota::Quotas},
    delivery::{ledger::Ledger, memory_budget::MemoryBudget},
    history::History,
    hook::off::OffHooks,
    journal::Journal,
    lookup::permission::Permission,
    meters::Meters,
    panics::caught,
    postgres::{Lsn, stream::Stream},
    reader::Reader,
    send::{Sender, guard::Guard},
    store::{Holder, Store},
    trace::Traces,
};

/// How long to wait between sessions.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// By which share of it such a pause is spread to either side.
const SPREAD: f64 = 0.2;

/// What the caller provides.
pub struct Options {
    /// Create what is missing in the database.
    pub setup: bool,
    /// Receives what happens to events and deliveries.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Shows how we are attached.
    pub health: Arc<Health>,
    /// Cancelled when it is time to stop. Then nothing more is read, requests in flight are finished within the grace
    /// period, and what is settled is confirmed.
    pub stop: CancellationToken,
    /// Makes the requests.
    pub sender: Sender,
    /// What this process does in a cluster.
    pub duty: Duty,
}

/// What a process does in a cluster. Without one, it does both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It sends, and reads when the slot is free.
    #[default]
    Both,
    /// It reads when the slot is free.
    Read,
    /// It sends.
    Send,
}

/// Runs until `options.stop` is cancelled.
///
/// # Errors
/// When a person must act first; the message says what to do.
pub async fn run(config: &Config, options: &Options) -> Result<()> {
    config.secrets.prepare().await;
    let renewing = config.secrets.clone();
    let _renewing =
        AbortOnDropHandle::new(tokio::spawn(async move { renewing.keep_renewing().await }));
    let Some(cluster) = &config.cluster else {
        return read(config, options, None).await;
    };
    let nats = Nats::start(cluster)?;
    let stop = options.stop.child_token();
    let parts = Parts {
        journal: options.journal.clone(),
        meters: Arc::clone(&options.meters),
        sender: options.sender.clone(),
        traces: traces(config, &options.meters)?,
        stop: stop.clone(),
    };
    let sending = async {
        if options.duty != Duty::Read {
            let config = Arc::new(config.clone());
            sender::run(config, cluster.clone(), nats.clone(), parts).await;
        }
    };
    let reading = async {
        if options.duty == Duty::Send {
            options.health.set_link(Link::Sending);
            return Ok(());
        }
        let read = read(config, options, Some(&nats)).await;
        // Where a person must act, others send meanwhile.
        stop.cancel();
        read
    };
    let (read, ()) = tokio::join!(reading, sending);
    read
}

/// Reads until it is time to stop, and hands deliveries to the senders of a cluster if there is one.
///
/// # Errors
/// When a person must act first.
async fn read(config: &Config, options: &Options, nats: Option<&Nats>) -> Result<()> {
    let mut panics = 0;
    while let Some(why) = run_once(config, options, nats).await? {
        panics = if why == Superseded::Panicked {
            panics + 1
        } else {
            0
        };
        // It may panic on the same again at once.
        let pause = match panics {
            0 => Duration::ZERO,
            panics => PAUSES.pause(panics),
        };
        tracing::warn!(?pause, "{why}; starting anew from the slot");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = options.stop.cancelled() => return Ok(()),
        }
    }
    Ok(())
}

/// Checks what can be checked of a configuration without a database, so that [`run`] can begin with it.
///
/// # Errors
/// The first thing that [`run`] would refuse.
pub fn validate(config: &Config) -> Result<()> {
    Sender::new(&config.delivery)?;
    let guard = Guard::new(config.delivery.allow_http, &config.delivery.allow_networks);
    for hook in &config.hooks {
        let named = || format!("hook {:?}", hook.name);
        guard.check_url(&hook.target).with_context(named)?;
    }
    Ok(())
}

/// Runs until what is in memory is superseded, and returns why it was. `None`: it was time to stop.
///
/// # Errors
/// When a person must act first.
async fn run_once(
    config: &Config,
    options: &Options,
    nats: Option<&Nats>,
) -> Result<Option<Superseded>> {
    let source = config.database.source();
    let stream_name = format!("{} {:08x}", source.stream_name(), rand::random::<u32>());
    let holder = Holder {
        slot: config.database.slot.clone(),
        name: stream_name.clone(),
        partition: None,
    };
    let address = config.database.address.clone();
    let (store, writer) = Store::open(address, config, holder);
    let writer = tokio::spawn(writer.in_current_span());
    let shared = Arc::new(courier_context(config, options, store)?);
    let sending = shared.traces.clone().map(|traces| {
        let sending = async move { traces.keep_sending().await };
        AbortOnDropHandle::new(tokio::spawn(sending.in_current_span()))
    });
    let ledger = Ledger::new(Lsn::ZERO);
    let off = OffHooks::default();
    let couriers = match (nats, &config.cluster) {
        (Some(nats), Some(cluster)) => {
            Outlet::cluster(config, cluster, nats.clone(), Arc::clone(&shared))
        }
        _ => Outlet::here(Arc::clone(&shared)),
    };
    let (context, all_off) = (Arc::clone(&shared), off.clone());
    let mut reader = Reader::new(config, context, couriers, ledger.clone(), all_off)?;
    options.health.observe(&ledger, shared.memory.clone());
    let asker = asker(config, options, &shared);
    options.health.show_asker(asker.clone());
    let mut attaching = Attaching::new(SessionContext {
        config,
        setup: options.setup,
        stream_name,
        store: Arc::clone(&shared.store),
        history: Arc::clone(&shared.history),
        ledger: &ledger,
        off,
        asker,
        health: &options.health,
        meters: &options.meters,
        stop: &options.stop,
    });
    let ended = keep_attached(&mut attaching, &mut reader, options, &config.database.slot).await;
    let (stream, ended) = match ended {
        Ok(Ended::Stopped(stream)) => (stream, Ok(None)),
        Ok(Ended::Superseded(why)) => (None, Ok(Some(why))),
        Err(error) => (None, Err(error)),
    };
    let shutdown = attaching.into_shutdown(stream);
    drop(reader);
    shutdown.run(config, shared, writer, &ledger).await;
    drop(sending);
    ended
}

/// Why no more sessions are opened, where that is no error.
enum Ended {
    /// It was time to stop. The stream of the last session is still open, if there was one.
    Stopped(Option<Stream>),
    /// What is in memory is of no use to another session.
    Superseded(Superseded),
}

/// Opens one session after the other.
///
/// # Errors
/// When a person must act first.
async fn keep_attached(
    attaching: &mut Attaching<'_>,
    reader: &mut Reader,
    options: &Options,
    slot: &str,
) -> Result<Ended> {
    let mut delay = ReconnectDelay::default();
    loop {
        let ended = caught(session(attaching, reader, &mut delay)).await;
        let ended = ended.unwrap_or_else(|panic| {
            options.meters.panics.session.fetch_add(1, Relaxed);
            tracing::error!(%panic, "rowhook has a bug; the session is ended");
            Err(Superseded::Panicked.into())
        });
        let error = match ended {
            Ok(stream) => {
                options.health.set_link(Link::Down);
                return Ok(Ended::Stopped(stream));
            }
            Err(error) => error,
        };
        let next = policy::next(&error);
        options.health.set_link(match next {
            Next::StandBy => Link::Standby,
            Next::Again | Next::StartAnew(_) | Next::ForPerson => Link::Down,
        });
        if options.stop.is_cancelled() {
            tracing::debug!(
                error = format!("{error:#}"),
                "the session ended while stopping"
            );
            return Ok(Ended::Stopped(None));
        }
        match next {
            Next::ForPerson => return Err(error),
            Next::StartAnew(why) => return Ok(Ended::Superseded(why)),
            Next::Again | Next::StandBy => delay.record(&error, next, slot),
        }
        tokio::select! {
            () = attaching.wait(delay.next()) => {}
            () = options.stop.cancelled() => return Ok(Ended::Stopped(None)),
        }
    }
}

/// One session, from connecting to its end. Returns at the time to stop, with the stream if that is open.
///
/// # Errors
/// Whatever else has ended the session.
async fn session(
    attaching: &mut Attaching<'_>,
    reader: &mut Reader,
    delay: &mut ReconnectDelay,
) -> Result<Option<Stream>> {
    let Some(following) = attaching.attach(reader).await? else {
        return Ok(None);
    };
    // Reset here, not on exit: a session that once ran counts as success.
    *delay = ReconnectDelay::default();
    following.follow(reader).await.map(Some)
}

/// What all couriers share.
fn courier_context(
    config: &Config,
    options: &Options,
    store: Arc<Store>,
) -> Result<courier::context::Context> {
    let meters = &options.meters;
    let memory = MemoryBudget::new(config.delivery.memory);
    let connections = options.sender.connections();
    Ok(courier::context::Context {
        quotas: Arc::new(Quotas::new(&config.limits, connections, memory.clone())),
        traces: traces(config, meters)?,
        sender: options.sender.clone(),
        store,
        memory,
        gates: Arc::new(SharedGates::new(&config.limits)),
        permission: Arc::new(Permission::new(config, Arc::clone(meters))),
        journal: options.journal.clone(),
        meters: Arc::clone(meters),
        history: Arc::new(History::new(config.history.clone())),
        tenure: None,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    })
}

/// Asks endpoints before transactions commit, where hooks.toml has such events.
fn asker(
    config: &Config,
    options: &Options,
    shared: &courier::context::Context,
) -> Option<Arc<Asker>> {
    let asker = || {
        Asker::new(
            config,
            shared.sender.clone(),
            Some(Arc::clone(&shared.history)),
            options.journal.clone(),
            Arc::clone(&options.meters),
        )
    };
    (!config.before.is_empty()).then(|| Arc::new(asker()))
}

/// Gathers spans, if the configuration has `[tracing]`.
fn traces(config: &Config, meters: &Arc<Meters>) -> Result<Option<Arc<Traces>>> {
    let rules = config.tracing.as_ref();
    let traces = rules.map(|rules| Traces::new(rules, Arc::clone(meters)));
    Ok(traces.transpose().context("[tracing]")?.map(Arc::new))
}

/// How long to wait before the next session.
#[derive(Default)]
struct ReconnectDelay {
    failures: u32,
    standby: bool,
}

impl ReconnectDelay {
    /// Counts a session that ended with `error`, and logs it.
    fn record(&mut self, error: &anyhow::Error, next: Next, slot: &str) {
        let standby = next == Next::StandBy;
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

    /// Doubled with each failure, and spread at random so that several processes do not connect at once.
    fn next(&self) -> Duration {
        spread(PAUSES.pause(self.failures), SPREAD, rand::random())
    }
}
