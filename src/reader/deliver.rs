//! From a change to its deliveries: its events are matched with hooks, rendered, and handed to couriers.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use super::{
    Reader,
    step::{ChangeDraft, MessageDraft, Permissions},
};
use crate::{
    config::Order,
    delivery::{
        Delivery, Held, Unfit, id::message_id, lane::Place, memory_budget as memory,
        memory_budget::Permit,
    },
    event::{Event, Position, Subject},
    expression::filter::{Facts, Filter},
    hook::{Hook, index::Audience},
    journal::Entry,
    lookup::permission::{Answer, VisibilityCheck},
    payload::{Renderer, facts::facts},
    postgres::{
        TableName,
        equality::Equality,
        tuple::{Image, Tuple},
    },
};

/// How long the reader waits for memory before it makes a courier park deliveries.
const MEMORY_PATIENCE: Duration = Duration::from_millis(250);
/// A row of more bytes than this is charged to the memory budget while it is delivered. Smaller rows are covered by
/// what the stream may read ahead.
const LARGE_ROW: usize = 1 << 20;

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
}

/// A hook that is to receive an event.
struct Permitted {
    hook: Arc<Hook>,
    /// Why the delivery cannot be sent as it comes from the stream.
    unfit: Option<Unfit>,
    /// What later attempts ask about the owner.
    asked: Option<Arc<VisibilityCheck>>,
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
        self.owners.follow(&draft.change);
        let Some(events) = &table.events else {
            return Ok(());
        };
        let owner = if draft.rules.is_empty() {
            None
        } else {
            self.owners.owner(events.owner.as_ref(), &draft.change)
        };
        let (numbered, added) = (draft.rules, draft.added);
        let (permissions, only) = (draft.permissions, draft.only);
        let rules = events.rules(&draft.change.row);
        let after = draft.first_event + rules.len() as u64;
        let change = Arc::new(draft.change);
        for number in numbered {
            let (Some(rule), index) = (rules.get(number), draft.first_event + number as u64) else {
                continue;
            };
            if index < skip || !self.hooks.index.has_hooks_for(&rule.name) {
                continue;
            }
            if owner.is_none() && !rule.all_owners {
                self.warn_ownerless(&change.relation.table());
            }
            let event = events.event(rule, &change, added.clone(), owner.clone(), index);
            let recipients = Recipients {
                all_owners: rule.all_owners,
                when: rule.when.as_deref(),
                permissions: &permissions,
                only: only.as_deref(),
            };
            self.deliver_event(&Arc::new(event), recipients).await?;
        }
        self.ledger.handed_on(after);
        Ok(())
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
        let hooks = self.choose_hooks(event, &recipients);
        if hooks.is_empty() {
            return Ok(());
        }
        self.context.meters.events.fetch_add(1, Relaxed);
        self.context.journal.record(|| Entry::Matched {
            event: Arc::clone(event),
            hooks: hooks.iter().map(|(hook, _)| hook.id.clone()).collect(),
        });
        // All are asked about before the first delivery: an event that fails here is read again as a whole.
        let permitted = self.permitted(event, hooks, recipients.permissions).await?;
        self.render(event, permitted).await;
        Ok(())
    }

    /// The hooks whose owners may see the event's row, or may turn out to: then the delivery is unfit until that is
    /// known.
    ///
    /// # Errors
    /// When the database cannot be asked.
    async fn permitted(
        &self,
        event: &Event,
        hooks: Vec<(Arc<Hook>, Option<String>)>,
        permissions: &Permissions,
    ) -> Result<Vec<Permitted>> {
        let mut permitted = Vec::with_capacity(hooks.len());
        for (hook, flaw) in hooks {
            let (answer, asked) = self.may_see(&hook, event, permissions).await?;
            let unfit = match (flaw, answer) {
                (_, Answer::No) => {
                    tracing::debug!(hook = %hook.id, event = %event.name, "its owner may not see the row");
                    continue;
                }
                (Some(flaw), _) => Some(Unfit::Flawed(flaw.into())),
                (None, Answer::Unknown(reason)) => Some(Unfit::Doubtful(reason.into())),
                (None, Answer::Yes) => None,
            };
            permitted.push(Permitted { hook, unfit, asked });
        }
        Ok(permitted)
    }

    /// Renders the event for each hook, as soon as there is memory for the body, and hands the deliveries to couriers.
    async fn render(&mut self, event: &Event, permitted: Vec<Permitted>) {
        let row = self.reserve_for_row(event).await;
        let mut renderer = Renderer::new(event);
        for Permitted { hook, unfit, asked } in permitted {
            let expected = delivery_bytes(renderer.expected(&hook), &hook);
            let mut memory = self.reserve(row.as_ref(), expected).await;
            let body = renderer.render(&hook);
            let bytes = delivery_bytes(body.len(), &hook);
            if bytes > expected {
                drop(memory);
                memory = self.reserve(row.as_ref(), bytes).await;
            } else {
                memory.shrink(bytes);
            }
            let failed = renderer.flaw().map(|flaw| Unfit::Flawed(flaw.into()));
            let unfit = match unfit {
                Some(Unfit::Flawed(_)) => unfit,
                Some(Unfit::Doubtful(_)) | None => failed.or(unfit),
            };
            self.dispatch(&hook, event, body, unfit, asked, memory);
        }
    }

    /// The hooks that listen to an event and whose expressions accept it. A hook whose expression failed is among them,
    /// with the reason.
    fn choose_hooks(
        &self,
        event: &Event,
        recipients: &Recipients<'_>,
    ) -> Vec<(Arc<Hook>, Option<String>)> {
        let Recipients {
            all_owners,
            when,
            only,
            ..
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
        let hooks: Vec<&Arc<Hook>> = index
            .matches(&event.name, audience, event.commit_time)
            .filter(|hook| about != Some(hook.id.as_str()))
            .filter(|hook| only.is_none_or(|only| only == hook.id.as_str()))
            .collect();
        let filtered = when.is_some() || hooks.iter().any(|hook| hook.filter.is_some());
        let facts = (filtered && !hooks.is_empty()).then(|| facts(event));
        let event_wants = wants(when, facts.as_ref());
        let chosen = hooks.into_iter().filter_map(|hook| {
            let wants = match &event_wants {
                Ok(true) => wants(hook.filter.as_deref(), facts.as_ref()),
                other => other.clone(),
            };
            match wants {
                Ok(wanted) => wanted.then(|| (Arc::clone(hook), None)),
                Err(flaw) => Some((Arc::clone(hook), Some(flaw))),
            }
        });
        chosen.collect()
    }

    /// Hands a delivery to its courier, together with its share of the memory budget.
    fn dispatch(
        &mut self,
        hook: &Arc<Hook>,
        event: &Event,
        body: Bytes,
        unfit: Option<Unfit>,
        asked: Option<Arc<VisibilityCheck>>,
        memory: Permit,
    ) {
        let position = event.position;
        let id = message_id(
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
            content_type: hook.delivery.payload.content_type().into(),
            attempts: 0,
            unfit,
            asked,
            held: Some(Held {
                ticket: self.ledger.ticket(position.index),
                memory,
                since: Instant::now(),
            }),
        };
        self.couriers.hand(hook, delivery);
    }

    /// Reserves memory for the event's row if that is large: once for the row itself, once for its JSON. Takes at most
    /// half of the budget, so that there is room for bodies beside it.
    async fn reserve_for_row(&mut self, event: &Event) -> Option<Permit> {
        let bytes = match &event.subject {
            Subject::Row { change, .. } => change.bytes(),
            Subject::Message(message) => message.payload.get().len(),
        };
        if bytes <= LARGE_ROW {
            return None;
        }
        let half = self.context.memory.stream.bytes() / 2;
        Some(self.reserve(None, (2 * bytes).min(half)).await)
    }

    /// Waits until `bytes` can be reserved beside what the row has taken.
    ///
    /// Every delivery that is settled frees memory. When none is freed for a while, the courier with the most
    /// deliveries in memory has to park them.
    async fn reserve(&mut self, row: Option<&Permit>, bytes: usize) -> Permit {
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

    fn warn_ownerless(&mut self, table: &TableName) {
        if self.ownerless.insert(table.clone()) {
            tracing::warn!(%table, "a row has no owner, or none that is known: only hooks of everyone hear of it (said once; see rowhook check)");
        }
    }
}

/// The memory that a delivery takes whose body has `body` bytes.
fn delivery_bytes(body: usize, hook: &Hook) -> usize {
    // A batch copies the body into its request, and the database driver copies part of a large body when it is parked.
    let copies = match hook.delivery.batch {
        Some(_) => body,
        None if body > LARGE_ROW => body / 2,
        None => 0,
    };
    body + copies + memory::DELIVERY
}

/// Does the expression accept the event? Without an expression it does.
///
/// # Errors
/// Why the expression failed.
fn wants(filter: Option<&Filter>, facts: Option<&Facts>) -> Result<bool, String> {
    match (filter, facts) {
        (Some(filter), Some(facts)) => filter.accepts(facts).map_err(|error| error.to_string()),
        _ => Ok(true),
    }
}

/// The lanes in which a delivery of this event keeps its order.
fn place(order: Order, event: &Event) -> Place {
    // A lane of its own: the delivery waits for no other, but can still be recognized in the table.
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
