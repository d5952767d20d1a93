//! Keeps account of what is settled, and so of how much of the WAL Postgres may remove.
//!
//! Every transaction is opened here in commit order, holds one [`Ticket`] for each of its deliveries, and is closed at
//! its Commit message. The confirmed LSN is the end of the last transaction up to which everything is settled. A ticket
//! that is dropped without being settled holds the LSN for ever, because a lost delivery must be repeated, not
//! forgotten.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::time::Instant;

use crate::{hook::HookId, lock::lock, postgres::Lsn};

/// Counts what is unsettled, and knows what may be confirmed. It is cheap to clone, and all clones are one ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    account: Arc<Mutex<Account>>,
}

#[derive(Debug)]
struct Account {
    /// The transactions that are open or have unsettled deliveries, by their numbers, which are in commit order.
    entries: BTreeMap<u64, Entry>,
    /// The number of the next transaction. No number is used twice.
    next: u64,
    /// The deliveries that are unsettled, by the numbers of their tickets, which are in the order of issue.
    held: BTreeMap<u64, Holding>,
    /// The number of the next ticket.
    next_ticket: u64,
    /// The commit LSN of the last transaction that was closed.
    newest_closed: Lsn,
    confirmed: Lsn,
    /// Whether a transaction with events has been settled since this was asked last.
    eventful: bool,
    /// How far an earlier process had come, until we are past that.
    resumed: Option<Progress>,
}

/// An unsettled delivery, as far as people ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The hook that it is for.
    pub hook: HookId,
    /// Since when it has its ticket.
    pub since: Instant,
}

/// How far a transaction is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The commit LSN of the transaction.
    pub commit_lsn: Lsn,
    /// How many of its events, from the first on, are settled.
    pub events: u64,
}

#[derive(Debug)]
struct Entry {
    commit_lsn: Lsn,
    /// The end of the transaction, or of the last one behind it up to which all are settled. Known once the Commit
    /// message is read.
    end_lsn: Option<Lsn>,
    /// How many of its events have been handed on, settled or not.
    events: u64,
    unsettled: u64,
    /// How many deliveries are unsettled in each chunk of events, from the first chunk that is not settled.
    chunks: VecDeque<u64>,
    /// How many chunks are settled, and not in `chunks` any more.
    settled_chunks: u64,
}

/// How many events make a chunk. A large transaction is settled in chunks.
const CHUNK: u64 = 1024;

/// What is to be done with a transaction that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Read it, but leave out the first `skip` events: an earlier session has handed them on.
    Read {
        /// How many events to leave out; 0 for a new transaction.
        skip: u64,
    },
    /// Leave it out: an earlier session has read it to its end, and its deliveries are settled or on their way.
    Known,
}

impl Ledger {
    /// A ledger in which everything up to `confirmed` is settled.
    pub fn new(confirmed: Lsn) -> Self {
        let account = Account {
            entries: BTreeMap::new(),
            next: 0,
            held: BTreeMap::new(),
            next_ticket: 0,
            newest_closed: Lsn::ZERO,
            confirmed,
            eventful: false,
            resumed: None,
        };
        Self {
            account: Arc::new(Mutex::new(account)),
        }
    }

    /// Begins the transaction that commits at `commit_lsn`.
    ///
    /// After a reconnect, Postgres sends everything above the confirmed LSN again. What is known already is recognized
    /// here, so that a lost connection repeats nothing.
    pub fn open(&self, commit_lsn: Lsn) -> Opened {
        let mut account = self.lock();
        if commit_lsn <= account.newest_closed {
            return Opened::Known;
        }
        if let Some((_, last)) = account.entries.last_key_value()
            && last.commit_lsn == commit_lsn
        {
            return Opened::Read { skip: last.events };
        }
        let skip = match account.resumed {
            Some(earlier) if earlier.commit_lsn == commit_lsn => earlier.events,
            _ => 0,
        };
        // The slot may stand a little before the transaction of the last checkpoint, but never after it.
        account.resumed = account
            .resumed
            .filter(|earlier| earlier.commit_lsn > commit_lsn);
        let entry = Entry {
            commit_lsn,
            end_lsn: None,
            events: skip,
            unsettled: 0,
            chunks: VecDeque::new(),
            settled_chunks: skip / CHUNK,
        };
        let number = account.next;
        account.next += 1;
        account.entries.insert(number, entry);
        Opened::Read { skip }
    }

    /// Goes on where an earlier process had come to in the transaction at which the slot stands.
    pub fn resume(&self, progress: Progress) {
        self.lock().resumed = Some(progress);
    }

    /// Issues a ticket for the delivery of an event of the open transaction to `hook`. `event` is the number of the
    /// event, from 0.
    pub fn ticket(&self, event: u64, hook: &HookId) -> Ticket {
        self.issue(None, event, Some(hook))
    }

    /// Issues a ticket for an event of the open transaction whose deliveries are not known yet. It is not told as a
    /// delivery that is held.
    pub fn ticket_of_event(&self, event: u64) -> Ticket {
        self.issue(None, event, None)
    }

    /// Issues a ticket of the transaction with this number; `None`: the open one.
    fn issue(&self, number: Option<u64>, event: u64, hook: Option<&HookId>) -> Ticket {
        let mut account = self.lock();
        let number = number.unwrap_or_else(|| account.next.saturating_sub(1));
        let own = account.next_ticket;
        account.next_ticket += 1;
        if let Some(hook) = hook {
            let holding = Holding {
                hook: hook.clone(),
                since: Instant::now(),
            };
            account.held.insert(own, holding);
        }
        if let Some(entry) = account.entries.get_mut(&number) {
            entry.unsettled += 1;
            entry.count(event);
        }
        Ticket {
            ledger: self.clone(),
            number,
            event,
            own,
        }
    }

    /// How far the first unsettled transaction is settled; `None` where not even a chunk of it is.
    pub fn progress(&self) -> Option<Progress> {
        let account = self.lock();
        let (_, entry) = account.entries.first_key_value()?;
        (entry.settled_chunks > 0).then_some(Progress {
            commit_lsn: entry.commit_lsn,
            events: (entry.settled_chunks * CHUNK).min(entry.events),
        })
    }

    /// Records that all deliveries of the first `events` events of the open transaction have their tickets.
    pub fn handed_on(&self, events: u64) {
        let mut account = self.lock();
        if let Some(mut last) = account.entries.last_entry() {
            last.get_mut().events = events;
            last.get_mut().take_off();
        }
    }

    /// Ends the open transaction at its Commit message.
    pub fn close(&self, end_lsn: Lsn) {
        let mut account = self.lock();
        let Some(mut last) = account.entries.last_entry() else {
            return;
        };
        last.get_mut().end_lsn = Some(end_lsn);
        let (number, commit_lsn) = (*last.key(), last.get().commit_lsn);
        account.newest_closed = commit_lsn;
        account.leave(number);
    }

    /// Records that the server has nothing for us up to `lsn`, which is confirmed where nothing is unsettled.
    pub fn idle(&self, lsn: Lsn) {
        let mut account = self.lock();
        if account.entries.is_empty() {
            account.confirm(lsn);
        }
    }

    /// The LSN up to which everything is settled.
    pub fn confirmed(&self) -> Lsn {
        self.lock().confirmed
    }

    /// Whether no transaction is open, and everything is settled.
    pub fn is_settled(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Whether transactions with events have been settled since this was asked last.
    pub fn take_eventful(&self) -> bool {
        std::mem::take(&mut self.lock().eventful)
    }

    /// How many deliveries are unsettled.
    pub fn unsettled(&self) -> u64 {
        self.lock()
            .entries
            .values()
            .map(|entry| entry.unsettled)
            .sum()
    }

    /// The delivery that has been unsettled for longest; `None` where all are settled.
    pub fn oldest(&self) -> Option<Holding> {
        let account = self.lock();
        account
            .held
            .first_key_value()
            .map(|(_, holding)| holding.clone())
    }

    fn settle(&self, number: u64, event: u64, own: u64) {
        let mut account = self.lock();
        account.held.remove(&own);
        if let Some(entry) = account.entries.get_mut(&number) {
            entry.unsettled -= 1;
            entry.discount(event);
            account.leave(number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }
}

impl Entry {
    fn count(&mut self, event: u64) {
        if let Some(chunk) = self.chunk(event) {
            *chunk += 1;
        }
    }

    fn discount(&mut self, event: u64) {
        if let Some(chunk) = self.chunk(event) {
            *chunk -= 1;
        }
        self.take_off();
    }

    fn chunk(&mut self, event: u64) -> Option<&mut u64> {
        let at = usize::try_from((event / CHUNK).checked_sub(self.settled_chunks)?).ok()?;
        if self.chunks.len() <= at {
            self.chunks.resize(at + 1, 0);
        }
        self.chunks.get_mut(at)
    }

    /// Takes off the chunks that are settled, as far as all of their events have tickets.
    fn take_off(&mut self) {
        while (self.settled_chunks + 1) * CHUNK <= self.events
            && self.chunks.front().is_none_or(|chunk| *chunk == 0)
        {
            self.chunks.pop_front();
            self.settled_chunks += 1;
        }
    }
}

impl Account {
    /// Takes off a transaction that is closed and settled. If it is the first, it is confirmed; otherwise the one
    /// before it takes over its end. So only unsettled transactions take memory, however many others are settled behind
    /// them.
    fn leave(&mut self, number: u64) {
        let Some(Entry {
            end_lsn: Some(end),
            unsettled: 0,
            events,
            ..
        }) = self.entries.get(&number)
        else {
            return;
        };
        let (end, eventful) = (*end, *events > 0);
        self.entries.remove(&number);
        self.eventful |= eventful;
        match self.entries.range_mut(..number).next_back() {
            Some((_, before)) => before.end_lsn = Some(end),
            None => self.confirm(end),
        }
    }

    fn confirm(&mut self, lsn: Lsn) {
        self.confirmed = self.confirmed.max(lsn);
    }
}

/// One unsettled delivery. Whoever holds the ticket has to settle it.
#[derive(Debug)]
#[must_use = "a ticket that is not settled holds the LSN"]
pub struct Ticket {
    ledger: Ledger,
    number: u64,
    event: u64,
    /// The number of this ticket.
    own: u64,
}

impl Ticket {
    /// Issues a ticket for the delivery of this or another event of the same transaction to `hook`.
    pub fn of_event(&self, event: u64, hook: &HookId) -> Self {
        self.ledger.issue(Some(self.number), event, Some(hook))
    }

    /// Settles the delivery: it has arrived, is parked durably, or was dropped by a decision that is on record.
    pub fn settle(self) {
        self.ledger.settle(self.number, self.event, self.own);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn hook() -> HookId {
        HookId::new("7", true)
    }

    #[test]
    fn a_transaction_is_confirmed_when_it_is_closed_and_settled() {
        let ledger = Ledger::new(Lsn(10));
        assert_eq!(ledger.open(Lsn(20)), Opened::Read { skip: 0 });
        let ticket = ledger.ticket(0, &hook());
        ledger.close(Lsn(25));
        assert_eq!(ledger.confirmed(), Lsn(10));
        ticket.settle();
        assert_eq!(ledger.confirmed(), Lsn(25));
    }

    #[test]
    fn an_unsettled_transaction_holds_the_later_ones_back() {
        let ledger = Ledger::new(Lsn(10));
        ledger.open(Lsn(20));
        let first = ledger.ticket(0, &hook());
        ledger.close(Lsn(25));
        ledger.open(Lsn(30));
        let second = ledger.ticket(0, &hook());
        ledger.close(Lsn(35));
        second.settle();
        ledger.idle(Lsn(99));
        assert_eq!(ledger.confirmed(), Lsn(10));
        first.settle();
        assert_eq!(ledger.confirmed(), Lsn(35));
        ledger.idle(Lsn(99));
        assert_eq!(ledger.confirmed(), Lsn(99));
    }

    #[test]
    fn what_is_settled_behind_one_that_is_not_takes_no_room() {
        let ledger = Ledger::new(Lsn(10));
        let mut tickets = Vec::new();
        for number in 2..1000 {
            ledger.open(Lsn(number * 10));
            tickets.push(ledger.ticket(0, &hook()));
            ledger.close(Lsn(number * 10 + 5));
        }
        let first = tickets.swap_remove(0);
        tickets.into_iter().for_each(Ticket::settle);
        assert_eq!(ledger.lock().entries.len(), 1);
        assert_eq!(ledger.confirmed(), Lsn(10));
        first.settle();
        assert_eq!(ledger.confirmed(), Lsn(9995));
        assert!(ledger.lock().entries.is_empty());
    }

    #[test]
    fn the_oldest_delivery_is_known_with_its_hook_until_it_is_settled() {
        let ledger = Ledger::new(Lsn(10));
        let oldest = || ledger.oldest().map(|holding| holding.hook);
        let [one, two] = ["1", "2"].map(|id| HookId::new(id, true));
        assert_eq!(oldest(), None);
        ledger.open(Lsn(20));
        let first = ledger.ticket(0, &one);
        let second = ledger.ticket(0, &two);
        let third = ledger.ticket(1, &one);
        assert_eq!(oldest(), Some(one.clone()));
        first.settle();
        assert_eq!(oldest(), Some(two));
        third.settle();
        second.settle();
        assert_eq!(oldest(), None);
        drop(ledger.ticket(2, &one));
        assert_eq!(oldest(), Some(one), "one that is lost is still told");
    }

    #[test]
    fn a_dropped_ticket_holds_the_lsn_for_ever() {
        let ledger = Ledger::new(Lsn(10));
        ledger.open(Lsn(20));
        drop(ledger.ticket(0, &hook()));
        ledger.close(Lsn(25));
        assert_eq!(ledger.confirmed(), Lsn(10));
    }

    #[test]
    fn what_a_reconnect_sends_again_is_recognized() {
        let ledger = Ledger::new(Lsn(10));
        ledger.open(Lsn(20));
        let _first = ledger.ticket(0, &hook());
        ledger.close(Lsn(25));
        ledger.open(Lsn(30));
        let _half = ledger.ticket(0, &hook());
        ledger.handed_on(7);

        assert_eq!(ledger.open(Lsn(20)), Opened::Known);
        assert_eq!(ledger.open(Lsn(30)), Opened::Read { skip: 7 });
        ledger.close(Lsn(35));
        assert_eq!(ledger.open(Lsn(40)), Opened::Read { skip: 0 });
    }

    #[test]
    fn a_large_transaction_is_settled_in_pieces_and_resumed_where_they_end() {
        let ledger = Ledger::new(Lsn(10));
        ledger.open(Lsn(20));
        let mut tickets = VecDeque::new();
        for event in 0..3000 {
            tickets.push_back(ledger.ticket(event, &hook()));
            ledger.handed_on(event + 1);
        }
        assert_eq!(ledger.progress(), None);
        let first = tickets.pop_front().unwrap();
        tickets.drain(..2499).for_each(Ticket::settle);
        assert_eq!(ledger.progress(), None, "the first of all is not settled");
        first.settle();
        let progress = Progress {
            commit_lsn: Lsn(20),
            events: 2048,
        };
        assert_eq!(ledger.progress(), Some(progress));

        let after_the_crash = Ledger::new(Lsn(10));
        after_the_crash.resume(progress);
        assert_eq!(after_the_crash.open(Lsn(20)), Opened::Read { skip: 2048 });
        let ticket = after_the_crash.ticket(2048, &hook());
        after_the_crash.handed_on(3072);
        assert_eq!(after_the_crash.progress(), Some(progress));
        ticket.settle();
        assert_eq!(
            after_the_crash.progress(),
            Some(Progress {
                commit_lsn: Lsn(20),
                events: 3072
            })
        );

        let of_another = Ledger::new(Lsn(10));
        of_another.resume(progress);
        assert_eq!(of_another.open(Lsn(15)), Opened::Read { skip: 0 });
        of_another.close(Lsn(16));
        assert_eq!(of_another.open(Lsn(20)), Opened::Read { skip: 2048 });
        let too_late = Ledger::new(Lsn(10));
        too_late.resume(progress);
        assert_eq!(too_late.open(Lsn(25)), Opened::Read { skip: 0 });
    }

    proptest! {
        /// Whatever the order of settling, the confirmed LSN is the end of the last transaction of the settled prefix.
        #[test]
        fn the_confirmed_lsn_is_the_end_of_the_settled_prefix(
            sizes in prop::collection::vec(0_usize..4, 1..12),
            order in any::<u64>(),
        ) {
            let ledger = Ledger::new(Lsn(0));
            let mut tickets = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                ledger.open(Lsn(number as u64 * 10 + 1));
                tickets.extend((0..*size).map(|_| (number, ledger.ticket(0, &hook()))));
                ledger.close(Lsn(number as u64 * 10 + 5));
            }
            let mut open = sizes.clone();
            let mut state = order;
            while !tickets.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % tickets.len();
                let (number, ticket) = tickets.swap_remove(at);
                ticket.settle();
                open[number] -= 1;
                let prefix = open.iter().take_while(|left| **left == 0).count();
                let expected = if prefix == 0 { Lsn(0) } else { Lsn(prefix as u64 * 10 - 5) };
                prop_assert_eq!(ledger.confirmed(), expected);
            }
        }
    }
}
