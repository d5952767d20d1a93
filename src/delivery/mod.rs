//! A delivery and the values around it: the lanes that it waits in, the memory that it takes, the ledger that waits for
//! it.
//!
//! Plain values throughout: who sends, parks and records deliveries stands on higher floors.

pub mod about;
pub mod attempt;
pub mod backlog;
pub mod forgotten;
pub mod id;
pub mod lane;
pub mod ledger;
pub mod load;
pub mod memory_budget;
pub mod whose;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use self::{lane::Place, ledger::Ticket, memory_budget::Permit, whose::Whose};
use crate::{
    event::Position, hook::Hook, lookup::permission::VisibilityCheck, payload::outline::Outline,
};

/// Why a delivery is dead that cannot be made of what is left of it.
pub const ROW_FORGOTTEN: &str = "its row was forgotten";

/// One event for one hook.
#[derive(Debug)]
pub struct Delivery {
    /// The `webhook-id`, which follows from where the event stands and from the hook.
    pub id: Arc<str>,
    /// The name of the event.
    pub event: Arc<str>,
    /// Where the event stands among all events.
    pub position: Position,
    /// When the row was committed.
    pub commit_time: SystemTime,
    /// The lanes in which it must not overtake others.
    pub place: Place,
    /// The body, the same in every attempt.
    pub body: Bytes,
    /// The content type of the body.
    pub content_type: Arc<str>,
    /// Whose it is.
    pub whose: Whose,
    /// What it is about, as numbers; see [`about`]. None: nothing that could be forgotten.
    pub about: Arc<[i64]>,
    /// What its body is made anew from when the row is forgotten; `None`: the table has that, or there is no row in it.
    pub outline: Option<Arc<Outline>>,
    /// How many attempts have been made.
    pub attempts: u32,
    /// How much of its schedule's time is over; `None`: only the number of attempts is known.
    pub waited: Option<Duration>,
    /// Why it is not sent as it comes from the stream; `None` where it is.
    pub unfit: Option<Unfit>,
    /// What the owner of the hook has to be allowed to see. It is asked again before each attempt from the table.
    pub asked: Option<Arc<VisibilityCheck>>,
    /// What it holds while the replication slot keeps it; `None` for one that the table keeps.
    pub held: Option<Held>,
}

/// Why a delivery of the stream is not sent.
#[derive(Debug, Clone)]
pub enum Unfit {
    /// An expression or a template failed on it, for this reason: it goes on record as dead.
    Flawed(Arc<str>),
    /// It is not known, for this reason, whether the owner may see it: it waits, as if an attempt had failed.
    Doubtful(Arc<str>),
}

/// What a delivery of the stream holds until it is settled.
#[derive(Debug)]
pub struct Held {
    /// What keeps the slot where it is.
    pub ticket: Receipt,
    /// Its share of the memory budget.
    pub memory: Permit,
    /// Since when it is held.
    pub since: Instant,
    /// The hook at the event's place in the stream, whose target it is sent to; `None`: it was not active there, and
    /// its target is that of the hook as it is when it is sent.
    pub hook: Option<Arc<Hook>>,
}

impl Held {
    /// What is held from now on for a delivery of this hook.
    pub fn of(hook: &Arc<Hook>, ticket: Receipt, memory: Permit) -> Self {
        Self {
            ticket,
            memory,
            since: Instant::now(),
            // One that is disabled has nowhere to send to, and one that waits for its key has no credentials.
            hook: hook.active.then(|| Arc::clone(hook)),
        }
    }
}

/// What is settled when a delivery has arrived, or the table keeps it.
#[derive(Debug)]
pub enum Receipt {
    /// Its ticket in the ledger.
    Ticket(Ticket),
    /// Its number at the reader of the cluster, which waits for it there.
    Remote(RemoteTicket),
}

impl From<Ticket> for Receipt {
    fn from(ticket: Ticket) -> Self {
        Self::Ticket(ticket)
    }
}

/// The ticket of a delivery whose reader is another process. One that is dropped tells nothing, and so the reader hands
/// the delivery on again.
#[derive(Debug)]
pub struct RemoteTicket {
    /// Its number.
    pub number: u64,
    /// Takes the numbers of those that are settled.
    pub settled: UnboundedSender<u64>,
}

impl Receipt {
    /// Settles it.
    pub fn settle(self) {
        match self {
            Self::Ticket(ticket) => ticket.settle(),
            // Where nobody listens any more, the reader hands it on again.
            Self::Remote(RemoteTicket { number, settled }) => drop(settled.send(number)),
        }
    }
}

impl Delivery {
    /// Settles its ticket: it has arrived, or the table keeps it, and so the slot need not.
    pub fn settle(self) {
        if let Some(held) = self.held {
            held.ticket.settle();
        }
    }

    /// Replaces the row in it by its key, because the row was forgotten.
    pub fn leave_out_row(&mut self) {
        let Some(outline) = self.outline.take() else {
            return;
        };
        self.body = outline.body(&self.body);
        self.about = Arc::default();
        if let Some(asked) = &self.asked {
            self.asked = Some(Arc::new(asked.of_key(outline.key_columns())));
        }
        if let Some(Unfit::Flawed(reason) | Unfit::Doubtful(reason)) = &mut self.unfit {
            // It may repeat a value of the row.
            *reason = ROW_FORGOTTEN.into();
        }
    }
}
