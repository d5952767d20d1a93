//! How a session becomes attached: the database is checked, the slot taken, and on the first time everything loaded.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::timeout};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use super::{
    context::SessionContext,
    control::{self, end_own_walsender, until_free},
    following::Following,
    health::Link,
    policy::Superseded,
    progress::ProgressRecorder,
    shutdown::{OpenStream, Shutdown},
    tables::TableWatch,
};
use crate::{
    config::Config,
    postgres::{
        Lsn,
        stream::{self, Identity, Stream},
    },
    reader::Reader,
    setup::{
        LockPolicy,
        catalog::{Facts, Slot},
        check::misfits,
        gap::Gap,
        plan::{Refused, counted_as_standby, hidden_hooks, plan, unfit_slot},
        setup,
    },
};

/// The interval between looks whether the deliveries about a gap are settled.
const SETTLED_LOOK: Duration = Duration::from_millis(50);

/// Opens sessions, and remembers from one to the next what they have in common.
pub(super) struct Attaching<'a> {
    context: SessionContext<'a>,
    /// The tables match the configuration. Checked only once: an application that changes its tables while we run must
    /// not stop its own webhooks.
    tables_checked: bool,
    /// `None` until the first session has attached.
    loaded: Option<Loaded>,
    /// What has been recorded as confirmed, and so may be confirmed to the server.
    recorded: watch::Sender<Lsn>,
    /// What is known of the tables of `[events]`.
    tables: TableWatch,
    /// The control session of an attempt that found the slot held by another rowhook.
    standing_by: Option<Client>,
}

/// What the first session has taken up.
struct Loaded {
    /// The server of the last session.
    identity: Identity,
    /// What the events of a transaction are numbered by.
    numbering: String,
    /// Writes history. Not started earlier, because there may be no table before.
    _historian: AbortOnDropHandle<()>,
}

impl<'a> Attaching<'a> {
    pub(super) fn new(context: SessionContext<'a>) -> Self {
        Self {
            context,
            tables_checked: false,
            loaded: None,
            recorded: watch::Sender::new(Lsn::ZERO),
            tables: TableWatch::default(),
            standing_by: None,
        }
    }

    /// Opens a session and takes the slot. `None`: it was time to stop before the database answered.
    ///
    /// # Errors
    /// What kept the session from opening. What the attempt has found out is kept for the next one.
    pub(super) async fn attach(&mut self, reader: &mut Reader) -> Result<Option<Following<'_>>> {
        let schema = &self.context.config.database.schema;
        let (control, notifications) = tokio::select! {
            opened = control::open(self.context.address, schema) => opened?,
            () = self.context.stop.cancelled() => return Ok(None),
        };
        self.prepare(&control, reader).await?;
        let (control, stream, identity) = self.take_slot(control).await?;
        self.recognize(&identity)?;
        // The hooks are read after the slot is ours: whatever changes from now on comes through the stream.
        let loaded = match &mut self.loaded {
            Some(loaded) => {
                ensure!(self.context.store.holds().await?, Superseded::SlotTaken);
                reader.find_due().await?;
                loaded.identity = identity;
                loaded
            }
            none => none.insert(load(&self.context, reader, &control, identity).await?),
        };
        let Loaded {
            identity,
            numbering,
            ..
        } = loaded;
        reader.learn_published(&control).await?;
        control::limit_waits(&control).await?;
        reader.begin_session(identity.system_identifier.clone());
        self.context.health.set_link(Link::Attached);
        tracing::info!(slot = self.context.slot(), flushed = %identity.flushed, "attached");
        Ok(Some(Following {
            context: &self.context,
            progress: ProgressRecorder {
                context: &self.context,
                identity,
                numbering,
                recorded: &self.recorded,
            },
            tables: &mut self.tables,
            stream,
            control,
            notifications,
        }))
    }

    /// Waits until it is worth trying again: for `pause`, or until the slot is free where another rowhook holds it.
    pub(super) async fn wait(&mut self, pause: Duration) {
        match self.standing_by.take() {
            Some(client) => until_free(&client, self.context.slot()).await,
            None => tokio::time::sleep(pause).await,
        }
    }

    /// Ends all sessions. What the historian was writing just now is lost, and only that.
    pub(super) fn into_shutdown(self, stream: Option<Stream>) -> Shutdown {
        let open = stream.zip(self.loaded).map(|(stream, loaded)| OpenStream {
            stream,
            identity: loaded.identity,
            numbering: loaded.numbering,
        });
        Shutdown {
            open,
            off: self.context.off,
            recorded: *self.recorded.borrow(),
        }
    }

    /// Checks that no changes were lost and that the database is as it has to be. With `setup`, makes it so.
    async fn prepare(&mut self, client: &Client, reader: &mut Reader) -> Result<()> {
        let config = self.context.config;
        let facts = read_facts(client, config).await?;
        if let Some(gap) = facts.gap(config) {
            return Err(self.report_gap(&gap, &facts, client, reader).await?);
        }
        // Whoever has set it up: nothing is read from a slot that is not ours, and no commit waits for us.
        if let Some(problem) = unfit_slot(config, &facts) {
            return Err(Refused::new(config, [problem]).into());
        }
        if let Some(counted) = counted_as_standby(config, &facts) {
            return Err(counted.into());
        }
        // Where nothing is missing, a standby that takes over need not ask twice.
        if self.context.setup && !plan(config, &facts).is_ok_and(|steps| steps.is_empty()) {
            self.set_up(&facts).await?;
        }
        if !self.tables_checked {
            if let Some(problem) = hidden_hooks(config, &facts) {
                return Err(Refused::new(config, [problem]).into());
            }
            check_tables(client, config).await?;
            self.tables_checked = true;
        }
        if let (Some(confirmed), None) = (recorded_here(&facts), &self.loaded) {
            // The slot may be behind our record: it is confirmed later, and a crash loses its newest confirmations.
            self.context.ledger.idle(confirmed);
            self.recorded.send_replace(confirmed);
        }
        Ok(())
    }

    /// Creates what is missing. Once a session has run, a table that is gone must not keep the others from being heard.
    async fn set_up(&self, facts: &Facts) -> Result<()> {
        let config = self.context.config;
        let warn = |text: &str| tracing::warn!("{text}");
        match setup(config, LockPolicy::default(), &warn).await {
            Ok(steps) => {
                // On a slot that was there before, a table that joins was not heard until now.
                for step in steps.iter().filter(|_| facts.slot.is_some()) {
                    tracing::info!("set up: {}", step.reason);
                }
                Ok(())
            }
            Err(crate::setup::Error::Refused(refused)) if self.loaded.is_some() => {
                tracing::warn!("not everything could be set up: {refused}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Delivers the gap to the hooks that listen to it, unless that has been done before. Returns the error to end
    /// with.
    ///
    /// # Errors
    /// When the hooks cannot be read, or the delivery not recorded.
    async fn report_gap(
        &self,
        gap: &Gap,
        facts: &Facts,
        client: &Client,
        reader: &mut Reader,
    ) -> Result<anyhow::Error> {
        let store = &self.context.store;
        // Nobody holds the slot, so it is on us to deliver this. It is delivered only if that can be recorded.
        if let Err(error) = store.take_over().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "hooks cannot be told of the gap yet"
            );
        } else if let Some(found) = store.note_gap(&gap.slot).await? {
            if self.loaded.is_none() {
                reader.load_hooks(client, &gap.slot).await?;
            }
            reader
                .deliver_gap(gap, &facts.server.system_identifier, found)
                .await?;
            self.until_settled().await;
        }
        Ok(anyhow!("{}", gap.problem()))
    }

    /// Waits until everything is delivered or parked, but no longer than the grace period.
    async fn until_settled(&self) {
        let settled = async {
            let mut ticks = tokio::time::interval(SETTLED_LOOK);
            while self.context.ledger.unsettled() > 0 {
                ticks.tick().await;
            }
        };
        let grace = self.context.config.delivery.grace;
        if timeout(grace, settled).await.is_err() {
            tracing::warn!("not every hook could be told of the gap");
        }
    }

    /// Opens the stream. Where another session holds the slot, ends it if it is our own last one, and keeps the control
    /// session to wait with if it is not.
    async fn take_slot(&mut self, control: Client) -> Result<(Client, Stream, Identity)> {
        let SessionContext {
            config,
            address,
            stream_name,
            ..
        } = &self.context;
        // From what is recorded, and not from what is settled: opening the stream confirms where it begins.
        let from = *self.recorded.borrow();
        let subscription = config.database.subscription();
        let error = match Stream::open(address, &subscription, stream_name, from).await {
            Ok((stream, identity)) => return Ok((control, stream, identity)),
            Err(error) => error,
        };
        if let stream::Error::Occupied { slot } = &error {
            let ours = end_own_walsender(&control, slot, stream_name).await?;
            ensure!(ours || self.loaded.is_none(), Superseded::SlotTaken);
            self.standing_by = Some(control).filter(|_| !ours);
        }
        Err(error.into())
    }

    /// Checks that this is the server of the last session, with the history that we have read.
    fn recognize(&self, identity: &Identity) -> Result<()> {
        let same = |known: &Identity| {
            known.system_identifier == identity.system_identifier
                && known.timeline == identity.timeline
                && self.context.ledger.confirmed() <= identity.flushed
        };
        let known = self.loaded.as_ref().map(|loaded| &loaded.identity);
        ensure!(known.is_none_or(same), Superseded::ServerReplaced);
        Ok(())
    }
}

/// Takes up what there is from before we started.
async fn load(
    context: &SessionContext<'_>,
    reader: &mut Reader,
    client: &Client,
    identity: Identity,
) -> Result<Loaded> {
    let (slot, ledger) = (context.slot(), context.ledger);
    let numbering = numbering(context.config, &identity);
    // Without a record of our own we begin where the slot stands, and what is recorded is never before that.
    let standing = Slot::read(client, slot).await.context("look at the slot")?;
    if let Some(confirmed) = standing.and_then(|slot| slot.confirmed) {
        ledger.idle(confirmed);
    }
    if let Some(progress) = context.store.progress(slot, &numbering).await? {
        ledger.resume(progress);
    }
    let hooks = reader.load_hooks(client, slot).await?;
    reader.load_backlog().await?;
    tracing::info!(hooks, "hooks loaded");
    let (history, store) = (Arc::clone(&context.history), Arc::clone(&context.store));
    let writing = async move { history.keep_writing(&store).await };
    Ok(Loaded {
        identity,
        numbering,
        _historian: AbortOnDropHandle::new(tokio::spawn(writing)),
    })
}

async fn read_facts(client: &Client, config: &Config) -> Result<Facts> {
    Facts::read(client, config)
        .await
        .context("read the catalog")
}

/// Checks that the tables match the configuration.
async fn check_tables(client: &Client, config: &Config) -> Result<()> {
    let facts = read_facts(client, config).await?;
    let misfits = misfits(client, config, &facts)
        .await
        .context("look at the tables")?;
    ensure!(misfits.is_empty(), "{}", misfits.join("\n"));
    Ok(())
}

/// What was recorded as confirmed, if that was on this server and timeline.
fn recorded_here(facts: &Facts) -> Option<Lsn> {
    let (server, known) = (&facts.server, facts.progress.as_ref()?);
    let is_here = known.system_identifier == server.system_identifier
        && Some(known.timeline) == server.timeline;
    is_here.then_some(known.confirmed)
}

/// A name for everything that the numbers of events depend on: with other rules, or on another server, the same number
/// is another event.
fn numbering(config: &Config, identity: &Identity) -> String {
    let rules: Vec<_> = config
        .events
        .iter()
        .map(|rule| (&rule.name, &rule.source))
        .collect();
    let Identity {
        system_identifier,
        timeline,
        ..
    } = identity;
    let hash = Sha256::digest(format!("{system_identifier} {timeline} {rules:?}"));
    hex::encode(hash)
}
