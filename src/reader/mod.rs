//! Reads the stream: change → event → hooks → deliveries, in commit order.
//!
//! A batch is read in three passes. First its messages become steps. Then what their changes lack (owners, values that
//! the stream left out, permissions) is looked up for all of them at once. Last, each change is matched, rendered and
//! handed to couriers, one after the other. Hooks change in that last pass too, and so exactly where their rows change
//! in the stream.

mod backfill;
mod deliver;
mod gaps;
mod hidden;
mod hook_table;
mod hooks;
mod interpret;
mod messages;
mod orphans;
mod permission;
mod session;
mod step;

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use self::{
    hidden::HiddenColumns,
    hooks::{CheckedRow, Hooks},
    session::SessionState,
    step::{ChangeDraft, MessageDraft, Step},
};
use crate::{
    config::Config,
    courier::{context, couriers::Couriers},
    delivery::{
        backlog::Backlog,
        ledger::{Ledger, Opened},
    },
    event::{EventMap, Position},
    hook::{
        self, HookId,
        index::Index,
        off::OffHooks,
        row::{self, Constraints},
    },
    lookup::{enrich::Enrichment, generated::Generated, owner::Owners},
    message::{GAP, Message},
    postgres::{Lsn, TableName, followed::Followed, stream::Received},
    setup::gap::Gap,
    store::Due,
};

/// Turns the stream into deliveries. It outlives sessions: what it delivered in an earlier one is not delivered again.
pub struct Reader {
    events: EventMap,
    hooks: Hooks,
    owners: Owners,
    generated: Generated,
    enrichment: Enrichment,
    couriers: Couriers,
    context: Arc<context::Context>,
    ledger: Ledger,
    system_identifier: String,
    session: SessionState,
    /// Steps of the session that wait for the rest of their transaction.
    held: Vec<Step>,
    /// The tables that configured names stand for.
    followed: Followed,
    /// Which columns are hidden because of what hooks.toml leaves out.
    hidden: HiddenColumns,
    /// Tables of which a row had no owner. The warning is logged once for each.
    ownerless: HashSet<TableName>,
}

impl Reader {
    /// A reader that has the hooks of hooks.toml. The couriers it starts share `context`; unsettled deliveries are
    /// counted in `ledger`.
    ///
    /// # Errors
    /// When the target of a hook of hooks.toml may not be called.
    pub fn new(
        config: &Config,
        context: Arc<context::Context>,
        ledger: Ledger,
        off: OffHooks,
    ) -> Result<Self> {
        let events = EventMap::new(config);
        let owners = config
            .tables
            .iter()
            .filter_map(|rules| rules.owner.as_ref());
        let owners = Owners::new(owners, events.tables().cloned());
        let known = Constraints::new(config, &events);
        let mut index = Index::new(events.names().iter().cloned());
        for hook in &config.hooks {
            known
                .guard
                .check_url(&hook.target)
                .with_context(|| format!("hook {:?}", hook.name))?;
            index.put(Arc::new(hook::from_file(hook)));
        }
        Ok(Self {
            hooks: Hooks {
                index,
                columns: config.hook_columns(),
                off,
                known: Arc::new(known),
                owner_exists: config.owner_exists.clone(),
            },
            events,
            owners,
            generated: Generated::new(config.database.address.clone()),
            enrichment: Enrichment::new(config),
            couriers: Couriers::new(Arc::clone(&context)),
            context,
            ledger,
            system_identifier: String::new(),
            session: SessionState::default(),
            held: Vec::new(),
            followed: Followed::default(),
            hidden: HiddenColumns::default(),
            ownerless: HashSet::new(),
        })
    }

    /// The tables that configured names stand for. Whoever finds out tells it here.
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Loads the hooks of the hook table as they were at the slot's position. Returns how many hooks there are, with
    /// those of hooks.toml.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn load_hooks(&mut self, client: &Client, slot: &str) -> Result<usize> {
        let known = Arc::make_mut(&mut self.hooks.known);
        known.learn_all(client, &self.events).await?;
        let off = self.context.store.off_hooks(slot).await?;
        let is_noted = off.is_some();
        self.hooks.off.begin(off.unwrap_or_default());
        let columns = self.hooks.columns.clone();
        let known = Arc::clone(&self.hooks.known);
        let check = move |row| CheckedRow::of(row, &known);
        row::load_all(client, &columns, check, |row| {
            if !is_noted && !row.active {
                // Nothing is recorded for this slot, so it is new: hooks are still as they were when it was made.
                self.hooks.off.turn(&row.id, true, Lsn::ZERO);
            }
            if self.hooks.off.contains(&row.id) {
                self.drop_hook(&row.id);
            } else {
                self.put_hook(row);
            }
        })
        .await?;
        self.disable_orphans(client).await?;
        Ok(self.hooks.index.len())
    }

    /// Makes us the holder of the slot, and resumes what earlier processes have parked.
    ///
    /// # Errors
    /// When the tables cannot be used; then nothing is resumed.
    pub async fn load_backlog(&mut self) -> Result<()> {
        let store = &self.context.store;
        store.take_over().await?;
        let (failing, backlog) = (store.failing().await?, store.backlog().await?);
        for (id, parked) in backlog {
            let id = HookId::new(id, false);
            let hook = self.hooks.index.get(&id).cloned();
            self.couriers.resume(&id, hook.as_ref(), parked);
        }
        for (id, lasted) in failing {
            let id = HookId::new(id, false);
            if let Some(hook) = self.hooks.index.get(&id).cloned() {
                self.couriers.resume_streak(&id, &hook, lasted);
            }
        }
        Ok(())
    }

    /// Resumes what was made due by hand while no session was open to receive the notification.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn find_due(&mut self) -> Result<()> {
        for (id, parked) in self.context.store.backlog().await? {
            let id = HookId::new(id, false);
            if self.couriers.is_drained(&id) {
                let hook = self.hooks.index.get(&id).cloned();
                self.couriers.resume(&id, hook.as_ref(), parked);
            } else {
                self.couriers.poll_table(&id);
            }
        }
        Ok(())
    }

    /// Has the courier of a hook send what was made due by hand.
    pub fn send_due(&mut self, due: Due) {
        if due.revived {
            let hook = self.hooks.index.get(&due.hook).cloned();
            let mut parked = Backlog::default();
            parked.add(due.place, 1);
            self.couriers.resume(&due.hook, hook.as_ref(), parked);
        } else {
            self.couriers.poll_table(&due.hook);
        }
    }

    /// Deletes deliveries that are older than the retention: dead ones, and parked ones of hooks that are disabled or
    /// removed.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn enforce_retention(&mut self) -> Result<()> {
        let retention = self.hooks.known.delivery.retention;
        let forgotten = self
            .context
            .store
            .forget(&self.couriers.orphaned(), retention)
            .await?;
        for (hook, place) in forgotten.parked {
            self.couriers.forget(&HookId::new(hook, false), place);
        }
        if forgotten.deliveries > 0 {
            tracing::info!(
                deliveries = forgotten.deliveries,
                ?retention,
                "deleted deliveries that are older than the retention"
            );
        }
        Ok(())
    }

    /// Delivers the event [`GAP`], for a gap that was found at `found`. The reader must not be used afterwards: the
    /// stream has no position for this event.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub async fn deliver_gap(
        &mut self,
        gap: &Gap,
        system_identifier: &str,
        found: SystemTime,
    ) -> Result<()> {
        let payload = serde_json::json!({
            "slot": gap.slot,
            "cause": gap.kind(),
            "from_lsn": gap.from.to_string(),
            "to_lsn": gap.to.to_string(),
            "description": gap.to_string(),
        });
        let Some((name, all_owners)) = self.events.of_message(GAP) else {
            return Ok(());
        };
        let draft = MessageDraft {
            name: Arc::clone(name),
            all_owners,
            message: Message::own(GAP, payload),
            position: Position {
                commit_lsn: gap.from,
                index: 0,
            },
            commit_time: found,
        };
        self.begin_session(system_identifier.to_owned());
        // Opened and never closed, so that nothing is ever confirmed because of it.
        self.ledger.open(gap.from);
        self.deliver_message(draft, 0).await
    }

    /// Begins a new session with the server of this system identifier. Its stream begins between two transactions.
    pub fn begin_session(&mut self, system_identifier: String) {
        self.system_identifier = system_identifier;
        self.session = SessionState::default();
        self.held = Vec::new();
    }

    /// Reads a batch. When this returns, each of its deliveries is with a courier and counted in the ledger.
    ///
    /// The future may be dropped before it completes, but then a new session must begin. That session delivers the
    /// interrupted event again, also to hooks that have received it.
    ///
    /// # Errors
    /// When something cannot be looked up. The ledger remembers what was delivered before, so that the next session,
    /// which receives the batch again, goes on from there.
    pub async fn read(&mut self, batch: Vec<Received>, client: &Client) -> Result<()> {
        let mut steps = std::mem::take(&mut self.held);
        for received in batch {
            steps.extend(self.interpret(received, client).await?);
        }
        let ready = self.complete_rows(&mut steps).await?;
        self.held = steps.split_off(ready);
        while !steps.is_empty() {
            let ready = self.look_up_missing(&mut steps, client).await?;
            self.apply(steps.drain(..ready), client).await?;
        }
        self.owners.forget();
        Ok(())
    }

    /// Carries out steps that lack nothing any more.
    async fn apply(&mut self, steps: impl Iterator<Item = Step>, client: &Client) -> Result<()> {
        for step in steps {
            match (step, self.session.opened) {
                (Step::Begin(commit_lsn), _) => self.session.opened = self.ledger.open(commit_lsn),
                (Step::Row(draft), Opened::Read { skip }) => {
                    self.deliver_change(*draft, skip, client).await?
                }
                (Step::Commit(end_lsn), Opened::Read { .. }) => self.ledger.close(end_lsn),
                (Step::Message(draft), Opened::Read { skip }) => {
                    self.deliver_message(*draft, skip).await?
                }
                (Step::Row(_) | Step::Message(_) | Step::Commit(_), Opened::Known) => {}
                (Step::Idle(wal_end), _) => self.ledger.idle(wal_end),
            }
        }
        Ok(())
    }

    /// Looks up what the changes of a batch lack, if an event may come from them that a hook listens to. Returns how
    /// many of the steps, from the first on, are complete. These are not all where large values would take too much
    /// memory at once.
    async fn look_up_missing(&mut self, steps: &mut [Step], client: &Client) -> Result<usize> {
        let all = steps.len();
        let drafts = steps
            .iter_mut()
            .enumerate()
            .filter_map(|(at, step)| match step {
                Step::Row(draft) => Some((at, draft)),
                Step::Begin(_) | Step::Message(_) | Step::Commit(_) | Step::Idle(_) => None,
            });
        let mut drafts: Vec<(usize, &mut Box<ChangeDraft>)> = drafts.collect();
        let batch_has_hooks = drafts.iter().any(|(_, draft)| draft.table.holds_hooks);
        drafts.retain(|(_, draft)| self.is_wanted(draft, batch_has_hooks));
        let filled = gaps::read_again(client, &mut drafts).await?;
        let ready = filled.unwrap_or(all);
        let drafts = drafts.into_iter().take_while(|(at, _)| *at < ready);
        let mut drafts: Vec<&mut Box<ChangeDraft>> = drafts.map(|(_, draft)| draft).collect();
        let owned = drafts.iter().filter_map(|draft| {
            Some((draft.table.events.as_ref()?.owner.as_ref()?, &draft.change))
        });
        self.owners.look_up(client, owned).await?;
        self.ask_permissions(&mut drafts).await?;
        let bare = drafts.into_iter().map(|draft| {
            let ChangeDraft { change, added, .. } = &mut **draft;
            (&*change, added)
        });
        self.enrichment.look_up(bare.collect()).await?;
        Ok(ready)
    }
}
