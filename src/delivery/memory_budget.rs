//! The memory budget, in bytes: whoever wants to hold something large in memory first acquires a permit for it.
//!
//! The budget is divided into pools, so that what is parked cannot keep the stream waiting, nor large bodies the small
//! ones. Whatever is larger than a whole pool acquires all of it, and so is in memory alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes one permit of a semaphore stands for, because a semaphore cannot count to the bytes of a large
/// budget.
const PAGE: usize = 1024;

/// How many bytes a delivery takes beside its body.
pub const DELIVERY: usize = 512;

/// The memory budget of a process.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    /// Three quarters, for what comes from the stream.
    pub stream: Pool,
    /// An eighth, for what is claimed from the table.
    pub table: Pool,
    /// An eighth, for single bodies of the table that are larger than what is claimed at once.
    pub large: Pool,
}

/// A part of the memory budget.
#[derive(Debug, Clone)]
pub struct Pool {
    free: Arc<Semaphore>,
    pages: usize,
}

/// The right to some bytes of a [`Pool`]. They are free again when it is dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// Divides a budget of this many bytes. It has to be at least a few KiB.
    pub fn new(bytes: usize) -> Self {
        let eighth = bytes / 8;
        Self {
            stream: Pool::new(bytes - 2 * eighth),
            table: Pool::new(eighth),
            large: Pool::new(eighth),
        }
    }

    /// How many bytes of all pools are in use, and how many there are.
    pub fn used(&self) -> (usize, usize) {
        let pools = [&self.stream, &self.table, &self.large];
        let free: usize = pools.iter().map(|pool| pool.free.available_permits()).sum();
        let all: usize = pools.iter().map(|pool| pool.pages).sum();
        (all.saturating_sub(free) * PAGE, all * PAGE)
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let pages = bytes.div_ceil(PAGE).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(pages)),
            pages,
        }
    }

    /// How many bytes the pool has, in use or not.
    pub fn bytes(&self) -> usize {
        self.pages * PAGE
    }

    /// Waits until this many bytes are free, and acquires them; all of the pool where that is less. First come, first
    /// served.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        self.acquire_beside(None, bytes).await
    }

    /// Acquires bytes like [`acquire`](Self::acquire), but never more than the pool has beside `held`: to wait for what
    /// one holds oneself would take for ever.
    pub async fn acquire_beside(&self, held: Option<&Permit>, bytes: usize) -> Permit {
        let most = self.pages - held.map_or(0, |held| held.0.num_permits());
        let pages = u32::try_from(bytes.div_ceil(PAGE).min(most)).unwrap_or(u32::MAX);
        let acquired = Arc::clone(&self.free).acquire_many_owned(pages).await;
        Permit(acquired.expect("nobody closes a pool"))
    }
}

impl Permit {
    /// Gives back all but this many bytes.
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
    fn what_is_larger_than_a_pool_takes_all_of_it_and_beside_something_the_rest() {
        let memory = MemoryBudget::new(8 << 20);
        let (pool, all) = (&memory.stream, 6 << 20);
        assert_eq!(pool.bytes(), all);
        let taken = pool.acquire(usize::MAX).now_or_never().unwrap();
        assert_eq!(memory.used(), (all, 8 << 20));
        assert!(pool.acquire(1).now_or_never().is_none());
        assert!(memory.table.acquire(1).now_or_never().is_some());
        drop(taken);
        let mut row = pool.acquire(4 << 20).now_or_never().unwrap();
        let body = pool.acquire_beside(Some(&row), all).now_or_never().unwrap();
        assert_eq!(memory.used().0, all);
        row.shrink(1);
        assert_eq!(memory.used().0, (2 << 20) + PAGE);
        drop((row, body));
        assert_eq!(memory.used().0, 0);
    }
}
