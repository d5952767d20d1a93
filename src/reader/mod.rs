//! Reads the stream: change → event → hooks → deliveries, in commit order.
//!
//! A batch is read in three passes. First its messages become steps. Then what their changes lack (owners, values that
//! the stream left out, permissions) is looked up for all of them at once. Last, each change is matched, rendered and
//! handed to couriers, one after the other. Hooks change in that last pass too, and so exactly where their rows change
//! in the stream.

mod acts;
mod allowance;
mod aside;
mod backfill;
mod crowds;
mod deliver;
mod gaps;
mod guarded;
mod hidden;
mod hook_table;
mod hooks;
mod interpret;
mod listener;
mod loading;
mod messages;
mod moved;
mod moves;
mod orphans;
mod owners;
pub mod past;
mod permission;
mod recording;
mod reread;
mod session;
mod step;
mod truncate;
mod turn;
mod unread;
mod waiting;
pub mod watch;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use anyhow::{Context, Result};
use tokio::time::Instant;
use tokio_postgres::Client;

use self::{
    acts::Acts,
    allowance::Allowances,
    crowds::Crowds,
    hidden::HiddenColumns,
    hooks::{Hooks, Locked, SetAside},
    moved::Moved,
    reread::read_again,
    session::SessionState,
    step::{ChangeDraft, MessageDraft, Step},
    waiting::Waiting,
};
use crate::{
    cluster::outlet::Outlet,
    config::Config,
    courier::context,
    delivery::ledger::{Ledger, Opened},
    event::{EventMap, Position},
    hook::{self, HookId, index::Index, off::OffHooks, row::Constraints},
    lookup::{
        casts::Casts,
        computing::Computing,
        enrich::Enrichment,
        halves::Refusal,
        owner::{Owners, Ownership},
        toast,
    },
    message::{GAP, Message, MessageKey},
    panics::{Panic, caught},
    postgres::{Lsn, TableName, followed::Followed, stream::Received},
    setup::gap::Gap,
    store::Due,
};

/// Turns the stream into deliveries. It outlives sessions: what it delivered in an earlier one is not delivered again.
pub struct Reader {
    events: EventMap,
    hooks: Hooks,
    acts: Acts,
    owners: Owners,
    /// The publication of all changes.
    publication: String,
    computing: Computing,
    casts: Casts,
    enrichment: Enrichment,
    couriers: Outlet,
    context: Arc<context::Context>,
    ledger: Ledger,
    system_identifier: String,
    session: SessionState,
    /// Steps of the session that wait for the rest of their transaction.
    held: Vec<Step>,
    /// The first of the changes that wait for the stream to tell whose they are, and since when it does.
    asking: Option<(Position, Instant)>,
    /// The tables that configured names stand for.
    followed: Followed,
    /// Which columns are hidden because of what hooks.toml leaves out.
    hidden: HiddenColumns,
    /// What was logged of tables, each once: the table, and the kind of warning.
    told: HashSet<(TableName, &'static str)>,
    waiting: Waiting,
    crowds: Crowds,
    /// What filters and templates may still take, by owner.
    allowances: Allowances,
    /// What compiling filters may still take, by owner.
    compiling: Allowances,
    /// What messages are signed with; `None` until the first session has attached.
    message_key: Option<MessageKey>,
    /// The operator allows that every role fires events.
    unsigned_messages: bool,
}

impl Reader {
    /// A reader that has the hooks of hooks.toml. It hands deliveries to `couriers`, which share `context`; unsettled
    /// deliveries are counted in `ledger`.
    ///
    /// # Errors
    /// When the target of a hook of hooks.toml may not be called.
    pub fn new(
        config: &Config,
        context: Arc<context::Context>,
        couriers: Outlet,
        ledger: Ledger,
        off: OffHooks,
    ) -> Result<Self> {
        let events = EventMap::new(config);
        let owners = config
            .tables
            .iter()
            .filter_map(|rules| rules.owner.as_ref());
        let owners = Owners::new(owners);
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
                named: config.hook_columns().table,
                oid: None,
                off,
                set_aside: SetAside::default(),
                moved: Moved::default(),
                unread: HashMap::new(),
                switched_off: None,
                known: Arc::new(known),
                owner_exists: config.owner_exists.clone(),
                plain: 0,
                locked: Locked {
                    tried_at: config.secrets.changes(),
                    ..Locked::default()
                },
            },
            events,
            acts: Acts::default(),
            owners,
            publication: config.database.publication.clone(),
            computing: Computing::new(config.database.source().clone()),
            casts: Casts::default(),
            enrichment: Enrichment::new(config),
            couriers,
            waiting: Waiting::new(Arc::clone(&context.meters)),
            crowds: Crowds::default(),
            context,
            ledger,
            system_identifier: String::new(),
            session: SessionState::default(),
            held: Vec::new(),
            asking: None,
            followed: Followed::default(),
            hidden: HiddenColumns::default(),
            told: HashSet::new(),
            allowances: Allowances::of_evaluation(),
            compiling: Allowances::of_compiling(),
            message_key: None,
            unsigned_messages: config.database.unsigned_messages,
        })
    }

    /// The tables that configured names stand for. Whoever finds out tells it here.
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Makes us the holder of the slot, and resumes what earlier processes have parked.
    ///
    /// # Errors
    /// When the tables cannot be used; then nothing is resumed.
    pub async fn load_backlog(&mut self) -> Result<()> {
        let store = &self.context.store;
        if self.couriers.is_elsewhere() {
            store.take_over_reading().await?;
            store.load_forgotten().await?;
            self.couriers.begin();
            return Ok(());
        }
        store.take_over().await?;
        store.load_forgotten().await?;
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
        self.leave_out_forgotten().await;
        if self.couriers.is_elsewhere() {
            self.couriers.poll_all();
            return Ok(());
        }
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
            self.couriers.revive(&due.hook, hook.as_ref(), due.place);
        } else {
            self.couriers.poll_table(&due.hook);
        }
    }

    /// Resolves once a sender of a cluster wants to know hooks, for [`tell_hooks`](Self::tell_hooks) to tell.
    pub fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        self.couriers.asked()
    }

    /// Tells senders of a cluster the hooks that they have asked for, as they are at this place of the stream.
    pub fn tell_hooks(&mut self) {
        self.couriers.answer(&self.hooks.index);
    }

    /// Leaves the rows that were forgotten out of what is in memory.
    pub async fn leave_out_forgotten(&mut self) {
        let store = &self.context.store;
        let last = match store.load_forgotten().await {
            Ok(last) => last,
            Err(error) => {
                return tracing::warn!(
                    error = format!("{error:#}"),
                    "could not read what was forgotten; what is in memory of it may still be sent, and is not written"
                );
            }
        };
        self.couriers.leave_out_forgotten();
        // Somebody may wait for that.
        let Some(last) = last else { return };
        if let Err(error) = store.say_left_out(last).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "could not say that what was forgotten is left out; whoever waits for that is told so"
            );
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

    /// Delivers the event [`GAP`], for a gap that was found at `found`, and returns a ledger of these deliveries alone.
    /// The reader must not be used afterwards: the stream has no position for this event.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub async fn deliver_gap(
        &mut self,
        gap: &Gap,
        system_identifier: &str,
        found: SystemTime,
    ) -> Result<Ledger> {
        self.couriers.begin();
        // Of its own, since the stream may have been read beyond where the gap begins. It is never closed, so that
        // nothing is confirmed because of it.
        let ledger = Ledger::new(Lsn::ZERO);
        self.ledger = ledger.clone();
        let payload = serde_json::json!({
            "slot": gap.slot,
            "cause": gap.kind(),
            "from_lsn": gap.from.to_string(),
            "to_lsn": gap.to.to_string(),
            "description": gap.to_string(),
        });
        let Some((name, all_owners)) = self.events.of_message(GAP) else {
            return Ok(ledger);
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
        ledger.open(gap.from);
        self.deliver_message(draft, 0).await?;
        self.finish_crowds().await;
        Ok(ledger)
    }

    /// Reads which tables on owner paths the stream carries.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn learn_published(&mut self, client: &Client) -> Result<()> {
        let publication = &self.publication;
        self.owners.learn_published(client, publication).await
    }

    /// Reads what messages are signed with.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub async fn learn_message_key(&mut self) -> Result<()> {
        self.message_key = Some(self.context.store.message_key().await?);
        Ok(())
    }

    /// Begins a new session with the server of this system identifier. Its stream begins between two transactions.
    pub fn begin_session(&mut self, system_identifier: String) {
        self.system_identifier = system_identifier;
        self.session = SessionState::default();
        // What an earlier session had read of transactions comes again.
        self.acts = Acts::default();
        self.held = Vec::new();
        self.asking = None;
    }

    /// Whether everything that was read has been handed on, or has its ticket.
    pub fn is_between_batches(&self) -> bool {
        self.held.is_empty()
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
        for table in self.followed.take_leaving() {
            self.owners.distrust(&table);
        }
        for table in self.followed.take_joining() {
            self.owners.trust(table);
        }
        let mut steps = std::mem::take(&mut self.held);
        self.session.described.clear();
        for received in batch {
            steps.extend(self.interpret_guarded(received, client).await?);
        }
        let decided = self.join_moves(&mut steps, client).await?;
        let mut ready = self.complete_rows(&mut steps).await?.min(decided);
        while ready > 0 {
            self.foresee(&steps, client).await?;
            let some = steps.get_mut(..ready).unwrap_or_default();
            let complete = self.look_up_missing(some, client).await?;
            if complete == 0 {
                break;
            }
            self.take_down(steps.get(..complete).unwrap_or_default());
            self.apply(steps.drain(..complete), client).await?;
            ready -= complete;
        }
        self.held = steps;
        self.owners.forget();
        self.casts.forget();
        Ok(())
    }

    /// Remembers what the open transaction has written, for what is still to come of it.
    fn take_down(&mut self, steps: &[Step]) {
        let changes = steps.iter().filter_map(|step| match step {
            Step::Row(draft) => Some(&draft.change),
            _ => None,
        });
        let open = self.session.transaction.as_ref();
        let open = open.map(|open| open.transaction.commit_lsn);
        self.session.written.take_down(changes, open);
    }

    /// Interprets a message. If that panics on a row, the row is set aside; on anything else, the session ends, because
    /// what comes after would not be understood.
    async fn interpret_guarded(
        &mut self,
        received: Received,
        client: &Client,
    ) -> Result<Option<Step>> {
        let is_of_one_event = received.is_of_one_event();
        match caught(self.interpret(received, client)).await {
            Ok(step) => step,
            Err(panic) if is_of_one_event => {
                let transaction = self.session.transaction.as_ref();
                let position = transaction.map(|open| Position {
                    commit_lsn: open.transaction.commit_lsn,
                    index: open.next_event,
                });
                self.pass_over(position, &panic);
                Ok(None)
            }
            Err(panic) => Err(panic).context("read a message of the stream"),
        }
    }

    /// Counts and logs that what stands at this position is set aside, because rowhook panics on it.
    fn pass_over(&self, position: Option<Position>, panic: &Panic) {
        self.context.meters.panics.event.fetch_add(1, Relaxed);
        let (commit_lsn, index) = position
            .map(|position| (position.commit_lsn.to_string(), position.index))
            .unzip();
        tracing::error!(commit_lsn, index, %panic, "rowhook has a bug; a change or a message is set aside, and no hook hears of it");
    }

    /// Carries out a step of one event. If that panics, the event is set aside; `after` is the number of the next.
    async fn apply_guarded(&mut self, step: Step, skip: u64, client: &Client) -> Result<()> {
        let (position, after) = match &step {
            Step::Row(draft) => (draft.position(), draft.next_event()),
            Step::Message(draft) => (draft.position, draft.position.index + 1),
            Step::Begin(_) | Step::Truncate(_) | Step::Commit(_) | Step::Idle(_) => return Ok(()),
        };
        let applied = caught(async {
            match step {
                Step::Row(draft) => self.deliver_change(*draft, skip, client).await,
                Step::Message(draft) => self.deliver_message(*draft, skip).await,
                Step::Begin(_) | Step::Truncate(_) | Step::Commit(_) | Step::Idle(_) => Ok(()),
            }
        });
        let panic = match applied.await {
            Ok(applied) => return applied,
            Err(panic) => panic,
        };
        self.pass_over(Some(position), &panic);
        self.ledger.handed_on(after);
        Ok(())
    }

    /// Carries out steps that lack nothing any more.
    async fn apply(&mut self, steps: impl Iterator<Item = Step>, client: &Client) -> Result<()> {
        for step in steps {
            match (step, self.session.opened) {
                (Step::Begin(commit_lsn), _) => {
                    self.acts.begin(commit_lsn);
                    self.session.opened = self.ledger.open(commit_lsn);
                }
                (step @ (Step::Row(_) | Step::Message(_)), Opened::Read { skip }) => {
                    self.apply_guarded(step, skip, client).await?
                }
                (Step::Commit(end_lsn), Opened::Read { .. }) => {
                    self.hooks.moved.forget();
                    self.owners.end_transaction(end_lsn);
                    self.record_acts();
                    self.ledger.close(end_lsn);
                }
                (Step::Truncate(truncation), Opened::Read { skip }) => {
                    self.apply_truncate(*truncation, skip).await?
                }
                // What owners are known by follows these changes too: it may have been dropped since they were read.
                (Step::Row(draft), Opened::Known) => {
                    self.follow_owners(&draft.change, client).await?;
                }
                (Step::Commit(end_lsn), Opened::Known) => {
                    // An earlier session has recorded them.
                    self.acts.end();
                    self.owners.end_transaction(end_lsn);
                }
                (Step::Truncate(truncation), Opened::Known) => {
                    self.keep_owners();
                    for (table, _) in &truncation.tables {
                        self.owners.empty(&table.relation.table());
                    }
                }
                (Step::Message(_), Opened::Known) => {}
                (Step::Idle(wal_end), _) => self.ledger.idle(wal_end),
            }
        }
        Ok(())
    }

    /// Looks up what the changes of a batch lack, if an event may come from them that a hook listens to. Returns how
    /// many of the steps, from the first on, are complete. These are not all where large values would take too much
    /// memory at once, or where the stream has to go on before owners are known.
    async fn look_up_missing(&mut self, steps: &mut [Step], client: &Client) -> Result<usize> {
        let all = self.find_owners(steps, client).await?;
        let steps = steps.get_mut(..all).unwrap_or_default();
        let drafts = steps
            .iter_mut()
            .enumerate()
            .filter_map(|(at, step)| match step {
                Step::Row(draft) => Some((at, draft)),
                Step::Begin(_)
                | Step::Truncate(_)
                | Step::Message(_)
                | Step::Commit(_)
                | Step::Idle(_) => None,
            });
        let mut drafts: Vec<(usize, &mut Box<ChangeDraft>)> = drafts.collect();
        let batch_has_hooks = drafts.iter().any(|(_, draft)| draft.table.holds_hooks);
        drafts.retain(|(_, draft)| self.is_wanted(draft, batch_has_hooks));
        // What stands behind others is asked about when its turn comes.
        drafts.retain_mut(|(_, draft)| {
            let waits = self.waiting.has(&draft.change.relation);
            draft.unanswered = waits.then(Refusal::behind_others);
            !waits
        });
        let (places, mut drafts): (Vec<usize>, Vec<&mut ChangeDraft>) = drafts
            .into_iter()
            .map(|(at, draft)| (at, &mut **draft))
            .unzip();
        let ready = self.look_up(&mut drafts, client).await?;
        Ok(places.get(ready).copied().unwrap_or(all))
    }

    /// Looks up what these changes lack, and notes with each whether the database could not answer for it now. Returns
    /// how many, from the first on, are complete.
    async fn look_up(&mut self, drafts: &mut [&mut ChangeDraft], client: &Client) -> Result<usize> {
        let filled = read_again(client, drafts).await;
        let filled = filled.context("read again what the stream left out")?;
        let ready = filled.done;
        let drafts = drafts.get_mut(..ready).unwrap_or_default();
        let owned = drafts.iter().filter(|draft| draft.whose.is_none());
        let owned = owned.filter_map(|draft| draft.owned());
        let found = self.owners.look_up(client, owned).await;
        found.context("look up owners")?;
        let changes = drafts.iter().map(|draft| &draft.change);
        self.casts.fill(&mut self.computing, changes).await?;
        self.ask_permissions(drafts).await?;
        let bare = drafts.iter_mut().map(|draft| {
            let ChangeDraft { change, added, .. } = &mut **draft;
            added.clear();
            (&*change, added)
        });
        let not_now = self.enrichment.look_up(bare.collect()).await?;
        let is_all_there = filled.refused.is_empty() && not_now.is_empty();
        for draft in &mut *drafts {
            let refused = |all: &HashMap<TableName, Refusal>| match is_all_there {
                true => None,
                false => all.get(&draft.change.relation.table()).cloned(),
            };
            let gap = refused(&filled.refused);
            let gap = gap.filter(|gap| gap.is_for_now() && toast::has_gap(&draft.change));
            let not_now = refused(&not_now);
            let owner = self.ownership(draft);
            draft.unanswered = gap.or(not_now).or(match owner {
                Ownership::Unknown(refusal) if refusal.is_for_now() => Some(refusal),
                Ownership::Unknown(_)
                | Ownership::Untold
                | Ownership::Owner(_)
                | Ownership::Nobody => None,
            });
        }
        for (table, refusal) in filled.refused {
            if !refusal.is_for_now() {
                let what = "what the stream left out of a row cannot be read; it is named in \"unchanged\"";
                self.tell_once(&table, "gap", &format!("{what}: {}", refusal.reason));
            }
        }
        Ok(ready)
    }

    /// Warns of something about a table, the first time that this kind of thing is the matter with it.
    fn tell_once(&mut self, table: &TableName, kind: &'static str, what: &str) {
        if self.told.insert((table.clone(), kind)) {
            tracing::warn!(%table, "{what} (said once)");
        }
    }
}
