//! Crowds: more hooks of one owner on an event than are handed on in one turn.
//!
//! The rest of them stands in a line of its owner, and the stream goes on: what comes next for others is handed on
//! between two turns. Whatever comes next for the owner stands behind, so that the order of each hook is kept. An event
//! in a line holds a ticket, so that a restart reads it again, and each delivery gets its memory when its turn comes. A
//! part of the memory is left to others, who so need not wait for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::listener::Listener;
use crate::{
    delivery::ledger::Ticket,
    event::{Event, Subject},
    hook::Hook,
};

/// How many hooks of one owner are handed an event in one turn.
pub(super) const TURN: usize = 64;
/// The most deliveries that stand in lines, the most events that they are of, and the most bytes of these. When there
/// are more, everybody waits. An event keeps in memory what the stream has received together with it.
const MOST: usize = 100_000;
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 8 << 20;
/// The pause between two looks for memory.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a line waits for memory before somebody has to park what they have, and before everybody waits with it.
const RELIEF: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines of all owners with a crowd. They have their turns one after the other.
#[derive(Default)]
pub(super) struct Crowds {
    lines: VecDeque<Line>,
    deliveries: usize,
    events: usize,
    bytes: usize,
    /// There is no memory for the next delivery.
    stalled: Option<Stalled>,
}

/// The deliveries of one owner.
struct Line {
    owner: Arc<str>,
    events: VecDeque<Late>,
}

/// An event that some of its listeners still have to be handed.
pub(super) struct Late {
    pub(super) event: Arc<Event>,
    pub(super) listeners: VecDeque<Listener>,
    pub(super) ticket: Ticket,
}

struct Stalled {
    since: Instant,
    looked: Instant,
    /// When somebody was last made to park what they have.
    relieved: Instant,
    bytes: usize,
}

impl Crowds {
    /// Does anything of this owner stand in a line?
    pub(super) fn has(&self, owner: &str) -> bool {
        self.lines.iter().any(|line| &*line.owner == owner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Is there no room for more?
    pub(super) fn is_full(&self) -> bool {
        self.deliveries >= MOST || self.events >= MOST_EVENTS || self.bytes >= MOST_BYTES
    }

    /// When the next turn is due; `None`: nothing stands in a line.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let looked = self.stalled.as_ref().map(|stalled| stalled.looked);
        let at = looked.map_or_else(Instant::now, |looked| looked + PAUSE);
        (!self.is_empty()).then_some(at)
    }

    /// Puts an event at the end of its owner's line.
    pub(super) fn push(&mut self, owner: &Arc<str>, late: Late) {
        self.deliveries += late.listeners.len();
        self.events += 1;
        self.bytes += bytes_of(&late.event);
        match self.lines.iter_mut().find(|line| line.owner == *owner) {
            Some(line) => line.events.push_back(late),
            None => self.lines.push_back(Line {
                owner: Arc::clone(owner),
                events: [late].into(),
            }),
        }
    }

    /// The owner whose turn it is.
    pub(super) fn owner(&self) -> Option<Arc<str>> {
        self.lines.front().map(|line| Arc::clone(&line.owner))
    }

    /// The hook that is handed the event next.
    pub(super) fn next_hook(&self) -> Option<Arc<Hook>> {
        let listener = self.front()?.listeners.front()?;
        Some(Arc::clone(&listener.hook))
    }

    /// Gives the turn to the next owner.
    pub(super) fn rotate(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.lines.push_back(line);
        }
    }

    /// The event of the line whose turn it is.
    pub(super) fn front(&self) -> Option<&Late> {
        self.lines.front()?.events.front()
    }

    /// Takes off the first listener of that event, and issues its ticket.
    pub(super) fn pop(&mut self) -> Option<(Listener, Ticket)> {
        let late = self.lines.front_mut()?.events.front_mut()?;
        let listener = late.listeners.pop_front()?;
        self.deliveries -= 1;
        self.stalled = None;
        let index = late.event.position.index;
        let ticket = late.ticket.of_event(index, &listener.hook.id);
        Some((listener, ticket))
    }

    /// Takes off that event if all of its listeners have been handed it.
    pub(super) fn leave(&mut self) {
        let Some(line) = self.lines.front_mut() else {
            return;
        };
        let is_handed_on = |late: &Late| late.listeners.is_empty();
        if line.events.front().is_some_and(is_handed_on)
            && let Some(late) = line.events.pop_front()
        {
            self.events -= 1;
            self.bytes -= bytes_of(&late.event);
            late.ticket.settle();
        }
        if line.events.is_empty() {
            self.lines.pop_front();
        }
    }

    /// Notes that there is no memory for the next delivery, which needs so many bytes. Returns whether somebody is to
    /// park what they have.
    pub(super) fn stall(&mut self, bytes: usize) -> bool {
        let now = Instant::now();
        let stalled = self.stalled.get_or_insert(Stalled {
            since: now,
            looked: now,
            relieved: now,
            bytes,
        });
        (stalled.looked, stalled.bytes) = (now, bytes);
        let is_time = now - stalled.relieved >= RELIEF;
        if is_time {
            stalled.relieved = now;
        }
        is_time
    }

    /// The bytes that the next delivery has waited for long enough.
    pub(super) fn starves_for(&self) -> Option<usize> {
        let stalled = self.stalled.as_ref();
        let starving = stalled.filter(|stalled| stalled.since.elapsed() >= PATIENCE);
        starving.map(|stalled| stalled.bytes)
    }
}

/// About how much memory an event takes while it stands in a line.
pub(super) fn bytes_of(event: &Event) -> usize {
    match &event.subject {
        Subject::Row { change, .. } => change.bytes(),
        Subject::Message(message) => message.payload.get().len(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::advance;

    use super::*;
    use crate::{
        config::Pattern,
        delivery::ledger::{Ledger, Opened},
        event::Position,
        hook::{HookId, Origin},
        message::Message,
        postgres::{Lsn, equality::Equality},
        send::target::Target,
    };

    fn hook(id: u64) -> Arc<Hook> {
        Arc::new(Hook {
            id: HookId::new(id.to_string(), true),
            owner: None,
            events: [Pattern::Any].into(),
            filter: None,
            target: Target::new(&"https://a.example/".parse().unwrap(), None, &[]).unwrap(),
            delivery: Arc::default(),
            since: None,
            active: true,
            origin: Origin::Table,
        })
    }

    /// The event of this number, for as many hooks.
    fn late(ledger: &Ledger, index: u64, hooks: u64) -> Late {
        let listener = |id| Listener {
            hook: hook(id),
            unfit: None,
            asked: None,
        };
        let event = Event {
            name: "a".into(),
            subject: Subject::Message(Arc::new(Message::own("a", 1.into()))),
            owner: None,
            position: Position {
                commit_lsn: Lsn(20),
                index,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            owner_equality: Equality::Text,
        };
        Late {
            event: Arc::new(event),
            listeners: (0..hooks).map(listener).collect(),
            ticket: ledger.ticket(index, &hook(0).id),
        }
    }

    /// Hands on two deliveries of the owner whose turn it is: the numbers of their events and hooks.
    fn turn(crowds: &mut Crowds) -> Vec<(u64, String)> {
        let (owner, mut handed) = (crowds.owner(), Vec::new());
        while handed.len() < 2
            && crowds.owner() == owner
            && let Some(late) = crowds.front()
        {
            let index = late.event.position.index;
            let (listener, ticket) = crowds.pop().unwrap();
            handed.push((index, listener.hook.id.to_string()));
            ticket.settle();
            crowds.leave();
        }
        if crowds.owner() == owner {
            crowds.rotate();
        }
        handed
    }

    #[test]
    fn owners_take_turns_each_keeps_its_order_and_an_event_is_settled_with_its_last_delivery() {
        let (mut crowds, ledger) = (Crowds::default(), Ledger::new(Lsn(10)));
        assert_eq!(ledger.open(Lsn(20)), Opened::Read { skip: 0 });
        let [anna, ben] = ["anna", "ben"].map(Arc::<str>::from);
        crowds.push(&anna, late(&ledger, 0, 3));
        crowds.push(&ben, late(&ledger, 1, 1));
        crowds.push(&anna, late(&ledger, 2, 1));
        ledger.close(Lsn(25));
        assert!(crowds.has("anna") && crowds.has("ben") && !crowds.has("eve"));
        let mut turns = Vec::new();
        while !crowds.is_empty() {
            assert_eq!(ledger.confirmed(), Lsn(10));
            turns.push(turn(&mut crowds));
        }
        let handed = |of: &[(u64, u64)]| -> Vec<(u64, String)> {
            let of = of.iter();
            of.map(|(event, hook)| (*event, hook.to_string())).collect()
        };
        let expected = [
            handed(&[(0, 0), (0, 1)]),
            handed(&[(1, 0)]),
            handed(&[(0, 2), (2, 0)]),
        ];
        assert_eq!(turns, expected);
        assert_eq!((crowds.deliveries, crowds.events, crowds.bytes), (0, 0, 0));
        assert_eq!(ledger.confirmed(), Lsn(25));
    }

    #[test]
    fn there_is_room_for_so_many_deliveries_and_events() {
        let ledger = Ledger::new(Lsn(10));
        ledger.open(Lsn(20));
        let anna = Arc::from("anna");
        let mut crowds = Crowds::default();
        for index in 0..MOST_EVENTS as u64 {
            assert!(!crowds.is_full());
            crowds.push(&anna, late(&ledger, index, 1));
        }
        assert!(crowds.is_full());
        let mut crowds = Crowds::default();
        crowds.push(&anna, late(&ledger, 0, MOST as u64));
        assert!(crowds.is_full());
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_somebody_parks_now_and_then_and_at_last_everybody_waits() {
        let (mut crowds, ledger) = (Crowds::default(), Ledger::new(Lsn(10)));
        ledger.open(Lsn(20));
        crowds.push(&"anna".into(), late(&ledger, 0, 2));
        assert!(crowds.next_turn().unwrap() <= Instant::now());
        let mut relieved = 0;
        for _ in 0..8 {
            assert_eq!(crowds.starves_for(), None);
            relieved += usize::from(crowds.stall(700));
            assert_eq!(crowds.next_turn(), Some(Instant::now() + PAUSE));
            advance(RELIEF).await;
        }
        assert_eq!((relieved, crowds.starves_for()), (7, Some(700)));
        crowds.pop().unwrap().1.settle();
        assert_eq!(crowds.starves_for(), None);
        assert!(!crowds.stall(700));
    }
}
