//! Accepts the connections of every listener of rowhook.
//!
//! Whoever connects is a stranger until they prove who they are. No number of strangers keeps others out: when all
//! seats are taken, the stranger who has been idle for longest loses theirs.

pub mod http;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::lock::lock;

/// How long to wait after a connection could not be accepted, as when the process has no files left.
const PAUSE: Duration = Duration::from_millis(100);
/// How often that is logged while it lasts.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections until `stop` is cancelled, and gives each of them to `serve`. At most `seats` are open at once.
///
/// What `serve` does is confined to its connection, a panic of it too. The tracker that is returned is closed; it ends
/// when the last connection does.
pub async fn accept<S, F>(
    listener: &TcpListener,
    seats: usize,
    stop: &CancellationToken,
    mut serve: S,
) -> TaskTracker
where
    S: FnMut(TcpStream, SocketAddr, Guest) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Room::new(seats));
    let connections = TaskTracker::new();
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
                    tracing::warn!(%error, "a connection could not be accepted");
                    warned = Some(Instant::now());
                }
                tokio::select! {
                    () = sleep(PAUSE) => continue,
                    () = stop.cancelled() => break,
                }
            }
        };
        tokio::select! {
            () = room.make_space() => {}
            () = stop.cancelled() => break,
        }
        let seated = room.seat();
        let guest = Guest(Arc::clone(&seated.0));
        let serving = serve(stream, peer, guest);
        connections.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = seated.0.cut.cancelled() => {}
            }
        });
    }
    connections.close();
    connections
}

/// Whoever is at the other end of a connection.
#[derive(Clone)]
pub struct Guest(Arc<Seat>);

impl Guest {
    /// Notes that they have proved who they are. They keep their seat as long as there are strangers.
    pub fn recognize(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// Whether they have proved who they are.
    pub fn is_known(&self) -> bool {
        self.0.known.load(Ordering::Relaxed)
    }

    /// Notes that they are being answered. Nobody loses a seat meanwhile.
    fn attend(&self) -> Attended {
        self.0.busy.store(true, Ordering::Relaxed);
        Attended(self.clone())
    }
}

/// A guest who is being answered, until this is dropped.
struct Attended(Guest);

impl Drop for Attended {
    fn drop(&mut self) {
        let Guest(seat) = &self.0;
        seat.since.store(seat.room.now(), Ordering::Relaxed);
        seat.busy.store(false, Ordering::Relaxed);
        seat.room.changed.notify_one();
    }
}

/// A connection as the room sees it.
struct Seat {
    number: u64,
    /// Whether its guest has proved who they are.
    known: AtomicBool,
    /// Whether its guest is being answered.
    busy: AtomicBool,
    /// When it became idle, in milliseconds since the room was opened.
    since: AtomicU64,
    /// Cancelled when the seat is needed for somebody else.
    cut: CancellationToken,
    room: Arc<Room>,
}

/// Leaves when it is dropped, also after a panic.
struct Seated(Arc<Seat>);

impl Drop for Seated {
    fn drop(&mut self) {
        let room = &self.0.room;
        lock(&room.seats).taken.remove(&self.0.number);
        room.changed.notify_one();
    }
}

/// All connections of a listener.
struct Room {
    most: usize,
    opened: Instant,
    seats: Mutex<Seats>,
    /// Notified when a guest leaves or becomes idle. Only [`Room::make_space`] waits for it.
    changed: Notify,
}

#[derive(Default)]
struct Seats {
    taken: HashMap<u64, Arc<Seat>>,
    next: u64,
}

impl Room {
    fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            opened: Instant::now(),
            seats: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until a seat is free. Takes it from the stranger who has been idle for longest, or if there is no such
    /// stranger, from whoever has been idle for longest.
    async fn make_space(&self) {
        while !self.has_space() {
            self.changed.notified().await;
        }
    }

    /// Whether a seat is free. If none is, one is about to be, unless all guests are being answered.
    fn has_space(&self) -> bool {
        let seats = lock(&self.seats);
        if seats.taken.len() < self.most {
            return true;
        }
        // One at a time: whoever was asked to leave may not have left yet.
        if seats.taken.values().any(|seat| seat.cut.is_cancelled()) {
            return false;
        }
        let idle = seats.taken.values();
        let idle = idle.filter(|seat| !seat.busy.load(Ordering::Relaxed));
        let rank = |seat: &&Arc<Seat>| {
            let known = seat.known.load(Ordering::Relaxed);
            (known, seat.since.load(Ordering::Relaxed), seat.number)
        };
        if let Some(seat) = idle.min_by_key(rank) {
            seat.cut.cancel();
        }
        false
    }

    fn seat(self: &Arc<Self>) -> Seated {
        let mut seats = lock(&self.seats);
        let number = seats.next;
        seats.next += 1;
        let seat = Arc::new(Seat {
            number,
            known: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            since: AtomicU64::new(self.now()),
            cut: CancellationToken::new(),
            room: Arc::clone(self),
        });
        seats.taken.insert(number, Arc::clone(&seat));
        Seated(seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full room of these guests, who came in this order.
    fn full(seats: usize) -> (Arc<Room>, Vec<Seated>) {
        let room = Arc::new(Room::new(seats));
        let seated = (0..seats).map(|_| room.seat()).collect();
        (room, seated)
    }

    fn cut(seated: &[Seated]) -> Vec<usize> {
        let cut = seated.iter().enumerate();
        let cut = cut.filter(|(_, seated)| seated.0.cut.is_cancelled());
        cut.map(|(at, _)| at).collect()
    }

    #[test]
    fn the_stranger_who_has_been_idle_for_longest_loses_the_seat_and_nobody_else_does() {
        let (room, mut seated) = full(4);
        Guest(Arc::clone(&seated[0].0)).recognize();
        let _attended = Guest(Arc::clone(&seated[1].0)).attend();
        assert!(!room.has_space());
        assert!(!room.has_space(), "the seat is not free yet");
        assert_eq!(cut(&seated), [2]);
        drop(seated.remove(2));
        assert!(room.has_space());
        assert_eq!(cut(&seated), [0; 0]);
    }

    #[test]
    fn where_there_is_no_stranger_whoever_is_idle_for_longest_leaves() {
        let (room, seated) = full(3);
        for seated in &seated {
            Guest(Arc::clone(&seated.0)).recognize();
        }
        // Whoever was just answered has been idle for a shorter time.
        seated[1].0.since.store(7, Ordering::Relaxed);
        seated[2].0.since.store(5, Ordering::Relaxed);
        seated[0].0.since.store(9, Ordering::Relaxed);
        assert!(!room.has_space());
        assert_eq!(cut(&seated), [2]);
    }

    #[tokio::test]
    async fn while_all_are_being_answered_a_newcomer_waits_for_one_of_them() {
        let (room, seated) = full(2);
        let attended: Vec<Attended> = seated
            .iter()
            .map(|seated| Guest(Arc::clone(&seated.0)).attend())
            .collect();
        assert!(!room.has_space());
        assert_eq!(cut(&seated), [0; 0]);
        let waiting = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.make_space().await }
        });
        drop(attended);
        seated[0].0.cut.cancelled().await;
        drop(seated);
        waiting.await.unwrap();
    }
}
