//! From a change to its deliveries: its events are matched with hooks, rendered, and handed to couriers.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_postgres::Client;

use super::{
    Reader,
    crowds::{Late, TURN, bytes_of},
    guarded::Guarded,
    listener::Listener,
    step::{ChangeDraft, MessageDraft, Permissions},
    unread::{Filtered, UNREAD},
    waiting::Waited,
};
use crate::{
    config::Order,
    delivery::{
        Delivery, Held, Unfit, about,
        id::message_id,
        lane::Place,
        ledger::Ticket,
        memory_budget::{Permit, delivery_bytes},
        whose::Whose,
    },
    event::{Event, Position, Rule, Subject},
    expression::filter::{Facts, Filter, STEPS},
    hook::{Hook, Origin, index::Audience},
    journal::Entry,
    lookup::{
        owner::{Owner, Ownership},
        permission::{Answer, VisibilityCheck},
    },
    panics::{Panic, caught, caught_now},
    payload::{content_type, facts::facts, outline::Outline},
    postgres::{
        TableName,
        equality::Equality,
        fault::Fault,
        tuple::{Image, Tuple},
    },
};

/// How long the reader waits for memory before it makes couriers park deliveries.
const MEMORY_PATIENCE: Duration = Duration::from_millis(250);
/// A row of more bytes than this is charged to the memory budget while it is delivered. Smaller rows are covered by
/// what the stream may read ahead.
const LARGE_ROW: usize = 1 << 20;

/// After so many steps of filters and templates, the reader lets others use its thread.
pub(super) const STEPS_AT_ONCE: u64 = 100_000;

/// Which of the hooks that listen to an event receive it.
pub(super) struct Recipients<'a> {
    /// Hooks of every owner, and not only those of the event's owner.
    pub(super) all_owners: bool,
    /// The expression of the event's rule.
    pub(super) when: Option<&'a Filter>,
    /// Whether owners may see the event's row.
    pub(super) permissions: &'a Permissions,
    /// The id of the only hook; `None`: all that listen.
    pub(super) only: Option<&'a str>,
    /// The event had to wait; `None`: it is delivered at its place in the stream.
    pub(super) waited: Option<Waited>,
}

/// Hooks that are sent an event one after the other.
struct Turn {
    /// The owner of all of them, where it is known to be one.
    owner: Option<Arc<str>>,
    listeners: Vec<Listener>,
}

/// An event that is being rendered for its hooks, and what that takes.
struct Rendering<'a> {
    event: &'a Event,
    renderer: Guarded<'a>,
    /// What it is about, for when that is forgotten.
    about: Arc<[i64]>,
    /// The memory of the row, if that is large.
    row: Option<Permit>,
    waited: Option<Waited>,
}

/// What was made of an event for a hook.
struct Made {
    body: Bytes,
    unfit: Option<Unfit>,
    about: Arc<[i64]>,
    outline: Option<Arc<Outline>>,
}

/// A body for a hook, as it was rendered.
pub(super) struct Rendered {
    body: Bytes,
    panic: Option<Panic>,
    outline: Option<Arc<Outline>>,
}

impl Rendered {
    /// The memory that the delivery takes.
    pub(super) fn bytes(&self, hook: &Hook) -> usize {
        delivery_bytes(self.body.len(), hook) + bytes_of_outline(self.outline.as_ref())
    }
}

fn bytes_of_outline(outline: Option<&Arc<Outline>>) -> usize {
    outline.map_or(0, |outline| outline.bytes())
}

impl Reader {
    /// Delivers the events of a change, except those with numbers below `skip`, which an earlier session has delivered.
    /// Changes of the hook table and of the owners' table take effect here too.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub(super) async fn deliver_change(
        &mut self,
        draft: ChangeDraft,
        skip: u64,
        client: &Client,
    ) -> Result<()> {
        let table = Arc::clone(&draft.table);
        if table.holds_hooks {
            self.apply_hook_change(&draft.change, client).await?;
        }
        if table.holds_owners {
            self.apply_owner_change(&draft.change);
        }
        self.follow_owners(&draft.change, client).await?;
        let Some(events) = &table.events else {
            return Ok(());
        };
        let after = draft.first_event + events.rules(&draft.change.row).len() as u64;
        if self.has_to_wait(&draft) {
            self.set_aside(draft, skip);
            self.ledger.handed_on(after);
            return self.wait_for_room(client).await;
        }
        self.deliver_events(draft, skip, None).await?;
        self.ledger.handed_on(after);
        Ok(())
    }

    /// Delivers the events of a change, except those with numbers below `skip`. `waited` says that it was set aside
    /// before.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub(super) async fn deliver_events(
        &mut self,
        draft: ChangeDraft,
        skip: u64,
        waited: Option<Waited>,
    ) -> Result<()> {
        let Some(events) = draft.table.events.clone() else {
            return Ok(());
        };
        let owner = match draft.owner.clone() {
            Some(text) => Ownership::Owner(Owner {
                text,
                // It comes as a text, and texts of one UUID differ.
                equality: Equality::Uuid,
            }),
            None if draft.rules.is_empty() => Ownership::Nobody,
            None => self.ownership(&draft),
        };
        let (numbered, added) = (draft.rules, draft.added);
        let (permissions, only) = (draft.permissions, draft.only);
        let rules = events.rules(&draft.change.row);
        let change = Arc::new(draft.change);
        for number in numbered {
            let (Some(rule), index) = (rules.get(number), draft.first_event + number as u64) else {
                continue;
            };
            if index < skip || (waited.is_none() && !self.hooks.index.has_hooks_for(&rule.name)) {
                continue;
            }
            let owner = self.known_owner(&owner, rule, &change.relation.table());
            let event = events.event(rule, &change, added.clone(), owner, index);
            let recipients = Recipients {
                all_owners: rule.all_owners,
                when: rule.when.as_deref(),
                permissions: &permissions,
                only: only.as_deref(),
                waited,
            };
            self.deliver_event(&Arc::new(event), recipients).await?;
        }
        Ok(())
    }

    /// The owner of an event. Where it is unknown or there is none, this goes on record.
    fn known_owner(&mut self, owner: &Ownership, rule: &Rule, table: &TableName) -> Option<Owner> {
        match owner {
            Ownership::Owner(owner) => return Some(owner.clone()),
            Ownership::Nobody if rule.all_owners => {}
            Ownership::Nobody => self.tell_once(
                table,
                "nobody's",
                "a row has no owner, or none that is known: only hooks of everyone hear of it; see rowhook check",
            ),
            Ownership::Unknown(refusal) => {
                let why = format!("{}; {}", refusal.reason, remedy(refusal.fault));
                self.tell_unknown_owner(rule, table, "unknown owner", &why);
            }
            Ownership::Untold => self.tell_unknown_owner(
                rule,
                table,
                "untold owner",
                "a row on its owner's path may have changed since, and the stream is too far behind to tell",
            ),
        }
        None
    }

    /// Puts on record that the owner of an event cannot be found out, and why.
    fn tell_unknown_owner(
        &mut self,
        rule: &Rule,
        table: &TableName,
        kind: &'static str,
        why: &str,
    ) {
        self.context.meters.owner_unknown.fetch_add(1, Relaxed);
        let heard = match rule.all_owners {
            true => "the event says that it has none",
            false => "only hooks of everyone hear of it",
        };
        let what = format!("whose row it is cannot be found out, so {heard}: {why}");
        self.tell_once(table, kind, &what);
    }

    /// Delivers the event of a message, unless its number is below `skip`: then an earlier session has delivered it.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub(super) async fn deliver_message(&mut self, draft: MessageDraft, skip: u64) -> Result<()> {
        let MessageDraft {
            message,
            name,
            all_owners,
            position,
            commit_time,
        } = draft;
        if let Some(hook) = message.keeps() {
            self.keep_hearing(hook, position.commit_lsn);
        }
        if position.index >= skip && self.hooks.index.has_hooks_for(&name) {
            let event = Arc::new(Event {
                name,
                owner: message.owner.as_deref().map(Arc::from),
                subject: Subject::Message(Arc::new(message)),
                position,
                commit_time,
                // It comes as a text, and texts of one UUID differ.
                owner_equality: Equality::Uuid,
            });
            let recipients = Recipients {
                all_owners,
                when: None,
                permissions: &Permissions::new(),
                only: None,
                waited: None,
            };
            self.deliver_event(&event, recipients).await?;
        }
        self.ledger.handed_on(position.index + 1);
        Ok(())
    }

    /// Delivers an event to its recipients.
    pub(super) async fn deliver_event(
        &mut self,
        event: &Arc<Event>,
        recipients: Recipients<'_>,
    ) -> Result<()> {
        let listening = match caught(self.find_listeners(event, &recipients)).await {
            Ok(listening) => listening?,
            Err(panic) => self.listeners_after_panic(event, &recipients, &panic),
        };
        let (mut rendering, mut is_wanted) = (None, false);
        self.refill(&listening);
        for (number, turn) in self.turns(listening).into_iter().enumerate() {
            if number > 0 {
                // Those before it are sent meanwhile.
                yield_now().await;
            }
            let waited = recipients.waited;
            is_wanted |= self.take_turn(event, turn, waited, &mut rendering).await;
        }
        if is_wanted {
            self.context.meters.events.fetch_add(1, Relaxed);
        }
        drop(rendering);
        self.serve_crowd(None);
        self.wait_for_crowds().await;
        Ok(())
    }

    /// The hooks in the order in which they are sent an event. First come all on which nothing is evaluated, and those
    /// of owners who have not spent much lately; then the others, one owner after the other. Filters that are not
    /// compiled yet come last too, and so do crowds.
    fn turns(&self, listening: Vec<Listener>) -> Vec<Turn> {
        let now = Instant::now().into_std();
        let crowds = crowds(&listening);
        let comes_last = |listener: &Listener| {
            let owner = listener.hook.owner.as_ref();
            let filter = listener.hook.filter.as_ref();
            let is_costly = listener.is_asked()
                && (self.allowances.has_spent_much(owner, now)
                    || filter.is_some_and(|filter| !filter.is_compiled()));
            let is_crowd = |owner: &Arc<str>| crowds.contains(owner) || self.crowds.has(owner);
            is_costly || owner.is_some_and(is_crowd)
        };
        let (mut last, first): (Vec<_>, Vec<_>) = listening.into_iter().partition(comes_last);
        last.sort_by(|one, two| one.hook.owner.cmp(&two.hook.owner));
        let mut turns = vec![Turn {
            owner: None,
            listeners: first,
        }];
        let mut before: Option<Option<Arc<str>>> = None;
        for listener in last {
            let owner = listener.hook.owner.clone();
            match turns.last_mut() {
                Some(turn) if before.as_ref() == Some(&owner) => turn.listeners.push(listener),
                _ => turns.push(Turn {
                    owner: owner.clone(),
                    listeners: vec![listener],
                }),
            }
            before = Some(owner);
        }
        turns
    }

    /// Gives the owners of these hooks what has come back to them by now.
    fn refill(&mut self, listening: &[Listener]) {
        let now = Instant::now().into_std();
        let asked = listening.iter().filter(|one| one.is_asked());
        let mut owners: HashMap<Option<&Arc<str>>, u64> = HashMap::new();
        for listener in asked {
            *owners.entry(listener.hook.owner.as_ref()).or_default() += 1;
        }
        for (owner, hooks) in owners {
            self.allowances.refill(owner, hooks, now);
        }
    }

    /// Finds out which of these hooks want the event, and sends it to them. Returns whether any of them does.
    async fn take_turn<'a>(
        &mut self,
        event: &'a Arc<Event>,
        Turn { owner, listeners }: Turn,
        waited: Option<Waited>,
        rendering: &mut Option<Rendering<'a>>,
    ) -> bool {
        let chosen = self.choose(event, listeners).await;
        let Some(first) = chosen.first() else {
            return false;
        };
        self.context.journal.record(|| Entry::Matched {
            event: Arc::clone(event),
            hooks: chosen.iter().map(|one| one.hook.id.clone()).collect(),
        });
        let crowd = owner.filter(|owner| chosen.len() > TURN || self.crowds.has(owner));
        if let Some(owner) = crowd {
            if bytes_of(event) <= LARGE_ROW {
                let ticket = self.ticket(event, &first.hook, waited);
                let late = Late {
                    event: Arc::clone(event),
                    listeners: chosen.into(),
                    ticket,
                };
                self.crowds.push(&owner, late);
                return true;
            }
            // What is that large is not kept, and comes after what is. Its memory is not held meanwhile.
            *rendering = None;
            self.finish_crowds().await;
        }
        let rendering = match rendering {
            Some(rendering) => rendering,
            none => none.insert(Rendering {
                event,
                row: self.reserve_for_row(event).await,
                renderer: Guarded::new(event),
                about: about::of_event(event),
                waited,
            }),
        };
        self.render(rendering, chosen).await;
        true
    }

    /// The hooks that listen to an event of which the rule wants to tell, and whose owners may see its row, or may turn
    /// out to: then the delivery is unfit until that is known. All are asked about before the first delivery, so that
    /// an event that fails here is read again as a whole.
    ///
    /// # Errors
    /// When the database cannot be asked.
    async fn find_listeners(
        &mut self,
        event: &Arc<Event>,
        recipients: &Recipients<'_>,
    ) -> Result<Vec<Listener>> {
        let mut hooks = self.listeners(event, recipients);
        if hooks.is_empty() {
            return Ok(Vec::new());
        }
        let flaw = match is_told(event, recipients.when) {
            Ok(true) => None,
            Ok(false) => return Ok(Vec::new()),
            Err(flaw) => Some(Arc::from(flaw)),
        };
        if recipients.waited.is_some() {
            let now = hooks.into_iter();
            hooks = now.filter_map(|hook| self.as_now(hook)).collect();
        }
        let mut listening = Vec::with_capacity(hooks.len());
        for hook in hooks {
            let (answer, asked) = self.may_see(&hook, event, recipients.permissions).await?;
            let unfit = match (&flaw, answer) {
                (_, Answer::No) => {
                    tracing::debug!(hook = %hook.id, event = %event.name, "its owner may not see the row");
                    continue;
                }
                (Some(flaw), _) => Some(Unfit::Flawed(Arc::clone(flaw))),
                (None, Answer::Unknown(reason)) => Some(Unfit::Doubtful(reason.into())),
                (None, Answer::Yes) => None,
            };
            listening.push(Listener { hook, unfit, asked });
        }
        Ok(listening)
    }

    /// All hooks that listen to an event, where finding out which of them receive it has panicked: it goes on record
    /// as dead for each.
    fn listeners_after_panic(
        &self,
        event: &Event,
        recipients: &Recipients<'_>,
        panic: &Panic,
    ) -> Vec<Listener> {
        let flaw: Arc<str> = self.flaw_of_panic(event, None, panic).into();
        let listeners = caught_now(|| {
            let listeners = self.listeners(event, recipients).into_iter();
            let hooks = listeners.map(|hook| Listener {
                hook,
                unfit: Some(Unfit::Flawed(Arc::clone(&flaw))),
                asked: None,
            });
            hooks.collect()
        });
        listeners.unwrap_or_default()
    }

    /// Counts and logs that an event has panicked, for one hook or for all. Returns that as a reason.
    fn flaw_of_panic(&self, event: &Event, hook: Option<&Hook>, panic: &Panic) -> String {
        self.context.meters.panics.event.fetch_add(1, Relaxed);
        let Position { commit_lsn, index } = event.position;
        let hook = hook.map(|hook| hook.id.as_str());
        tracing::error!(event = %event.name, %commit_lsn, index, hook, %panic, "rowhook has a bug; the event is set aside");
        format!("rowhook panicked on the event: {panic}")
    }

    /// Renders the event for each hook, as soon as there is memory for the body, and hands the deliveries to couriers.
    async fn render(&mut self, rendering: &mut Rendering<'_>, chosen: Vec<Listener>) {
        let Rendering {
            event,
            renderer,
            about,
            row,
            waited,
        } = rendering;
        let mut spent = 0;
        for listener in chosen {
            let hook = &listener.hook;
            let beside = bytes_of_outline(renderer.outline(hook).as_ref());
            let expected = delivery_bytes(renderer.expected(hook), hook) + beside;
            let mut memory = self.reserve(row.as_ref(), expected).await;
            let rendered = self.render_one(renderer, hook, &mut spent);
            let bytes = rendered.bytes(hook);
            if bytes > expected {
                drop(memory);
                memory = self.reserve(row.as_ref(), bytes).await;
            } else {
                memory.shrink(bytes);
            }
            let ticket = self.ticket(event, hook, *waited);
            self.hand_on(renderer, about, listener, rendered, ticket, memory);
            breathe(&mut spent).await;
        }
    }

    /// The ticket of an event for a hook: one of those that the change holds where it has waited, and else a new one.
    fn ticket(&self, event: &Event, hook: &Hook, waited: Option<Waited>) -> Ticket {
        let index = event.position.index;
        waited
            .and_then(|waited| self.waiting.ticket(waited, index, &hook.id))
            .unwrap_or_else(|| self.ledger.ticket(index, &hook.id))
    }

    /// Hands the rendered body on to the courier of its hook.
    pub(super) fn hand_on(
        &mut self,
        renderer: &mut Guarded<'_>,
        about: &Arc<[i64]>,
        Listener { hook, unfit, asked }: Listener,
        rendered: Rendered,
        ticket: Ticket,
        memory: Permit,
    ) {
        let event = renderer.event();
        let flaw = match rendered.panic {
            Some(panic) => Some(self.flaw_of_panic(event, Some(&hook), &panic)),
            None => renderer.flaw(&hook),
        };
        let failed = flaw.map(|flaw| Unfit::Flawed(flaw.into()));
        let unfit = match unfit {
            Some(Unfit::Flawed(_)) => unfit,
            Some(Unfit::Doubtful(_)) | None => failed.or(unfit),
        };
        let held = Held::of(&hook, ticket.into(), memory);
        let made = Made {
            body: rendered.body,
            unfit,
            about: Arc::clone(about),
            outline: rendered.outline,
        };
        self.dispatch(&hook, event, made, asked, held);
    }

    /// Lets the courier of a hook know what has become of the hook since the event that it was just handed.
    pub(super) fn catch_up(&mut self, then: &Arc<Hook>) {
        match self.hooks.index.get(&then.id) {
            Some(now) if Arc::ptr_eq(now, then) => {}
            Some(now) if now.active => self.couriers.update(now),
            Some(_) | None => self.couriers.deactivate(&then.id),
        }
    }

    /// The body of the event for a hook. What a template of its owner takes is taken from what the owner has left, and
    /// added to `spent`.
    pub(super) fn render_one(
        &mut self,
        renderer: &mut Guarded<'_>,
        hook: &Hook,
        spent: &mut u64,
    ) -> Rendered {
        let outline = renderer.outline(hook);
        let rendered = |(body, panic)| Rendered {
            body,
            panic,
            outline,
        };
        // Those of hooks.toml are the operator's.
        if !hook.has_own_template() || hook.origin == Origin::File {
            return rendered(renderer.render(hook, &mut { STEPS }));
        }
        let before = self.allowances.left(hook.owner.as_ref());
        let mut left = before;
        let made = renderer.render(hook, &mut left);
        self.allowances.keep(hook.owner.as_ref(), left);
        *spent += before.saturating_sub(left);
        rendered(made)
    }

    /// Has the filters compiled that are not yet. Hooks that turn out to be unusable are left out.
    async fn read_filters(&mut self, turn: Vec<Listener>) -> Vec<Listener> {
        let mut read = Vec::with_capacity(turn.len());
        for mut listener in turn {
            let is_compiled = listener.filter().is_none_or(Filter::is_compiled);
            match self.read_filter(&listener.hook) {
                Filtered::Read => {}
                Filtered::NotYet => listener.unfit = Some(Unfit::Flawed(UNREAD.into())),
                Filtered::Unusable => continue,
            }
            if !is_compiled {
                yield_now().await;
            }
            read.push(listener);
        }
        read
    }

    /// Those of the hooks whose filters accept the event. A hook whose filter failed is among them, with the reason.
    async fn choose(&mut self, event: &Event, turn: Vec<Listener>) -> Vec<Listener> {
        if turn.iter().all(|listener| listener.filter().is_none()) {
            return turn;
        }
        let turn = self.read_filters(turn).await;
        let filters = turn.iter().filter_map(Listener::filter);
        let facts = match caught_now(|| facts(event, filters)) {
            Ok(facts) => facts,
            Err(panic) => Err(self.flaw_of_panic(event, None, &panic)),
        };
        let (mut chosen, mut spent) = (Vec::with_capacity(turn.len()), 0);
        for mut listener in turn {
            if let Some(filter) = listener.filter() {
                let wanted = match &facts {
                    Ok(facts) => {
                        self.filter_wants(&listener.hook, filter, event, facts, &mut spent)
                    }
                    Err(flaw) => Err(flaw.clone()),
                };
                breathe(&mut spent).await;
                match wanted {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(flaw) => listener.unfit = Some(Unfit::Flawed(flaw.into())),
                }
            }
            chosen.push(listener);
        }
        chosen
    }

    /// Does the filter of the hook accept the event? What that takes is taken from what its owner has left, and added
    /// to `spent`.
    ///
    /// # Errors
    /// Why it failed. A panic concerns no other hook.
    fn filter_wants(
        &mut self,
        hook: &Hook,
        filter: &Filter,
        event: &Event,
        facts: &Facts,
        spent: &mut u64,
    ) -> Result<bool, String> {
        let before = self.allowances.left(hook.owner.as_ref());
        let mut left = before;
        let wanted = caught_now(|| filter.accepts_within(facts, &mut left));
        self.allowances.keep(hook.owner.as_ref(), left);
        *spent += before.saturating_sub(left);
        match wanted {
            Ok(wanted) => wanted.map_err(|error| error.to_string()),
            Err(panic) => Err(self.flaw_of_panic(event, Some(hook), &panic)),
        }
    }

    /// A hook that was changed while the event waited is sent it as the hook is now, if it still is that owner's.
    fn as_now(&self, hook: Arc<Hook>) -> Option<Arc<Hook>> {
        let now = self.hooks.index.get(&hook.id)?;
        (now.owner == hook.owner).then(|| Arc::clone(now))
    }

    /// The hooks that listen to an event, whatever their expressions say. For one that has waited, they are as they
    /// were at its place in the stream.
    fn listeners(&self, event: &Event, recipients: &Recipients<'_>) -> Vec<Arc<Hook>> {
        let Recipients {
            all_owners, only, ..
        } = *recipients;
        let audience = if all_owners {
            Audience::Everyone
        } else {
            Audience::Owner(event.owner.as_deref(), event.owner_equality)
        };
        let about = match &event.subject {
            Subject::Message(message) => message.about.as_deref(),
            Subject::Row { .. } => None,
        };
        let index = &self.hooks.index;
        let listening = index.matches(&event.name, audience, event.commit_time);
        let mut listening: Vec<Arc<Hook>> = listening.cloned().collect();
        if let Some(waited) = recipients.waited {
            let hears = |hook: &Hook| {
                hook.hears(&event.name, audience) && hook.existed_at(event.commit_time)
            };
            listening = self.waiting.hooks_then(waited, listening, hears);
        }
        listening.retain(|hook| {
            about != Some(hook.id.as_str()) && only.is_none_or(|only| only == hook.id.as_str())
        });
        listening
    }

    /// Hands a delivery to its courier, together with its ticket and its share of the memory budget.
    fn dispatch(
        &mut self,
        hook: &Arc<Hook>,
        event: &Event,
        made: Made,
        asked: Option<Arc<VisibilityCheck>>,
        held: Held,
    ) {
        let Made {
            body,
            unfit,
            about,
            outline,
        } = made;
        let position = event.position;
        let id = message_id(
            &self.system_identifier,
            position,
            event.commit_time,
            hook.id.as_str(),
        );
        let mut delivery = Delivery {
            id: id.into(),
            event: Arc::clone(&event.name),
            position,
            commit_time: event.commit_time,
            place: place(hook, event),
            body,
            content_type: content_type(&hook.delivery).into(),
            whose: Whose::of(hook.owner.as_ref()),
            about,
            outline,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit,
            asked,
            held: Some(held),
        };
        // After a restart, the stream repeats what was not settled.
        self.context.store.forgotten().apply(&mut delivery);
        self.couriers.hand(hook, delivery);
    }

    /// Reserves memory for the event's row if that is large: once for the row itself, once for its JSON. Takes at most
    /// half of the budget, so that there is room for bodies beside it.
    async fn reserve_for_row(&mut self, event: &Event) -> Option<Permit> {
        let bytes = bytes_of(event);
        if bytes <= LARGE_ROW {
            return None;
        }
        let half = self.context.memory.stream.bytes() / 2;
        Some(self.reserve(None, (2 * bytes).min(half)).await)
    }

    /// Waits until `bytes` can be reserved beside what the row has taken.
    ///
    /// Every delivery that is settled frees memory. When none is freed for a while, the couriers of the owner with the
    /// most deliveries in memory have to park them.
    pub(super) async fn reserve(&mut self, row: Option<&Permit>, bytes: usize) -> Permit {
        let Self {
            context, couriers, ..
        } = self;
        loop {
            let waiting = context.memory.stream.acquire_beside(row, bytes);
            match timeout(MEMORY_PATIENCE, waiting).await {
                Ok(memory) => return memory,
                Err(_) => couriers.relieve_memory(),
            }
        }
    }
}

/// The owners of so many of these hooks that they take more than a turn.
fn crowds(listening: &[Listener]) -> HashSet<Arc<str>> {
    if listening.len() <= TURN {
        return HashSet::new();
    }
    let mut hooks: HashMap<&Arc<str>, usize> = HashMap::new();
    for owner in listening.iter().filter_map(|one| one.hook.owner.as_ref()) {
        *hooks.entry(owner).or_default() += 1;
    }
    let crowds = hooks.into_iter().filter(|(_, hooks)| *hooks > TURN);
    crowds.map(|(owner, _)| Arc::clone(owner)).collect()
}

/// Does the rule of an event want to tell of it?
///
/// # Errors
/// Why its expression failed.
fn is_told(event: &Event, when: Option<&Filter>) -> Result<bool, String> {
    let Some(when) = when else {
        return Ok(true);
    };
    let facts = facts(event, [when].into_iter())?;
    when.accepts(&facts).map_err(|error| error.to_string())
}

/// Lets others use the thread where much was spent.
async fn breathe(spent: &mut u64) {
    if *spent > STEPS_AT_ONCE {
        *spent = 0;
        yield_now().await;
    }
}

/// What a person can do where owners cannot be found out.
fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::Row => {
            "correct the value, or give the column of the path the type of the key that it refers to"
        }
        Fault::Renamed => {
            "name in [tables] what the tables and columns of the owner's path are called now"
        }
        Fault::ForNow | Fault::Lost => {
            "find out what locks the tables of the owner's path, or what slows them down"
        }
        Fault::ForGood => {
            "let rowhook's role read the tables of the owner's path; rowhook check says what is missing"
        }
    }
}

/// The lane of all events of a hook that wants them in order.
const EVERYTHING: u64 = 0;

/// The lanes in which a delivery of this event keeps its order.
fn place(hook: &Hook, event: &Event) -> Place {
    // A lane of its own: the delivery waits for no other, but can still be recognized in the table.
    let Position { commit_lsn, index } = event.position;
    let alone = || Place::One(commit_lsn.0.rotate_left(24) ^ index);
    let change = event.change();
    let lane = |tuple: &Tuple| change?.relation.lane(tuple);
    let old = || change?.before().map(Image::tuple).and_then(lane);
    let new = || change?.after().and_then(lane);
    match (hook.delivery.order, hook.origin) {
        (Order::None, _) => alone(),
        (Order::Row, _) => match (old(), new()) {
            (Some(old), Some(new)) => Place::both(old, new),
            (Some(lane), None) | (None, Some(lane)) => Place::One(lane),
            (None, None) => alone(),
        },
        (Order::Hook, Origin::File) => Place::One(EVERYTHING),
        // The order of one in the table may change while deliveries wait, and those of a row stay in order then, too.
        (Order::Hook, Origin::Table) => match new().or_else(old) {
            Some(lane) => Place::both(EVERYTHING, lane),
            None => Place::One(EVERYTHING),
        },
    }
}
