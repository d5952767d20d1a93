//! Reads the stream: change → event → hooks → deliveries, in commit order.
//!
//! A batch goes through three steps. Its messages become changes; what they lack (owners, values that were left out) is
//! looked up for all of them at once; then each is mapped, matched, rendered and handed to its couriers, one after the
//! other. Hooks change in that last step too, and so exactly between the changes where their rows stand.

mod backfill;
mod deliver;
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
    hooks::{CheckedRow, Hooks},
    session::SessionState,
    step::{ChangeDraft, MessageDraft, Step},
};
use crate::{
    change::Change,
    config::{Config, GAP},
    delivery::{
        Couriers, Desk,
        backlog::Backlog,
        ledger::{Ledger, Opened},
    },
    event::{EventMap, Position},
    hook::{
        self, HookId,
        index::Index,
        off::OffHooks,
        row::{self, HookColumns, Known},
    },
    lookup::{enrich::Enrichment, owner::Owners, toast},
    message::Message,
    postgres::{Lsn, TableName, address::Address, stream::Received},
    setup::gap::Gap,
    store::Due,
};

/// Turns the stream into deliveries. It outlives sessions: what an earlier one has handed on is not handed on again.
pub struct Reader {
    events: EventMap,
    hooks: Hooks,
    owners: Owners,
    enrichment: Enrichment,
    couriers: Couriers,
    context: Arc<Desk>,
    ledger: Ledger,
    system_identifier: String,
    session: SessionState,
    /// Tables whose owner could not be told, so that it is said once.
    ownerless: HashSet<TableName>,
}

impl Reader {
    /// A reader for `config` that hands on to `context` and books in `ledger`. It has the hooks of the file.
    ///
    /// # Errors
    /// When a hook or an expression of the file cannot be used.
    pub fn new(config: &Config, context: Arc<Desk>, ledger: Ledger, off: OffHooks) -> Result<Self> {
        let events = EventMap::new(config)?;
        let address = Address::parse(config.database.url.expose()).context("database.url")?;
        let owners = config
            .tables
            .iter()
            .filter_map(|rules| rules.owner.as_ref());
        let owners = Owners::new(owners, events.tables().cloned());
        let known = Known::new(config, &events);
        let mut index = Index::new(events.names().iter().cloned());
        for hook in &config.hooks {
            known
                .guard
                .check_url(&hook.target)
                .with_context(|| format!("hook {:?}", hook.name))?;
            let checked = hook::from_file(hook).map_err(anyhow::Error::msg);
            index.put(Arc::new(
                checked.with_context(|| format!("hook {:?}", hook.name))?,
            ));
        }
        Ok(Self {
            hooks: Hooks {
                index,
                columns: HookColumns::from_config(config),
                off,
                known: Arc::new(known),
                owner_exists: config.owner_exists.clone(),
            },
            events,
            owners,
            enrichment: Enrichment::new(config, address),
            couriers: Couriers::new(Arc::clone(&context)),
            context,
            ledger,
            system_identifier: String::new(),
            session: SessionState::default(),
            ownerless: HashSet::new(),
        })
    }

    /// Adds the hooks of the hook table, as they are where the slot stands. Returns how many hooks there are in all.
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
                // The slot is new, and hooks are as they were when it was made.
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

    /// Takes up what is parked from before we started.
    ///
    /// # Errors
    /// When the tables cannot be read; then nothing has been taken up.
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
                self.couriers.remember(&id, &hook, lasted);
            }
        }
        Ok(())
    }

    /// Looks for what was made due by hand while nobody listened.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn find_due(&mut self) -> Result<()> {
        for (id, parked) in self.context.store.backlog().await? {
            let id = HookId::new(id, false);
            if self.couriers.expects_nothing(&id) {
                let hook = self.hooks.index.get(&id).cloned();
                self.couriers.resume(&id, hook.as_ref(), parked);
            } else {
                self.couriers.look(&id);
            }
        }
        Ok(())
    }

    /// Sends a delivery that was made due by hand.
    pub fn send_due(&mut self, due: Due) {
        if due.revived {
            let hook = self.hooks.index.get(&due.hook).cloned();
            let mut parked = Backlog::default();
            parked.add(due.place, 1);
            self.couriers.resume(&due.hook, hook.as_ref(), parked);
        } else {
            self.couriers.look(&due.hook);
        }
    }

    /// Deletes what is older than the retention.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn enforce_retention(&mut self) -> Result<()> {
        let retention = self.hooks.known.delivery.retention;
        let forgotten = self
            .context
            .store
            .forget(&self.couriers.idle(), retention)
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

    /// Tells the hooks on [`GAP`] of a gap that was found at `found`. Nothing else is read afterwards.
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
        let note = MessageDraft {
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
        // Opened and never closed: what a gap has to say is no position in the stream.
        self.ledger.open(gap.from);
        self.deliver_message(note, 0).await
    }

    /// A new session begins, at the beginning of a transaction.
    pub fn begin_session(&mut self, system_identifier: String) {
        self.system_identifier = system_identifier;
        self.session = SessionState::default();
    }

    /// Reads a batch. When this returns, each of its deliveries is with a courier, and the ledger knows of it.
    ///
    /// May be dropped while it waits, when the session is lost or everything ends. The event in hand is handed on again by the
    /// next session, to those of its hooks too that have got it.
    ///
    /// # Errors
    /// When something cannot be looked up. The ledger knows what has been handed on before, and a new session that sends the
    /// batch again goes on from there.
    pub async fn read(&mut self, batch: Vec<Received>, client: &Client) -> Result<()> {
        let mut steps = Vec::with_capacity(batch.len());
        for received in batch {
            steps.extend(self.interpret(received, client).await?);
        }
        while !steps.is_empty() {
            let ready = self.look_up_missing(&mut steps, client).await?;
            self.apply(steps.drain(..ready), client).await?;
        }
        self.owners.forget();
        Ok(())
    }

    /// Hands on what has all that it needs.
    async fn apply(&mut self, steps: impl Iterator<Item = Step>, client: &Client) -> Result<()> {
        for step in steps {
            match (step, self.session.opened) {
                (Step::Begin(commit_lsn), _) => self.session.opened = self.ledger.open(commit_lsn),
                (Step::Row(draft), Opened::Read { skip }) => {
                    self.deliver_change(*draft, skip, client).await?
                }
                (Step::Commit(end_lsn), Opened::Read { .. }) => self.ledger.close(end_lsn),
                (Step::Message(note), Opened::Read { skip }) => {
                    self.deliver_message(*note, skip).await?
                }
                (Step::Row(_) | Step::Message(_) | Step::Commit(_), Opened::Known) => {}
                (Step::Idle(wal_end), _) => self.ledger.idle(wal_end),
            }
        }
        Ok(())
    }

    /// Looks up what the changes of a batch lack, as far as they will become events that a hook may hear. Returns how many of the
    /// steps, from the first on, have all of it: fewer than there are where large values would be too much at once.
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
        if !drafts.iter().any(|(_, draft)| draft.table.holds_hooks) {
            let heard = |draft: &ChangeDraft| {
                draft
                    .rules()
                    .any(|(_, rule)| self.hooks.index.hears(&rule.name))
            };
            drafts.retain(|(_, draft)| heard(draft));
        }
        drafts.retain(|(_, draft)| !draft.rules.is_empty());
        let gaps = drafts
            .iter_mut()
            .map(|(at, draft)| (*at, &mut draft.change))
            .filter(|(_, change)| toast::has_gap(change));
        let (places, mut gaps): (Vec<usize>, Vec<&mut Change>) = gaps.unzip();
        let filled = toast::fill(client, &mut gaps).await?;
        let ready = places.get(filled).copied().unwrap_or(all);
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
