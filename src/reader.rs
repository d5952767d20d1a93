//! Reads the stream: change → event → hooks → deliveries, in commit order.
//!
//! A batch goes through three steps. Its messages become changes; what they lack (owners, values that were left out) is
//! looked up for all of them at once; then each is mapped, matched, rendered and handed to its couriers, one after the
//! other. Hooks change in that last step too, and so exactly between the changes where their rows stand.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_postgres::Client;

use crate::{
    change::{Change, Image, RowChange, Transaction, Tuple},
    config::{Config, GAP, Order, TableName},
    delivery::{
        Couriers, Delivery, Desk, Held,
        backlog::Backlog,
        guard::Guard,
        lane::Place,
        ledger::{Ledger, Opened},
    },
    event::{Event, EventMap, Position, Rule, Subject, TableEvents},
    filter::{Facts, Filter},
    hook::{
        self, Hook, HookId,
        index::{Audience, Index},
        off::OffHooks,
        row::{self, HookColumns, HookRow, Known, Streamed},
    },
    journal::Entry,
    message::{self, Message},
    owner::Owners,
    payload::{self, Renderer},
    postgres::{Lsn, gap::Gap, pgoutput, relation::Relation, stream::Received, toast},
    signature,
    store::Due,
};

/// The budget is counted in pages, because a semaphore cannot count to the bytes of a large one.
const PAGE: usize = 1024;
/// So long the reader waits for memory before it has somebody's deliveries parked.
const MEMORY_PATIENCE: Duration = Duration::from_millis(250);
/// What a delivery costs beside its body.
const DELIVERY_BYTES: usize = 512;

/// Turns the stream into deliveries. It outlives sessions: what an earlier one has handed on is not handed on again.
pub struct Reader {
    events: EventMap,
    hooks: Hooks,
    owners: Owners,
    couriers: Couriers,
    desk: Arc<Desk>,
    ledger: Ledger,
    memory: Arc<Semaphore>,
    pages: u32,
    system_identifier: String,
    session: Session,
    /// Tables whose owner could not be told, so that it is said once.
    ownerless: HashSet<TableName>,
    /// How many messages were no events.
    misunderstood: u64,
}

/// The hooks, and what it takes to make one of a row.
struct Hooks {
    index: Index,
    columns: HookColumns,
    events: Vec<Arc<str>>,
    file_hooks: Vec<String>,
    off: OffHooks,
    delivery: Arc<crate::config::Delivery>,
    guard: Guard,
}

/// What one replication session has told.
struct Session {
    tables: HashMap<u32, Arc<Table>>,
    transaction: Option<Open>,
    /// What the ledger said of the transaction whose changes are handed on.
    opened: Opened,
}

/// The transaction that is being read.
struct Open {
    transaction: Arc<Transaction>,
    /// The number of its next event.
    next_event: u64,
}

/// A table of the stream, and what its rows mean to us.
struct Table {
    relation: Arc<Relation>,
    events: Option<Arc<TableEvents>>,
    holds_hooks: bool,
}

/// A message, as far as it matters.
enum Step {
    Begin(Lsn),
    Row(Box<Draft>),
    Message(Box<Note>),
    Commit(Lsn),
    Idle(Lsn),
}

/// A message on its way to becoming an event.
struct Note {
    message: Message,
    name: Arc<str>,
    all_owners: bool,
    position: Position,
    commit_time: SystemTime,
}

/// A change on its way to becoming events.
struct Draft {
    change: Change,
    table: Arc<Table>,
    /// The number of the first event that it may give rise to.
    first_event: u64,
    /// Which of its table's rules it satisfies, `when` not yet asked.
    rules: Vec<usize>,
}

impl Reader {
    /// A reader for `config` that hands on to `desk` and books in `ledger`. It has the hooks of the file.
    ///
    /// # Errors
    /// When a hook or an expression of the file cannot be used.
    pub fn new(config: &Config, desk: Arc<Desk>, ledger: Ledger, off: OffHooks) -> Result<Self> {
        let events = EventMap::new(config)?;
        let owners = config
            .tables
            .iter()
            .filter_map(|rules| rules.owner.as_ref());
        let owners = Owners::new(owners, events.tables().cloned());
        let guard = Guard::new(config.delivery.allow_http, &config.delivery.allow_networks);
        let mut index = Index::new(events.names().iter().cloned());
        for hook in &config.hooks {
            guard
                .check_url(&hook.target)
                .with_context(|| format!("hook {:?}", hook.name))?;
            let checked = hook::from_file(hook).map_err(anyhow::Error::msg);
            index.put(Arc::new(
                checked.with_context(|| format!("hook {:?}", hook.name))?,
            ));
        }
        let pages = u32::try_from(config.delivery.memory.div_ceil(PAGE)).unwrap_or(u32::MAX);
        Ok(Self {
            hooks: Hooks {
                index,
                columns: HookColumns::from_config(config),
                events: events.names().to_vec(),
                file_hooks: config.hooks.iter().map(|hook| hook.name.clone()).collect(),
                off,
                delivery: Arc::new(config.delivery.clone()),
                guard,
            },
            events,
            owners,
            couriers: Couriers::new(Arc::clone(&desk)),
            desk,
            ledger,
            memory: Arc::new(Semaphore::new(pages as usize)),
            pages,
            system_identifier: String::new(),
            session: Session::default(),
            ownerless: HashSet::new(),
            misunderstood: 0,
        })
    }

    /// Adds the hooks of the hook table, as they are where the slot stands. Returns how many hooks there are in all.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn load_hooks(&mut self, client: &Client, slot: &str) -> Result<usize> {
        let off = self.desk.store.off_hooks(slot).await?;
        let rows = row::load_all(client, &self.hooks.columns).await?;
        let is_noted = off.is_some();
        self.hooks.off.begin(off.unwrap_or_default());
        if !is_noted {
            // The slot is new, and hooks are as they were when it was made.
            let off = rows.iter().filter(|row| !row.active);
            off.for_each(|row| self.hooks.off.turn(&row.id, true, Lsn::ZERO));
        }
        for row in rows {
            if self.hooks.off.contains(&row.id) {
                self.drop_hook(&row.id);
            } else {
                self.put_hook(row);
            }
        }
        Ok(self.hooks.index.len())
    }

    /// Takes up what is parked from before we started.
    ///
    /// # Errors
    /// When the tables cannot be read; then nothing has been taken up.
    pub async fn load_backlog(&mut self) -> Result<()> {
        let store = &self.desk.store;
        store.reclaim().await?;
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
    pub async fn look_for_due(&mut self) -> Result<()> {
        for (id, parked) in self.desk.store.backlog().await? {
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
    pub fn call(&mut self, due: Due) {
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
    pub async fn forget_old(&mut self) -> Result<()> {
        let retention = self.hooks.delivery.retention;
        let forgotten = self
            .desk
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
    pub async fn tell_gap(&mut self, gap: &Gap, system_identifier: &str, found: SystemTime) {
        let payload = serde_json::json!({
            "slot": gap.slot,
            "cause": gap.kind(),
            "from_lsn": gap.from.to_string(),
            "to_lsn": gap.to.to_string(),
            "description": gap.to_string(),
        });
        let Some((name, all_owners)) = self.events.of_message(GAP) else {
            return;
        };
        let note = Note {
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
        self.announce(note, 0).await;
    }

    /// A new session begins, at the beginning of a transaction.
    pub fn begin_session(&mut self, system_identifier: String) {
        self.system_identifier = system_identifier;
        self.session = Session::default();
    }

    /// Reads a batch. When this returns, each of its deliveries is with a courier, and the ledger knows of it.
    ///
    /// May be dropped while it waits for memory, at the end of everything.
    ///
    /// # Errors
    /// When something cannot be looked up. The ledger knows what has been handed on before, and a new session that sends the
    /// batch again goes on from there.
    pub async fn read(&mut self, batch: Vec<Received>, client: &Client) -> Result<()> {
        let mut steps = Vec::with_capacity(batch.len());
        for received in batch {
            steps.extend(self.step(received, client).await?);
        }
        self.complete(&mut steps, client).await?;
        for step in steps {
            match (step, self.session.opened) {
                (Step::Begin(commit_lsn), _) => self.session.opened = self.ledger.open(commit_lsn),
                (Step::Row(draft), Opened::Read { skip }) => {
                    self.hand_on(*draft, skip, client).await?
                }
                (Step::Commit(end_lsn), Opened::Read { .. }) => self.ledger.close(end_lsn),
                (Step::Message(note), Opened::Read { skip }) => self.announce(*note, skip).await,
                (Step::Row(_) | Step::Message(_) | Step::Commit(_), Opened::Known) => {}
                (Step::Idle(wal_end), _) => self.ledger.idle(wal_end),
            }
        }
        self.owners.forget();
        Ok(())
    }

    /// What a message means, with what only the session knows: the table's columns, the transaction.
    async fn step(&mut self, received: Received, client: &Client) -> Result<Option<Step>> {
        let message = match received {
            Received::Keepalive { wal_end } => return Ok(Some(Step::Idle(wal_end))),
            Received::Message(message) => message,
        };
        let (oid, row) = match message {
            pgoutput::Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                let transaction = Arc::new(Transaction {
                    commit_lsn,
                    commit_time,
                    xid,
                });
                self.session.transaction = Some(Open {
                    transaction,
                    next_event: 0,
                });
                return Ok(Some(Step::Begin(commit_lsn)));
            }
            pgoutput::Message::Commit { end_lsn, .. } => {
                self.session.transaction = None;
                return Ok(Some(Step::Commit(end_lsn)));
            }
            pgoutput::Message::Relation(message) => {
                let relation = Relation::describe(client, message)
                    .await
                    .context("read what a table looks like")?;
                let name = relation.table();
                let table = Table {
                    events: self.events.of_table(&name).cloned(),
                    holds_hooks: name == self.hooks.columns.table,
                    relation: Arc::new(relation),
                };
                self.session
                    .tables
                    .insert(table.relation.oid, Arc::new(table));
                return Ok(None);
            }
            pgoutput::Message::Insert { relation, new } => (relation, RowChange::Insert { new }),
            pgoutput::Message::Update { relation, old, new } => {
                (relation, RowChange::Update { old, new })
            }
            pgoutput::Message::Delete { relation, old } => (relation, RowChange::Delete { old }),
            pgoutput::Message::Truncate { relations, .. } => {
                let tables = relations
                    .iter()
                    .filter_map(|oid| self.session.tables.get(oid));
                let names: Vec<String> = tables
                    .map(|table| table.relation.table().to_string())
                    .collect();
                tracing::warn!(
                    tables = names.join(", "),
                    "truncated; no event tells of it, row by row or otherwise"
                );
                return Ok(None);
            }
            pgoutput::Message::Message {
                transactional,
                prefix,
                content,
                ..
            } => {
                let ours = prefix == message::PREFIX;
                return Ok(ours.then(|| self.note(transactional, &content)).flatten());
            }
            pgoutput::Message::Origin { .. } | pgoutput::Message::Type { .. } => return Ok(None),
        };
        self.draft(oid, row)
            .map(|draft| Some(Step::Row(Box::new(draft))))
    }

    /// What SQL says. It takes a number among the events of its transaction whatever it says, so that numbers depend on the
    /// WAL alone.
    fn note(&mut self, transactional: bool, content: &Bytes) -> Option<Step> {
        let open = self.session.transaction.as_mut().filter(|_| transactional);
        let Some(open) = open else {
            tracing::warn!(
                "a message of SQL outside of any transaction is left out; pg_logical_emit_message needs true as its first argument"
            );
            return None;
        };
        let position = Position {
            commit_lsn: open.transaction.commit_lsn,
            index: open.next_event,
        };
        open.next_event += 1;
        let known = Message::parse(content).and_then(|message| {
            let (name, all_owners) = self
                .events
                .of_message(&message.event)
                .ok_or_else(|| format!("[events] has no custom event {:?}", message.event))?;
            Ok((Arc::clone(name), all_owners, message))
        });
        match known {
            Ok((name, all_owners, message)) => Some(Step::Message(Box::new(Note {
                message,
                name,
                all_owners,
                position,
                commit_time: open.transaction.commit_time,
            }))),
            Err(reason) => {
                self.misunderstood += 1;
                tracing::warn!(
                    reason,
                    commit_lsn = %position.commit_lsn,
                    so_far = self.misunderstood,
                    "a message of SQL is no event, and is left out"
                );
                None
            }
        }
    }

    fn draft(&mut self, oid: u32, row: RowChange) -> Result<Draft> {
        let table = self.session.tables.get(&oid);
        let table =
            Arc::clone(table.with_context(|| {
                format!("a row of table {oid}, of which the stream has not told")
            })?);
        let open = self
            .session
            .transaction
            .as_mut()
            .context("a row outside of any transaction")?;
        let mut change = Change {
            relation: Arc::clone(&table.relation),
            row,
            transaction: Arc::clone(&open.transaction),
        };
        change.pad();
        let first_event = open.next_event;
        let rules = table
            .events
            .as_ref()
            .map_or(&[][..], |events| events.rules(&change.row));
        open.next_event += rules.len() as u64;
        let touched = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.touches(&change));
        let rules = touched.map(|(number, _)| number).collect();
        change.fill_from_old();
        Ok(Draft {
            change,
            table,
            first_event,
            rules,
        })
    }

    /// Looks up what the changes of a batch lack, as far as they will become events that a hook may hear.
    async fn complete(&mut self, steps: &mut [Step], client: &Client) -> Result<()> {
        let drafts = steps.iter_mut().filter_map(|step| match step {
            Step::Row(draft) => Some(draft),
            Step::Begin(_) | Step::Message(_) | Step::Commit(_) | Step::Idle(_) => None,
        });
        let mut drafts: Vec<&mut Box<Draft>> = drafts.collect();
        if !drafts.iter().any(|draft| draft.table.holds_hooks) {
            let heard = |draft: &Draft| {
                draft
                    .rules()
                    .any(|(_, rule)| self.hooks.index.hears(&rule.name))
            };
            drafts.retain(|draft| heard(draft));
        }
        drafts.retain(|draft| !draft.rules.is_empty());
        let owned = drafts.iter().filter_map(|draft| {
            Some((draft.table.events.as_ref()?.owner.as_ref()?, &draft.change))
        });
        self.owners.look_up(client, owned).await?;
        let gaps = drafts
            .into_iter()
            .map(|draft| &mut draft.change)
            .filter(|change| toast::has_gap(change));
        toast::fill(client, gaps.collect()).await
    }

    /// Makes the change's events and deliveries, but for those before `skip`, which an earlier session has handed on.
    async fn hand_on(&mut self, draft: Draft, skip: u64, client: &Client) -> Result<()> {
        let table = Arc::clone(&draft.table);
        if table.holds_hooks {
            self.follow_hook(&draft.change, client).await?;
        }
        self.owners.follow(&draft.change);
        let Some(events) = &table.events else {
            return Ok(());
        };
        let owner = if draft.rules.is_empty() {
            None
        } else {
            self.owners.owner(events.owner.as_ref(), &draft.change)
        };
        let numbered: Vec<usize> = draft.rules;
        let rules = events.rules(&draft.change.row);
        let after = draft.first_event + rules.len() as u64;
        let change = Arc::new(draft.change);
        for number in numbered {
            let (Some(rule), index) = (rules.get(number), draft.first_event + number as u64) else {
                continue;
            };
            if index < skip || !self.hooks.index.hears(&rule.name) {
                continue;
            }
            if owner.is_none() && !rule.all_owners {
                self.tell_ownerless(&change.relation.table());
            }
            let event = Arc::new(events.event(rule, &change, owner.clone(), index));
            self.deliver(&event, rule.all_owners, rule.when.as_ref())
                .await;
        }
        self.ledger.handed_on(after);
        Ok(())
    }

    /// Makes the message's deliveries, unless an earlier session has handed them on.
    async fn announce(&mut self, note: Note, skip: u64) {
        let Note {
            message,
            name,
            all_owners,
            position,
            commit_time,
        } = note;
        if position.index >= skip && self.hooks.index.hears(&name) {
            let event = Arc::new(Event {
                name,
                owner: message.owner.as_deref().map(Arc::from),
                subject: Subject::Message(Arc::new(message)),
                position,
                commit_time,
            });
            self.deliver(&event, all_owners, None).await;
        }
        self.ledger.handed_on(position.index + 1);
    }

    /// Gives an event to all hooks that hear it and want it.
    async fn deliver(&mut self, event: &Arc<Event>, all_owners: bool, when: Option<&Filter>) {
        let audience = if all_owners {
            Audience::Everyone
        } else {
            Audience::Owner(event.owner.as_deref())
        };
        let about = match &event.subject {
            Subject::Message(message) => message.about.as_deref(),
            Subject::Row { .. } => None,
        };
        let hooks: Vec<Arc<Hook>> = self
            .hooks
            .index
            .matches(&event.name, audience, event.commit_time)
            .filter(|hook| about != Some(hook.id.as_str()))
            .cloned()
            .collect();
        if hooks.is_empty() {
            return;
        }
        let filtered = when.is_some() || hooks.iter().any(|hook| hook.filter.is_some());
        let facts = filtered.then(|| facts(event));
        let wanted = |filter: Option<&Filter>, whose: &dyn std::fmt::Display| {
            match (filter, &facts) {
            (Some(filter), Some(facts)) => filter.accepts(facts).unwrap_or_else(|error| {
                tracing::warn!(event = %event.name, filter_of = %whose, %error, "a filter gave no answer; the event is left out");
                false
            }),
            _ => true,
        }
        };
        if !wanted(when, &event.name) {
            return;
        }
        let hooks: Vec<Arc<Hook>> = hooks
            .into_iter()
            .filter(|hook| wanted(hook.filter.as_ref(), &hook.id))
            .collect();
        self.desk.journal.tell(|| Entry::Matched {
            event: Arc::clone(event),
            hooks: hooks.iter().map(|hook| hook.id.clone()).collect(),
        });
        let mut renderer = Renderer::new(event);
        for hook in hooks {
            let body = renderer.render(&hook);
            let bytes = body.len() + DELIVERY_BYTES;
            let Some(memory) = self.reserve(bytes).await else {
                return;
            };
            let position = event.position;
            let id = signature::message_id(
                &self.system_identifier,
                position,
                event.commit_time,
                hook.id.as_str(),
            );
            let delivery = Delivery {
                id: id.into(),
                event: Arc::clone(&event.name),
                position,
                commit_time: event.commit_time,
                place: place(hook.delivery.order, event),
                body,
                content_type: payload::CONTENT_TYPE.into(),
                attempts: 0,
                held: Some(Held {
                    ticket: self.ledger.ticket(position.index),
                    memory,
                    since: Instant::now(),
                }),
            };
            self.couriers.hand(&hook, delivery);
        }
    }

    /// Waits until there is memory for so many bytes. One that is larger than all of the budget takes all of it.
    ///
    /// Endpoints that answer free memory all the time. When none is freed for a while, the hook with the most deliveries in
    /// memory has them parked.
    async fn reserve(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pages = u32::try_from(bytes.div_ceil(PAGE))
            .unwrap_or(u32::MAX)
            .min(self.pages);
        loop {
            let waiting = Arc::clone(&self.memory).acquire_many_owned(pages);
            match timeout(MEMORY_PATIENCE, waiting).await {
                Ok(memory) => return memory.ok(),
                Err(_) => self.couriers.shed(),
            }
        }
    }

    async fn follow_hook(&mut self, change: &Change, client: &Client) -> Result<()> {
        let columns = &self.hooks.columns;
        let old = change.before().map(Image::tuple);
        let old = old
            .map(|old| row::id_from_stream(columns, &change.relation, old))
            .transpose()?;
        let at = change.transaction.commit_lsn;
        let Some(new) = change.after() else {
            if let Some(id) = old {
                self.drop_hook(&id);
                self.hooks.off.turn(&id, false, at);
            }
            return Ok(());
        };
        let row = match HookRow::from_stream(columns, &change.relation, new)? {
            Streamed::Row(row) => Some(*row),
            Streamed::Partial(id) => row::load_one(client, columns, &id).await?,
        };
        if let Some(old) = old.filter(|old| row.as_ref().is_none_or(|row| row.id != *old)) {
            self.drop_hook(&old);
            self.hooks.off.turn(&old, false, at);
        }
        if let Some(row) = row {
            self.hooks.off.turn(&row.id, !row.active, at);
            if row.active {
                self.put_hook(row);
            } else {
                self.drop_hook(&row.id);
            }
        }
        Ok(())
    }

    fn put_hook(&mut self, row: HookRow) {
        let id = row.id.clone();
        let was_invalid = row.invalid.clone();
        let known = Known {
            events: &self.hooks.events,
            file_hooks: &self.hooks.file_hooks,
            delivery: &self.hooks.delivery,
            guard: &self.hooks.guard,
        };
        let invalid = match row.into_hook(&known) {
            Ok(hook) => {
                let hook = Arc::new(hook);
                if hook.active {
                    self.couriers.follow(&hook);
                }
                self.hooks.index.put(hook);
                None
            }
            Err(reason) => {
                tracing::warn!(hook = %id, reason, "a hook cannot be used");
                self.drop_hook(&id);
                Some(reason)
            }
        };
        if invalid != was_invalid {
            let desk = Arc::clone(&self.desk);
            self.desk
                .tasks
                .spawn(async move { desk.store.judge(&id, invalid.as_deref()).await });
        }
    }

    fn drop_hook(&mut self, id: &HookId) {
        self.hooks.index.remove(id);
        self.couriers.halt(id);
    }

    fn tell_ownerless(&mut self, table: &TableName) {
        if self.ownerless.insert(table.clone()) {
            tracing::warn!(%table, "a row has no owner, or none that is known: only hooks of everyone hear of it (said once; see rowhook check)");
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            tables: HashMap::new(),
            transaction: None,
            opened: Opened::Known,
        }
    }
}

impl Draft {
    fn rules(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let rules = self
            .table
            .events
            .as_ref()
            .map_or(&[][..], |events| events.rules(&self.change.row));
        self.rules
            .iter()
            .filter_map(|number| Some((*number, rules.get(*number)?)))
    }
}

/// What expressions are asked about an event.
pub fn facts(event: &Event) -> Facts {
    let (new, old) = payload::values(event);
    Facts::new(
        &new,
        &old,
        event.changed_names().as_deref(),
        &event.name,
        event.owner.as_deref(),
    )
}

/// What a delivery of this event must not overtake.
fn place(order: Order, event: &Event) -> Place {
    // A lane that is its own: it waits for nothing, but can still be recognized in the table.
    let Position { commit_lsn, index } = event.position;
    let alone = || Place::One(commit_lsn.0.rotate_left(24) ^ index);
    if order != Order::Row {
        return if order == Order::Hook {
            Place::One(0)
        } else {
            alone()
        };
    }
    let Some(change) = event.change() else {
        return alone();
    };
    let lane = |tuple: &Tuple| change.relation.lane(tuple);
    let old = change.before().map(Image::tuple).and_then(lane);
    match (old, change.after().and_then(lane)) {
        (Some(old), Some(new)) => Place::both(old, new),
        (Some(lane), None) | (None, Some(lane)) => Place::One(lane),
        (None, None) => alone(),
    }
}
