//! The byte budget: who wants to have something large in memory takes it from here first, and whoever drops it gives it back.
//!
//! It is divided into purses, so that what is parked cannot keep the stream waiting, nor large bodies the small ones. Something
//! that is larger than all of a purse takes all of it, and so is there alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in pages, because a semaphore cannot count to the bytes of a large budget.
const PAGE: usize = 1024;

/// What a delivery costs beside its body.
pub const DELIVERY: usize = 512;

/// The budget of a process, divided.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Three quarters, for what comes from the stream.
    pub stream: Purse,
    /// An eighth, for what is claimed from the table.
    pub table: Purse,
    /// An eighth, for single bodies of the table that are larger than what is claimed at once.
    pub large: Purse,
}

/// A part of the budget.
#[derive(Debug, Clone)]
pub struct Purse {
    free: Arc<Semaphore>,
    pages: usize,
}

/// Memory that was taken. It is given back when this is dropped.
#[derive(Debug)]
pub struct Taken(OwnedSemaphorePermit);

impl Memory {
    /// So many bytes, at least a few KiB.
    pub fn new(bytes: usize) -> Self {
        let eighth = bytes / 8;
        Self {
            stream: Purse::new(bytes - 2 * eighth),
            table: Purse::new(eighth),
            large: Purse::new(eighth),
        }
    }

    /// How many bytes of all purses are taken, and how many there are.
    pub fn used(&self) -> (usize, usize) {
        let purses = [&self.stream, &self.table, &self.large];
        let free: usize = purses
            .iter()
            .map(|purse| purse.free.available_permits())
            .sum();
        let all: usize = purses.iter().map(|purse| purse.pages).sum();
        (all.saturating_sub(free) * PAGE, all * PAGE)
    }
}

impl Purse {
    fn new(bytes: usize) -> Self {
        let pages = bytes.div_ceil(PAGE).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(pages)),
            pages,
        }
    }

    /// How many bytes there are, taken or not.
    pub fn bytes(&self) -> usize {
        self.pages * PAGE
    }

    /// Takes so many bytes, as soon as they are free; of more than there are, all. Who comes first is served first.
    pub async fn take(&self, bytes: usize) -> Taken {
        self.take_beside(None, bytes).await
    }

    /// The same for one who holds some already, and would wait for it in vain.
    pub async fn take_beside(&self, held: Option<&Taken>, bytes: usize) -> Taken {
        let most = self.pages - held.map_or(0, |held| held.0.num_permits());
        let pages = u32::try_from(bytes.div_ceil(PAGE).min(most)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.free).acquire_many_owned(pages).await;
        Taken(taken.expect("nobody closes a purse"))
    }
}

impl Taken {
    /// Gives back what is more than so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let more = self.0.num_permits().saturating_sub(bytes.div_ceil(PAGE));
        drop(self.0.split(more));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_larger_than_a_purse_takes_all_of_it_and_beside_something_the_rest() {
        let memory = Memory::new(8 << 20);
        let (purse, all) = (&memory.stream, 6 << 20);
        assert_eq!(purse.bytes(), all);
        let taken = purse.take(usize::MAX).now_or_never().unwrap();
        assert_eq!(memory.used(), (all, 8 << 20));
        assert!(purse.take(1).now_or_never().is_none());
        assert!(memory.table.take(1).now_or_never().is_some());
        drop(taken);
        let mut row = purse.take(4 << 20).now_or_never().unwrap();
        let body = purse.take_beside(Some(&row), all).now_or_never().unwrap();
        assert_eq!(memory.used().0, all);
        row.shrink(1);
        assert_eq!(memory.used().0, (2 << 20) + PAGE);
        drop((row, body));
        assert_eq!(memory.used().0, 0);
    }
}
