//! The memory budget, in bytes: whoever wants to hold something large in memory first acquires a permit for it.
//!
//! The budget is divided into pools, so that what is parked cannot keep the stream waiting, nor large bodies the small
//! ones. Whatever is larger than a whole pool acquires all of it, and so is in memory alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Compression, hook::Hook};

/// How many bytes one permit of a semaphore stands for, because a semaphore cannot count to the bytes of a large
/// budget.
const PAGE: usize = 1024;

/// Of a body of more bytes than this, the database driver copies part.
const LARGE_BODY: usize = 1 << 20;

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
    /// The pool that this one is a part of.
    whole: Option<Box<Pool>>,
}

/// The right to some bytes of a [`Pool`]. They are free again when it is dropped.
#[derive(Debug)]
pub struct Permit {
    own: OwnedSemaphorePermit,
    of_whole: Option<OwnedSemaphorePermit>,
}

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
            whole: None,
        }
    }

    /// A pool of one of `parts` parts of the bytes of this one. What is acquired of it is acquired of this one, too.
    pub fn part(&self, parts: usize) -> Self {
        Self {
            whole: Some(Box::new(self.clone())),
            ..Self::apart(self, parts)
        }
    }

    /// A pool of as many bytes as a [`part`](Self::part), which has nothing to do with this one.
    pub fn apart(&self, parts: usize) -> Self {
        Self::new(self.bytes() / parts.max(1))
    }

    /// How many bytes the pool has, in use or not.
    pub fn bytes(&self) -> usize {
        self.pages * PAGE
    }

    /// Whether somebody has bytes of it.
    pub fn is_used(&self) -> bool {
        self.free.available_permits() < self.pages
    }

    /// Waits until this many bytes are free, and acquires them; all of the pool where that is less. First come, first
    /// served.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        self.acquire_beside(None, bytes).await
    }

    /// Acquires bytes like [`acquire`](Self::acquire), but never more than the pool has beside `held`: to wait for what
    /// one holds oneself would take for ever.
    pub async fn acquire_beside(&self, held: Option<&Permit>, bytes: usize) -> Permit {
        let held = held.map_or(0, |held| held.own.num_permits());
        let own = self.acquire_pages(self.permits(bytes, held)).await;
        let of_whole = match &self.whole {
            Some(whole) => Some(whole.acquire_pages(whole.permits(bytes, held)).await),
            None => None,
        };
        Permit { own, of_whole }
    }

    /// Acquires this many bytes, or all of the pool where that is less, if they are free and nobody waits for them.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let own = self.try_acquire_pages(self.permits(bytes, 0))?;
        let of_whole = match &self.whole {
            Some(whole) => Some(whole.try_acquire_pages(whole.permits(bytes, 0))?),
            None => None,
        };
        Some(Permit { own, of_whole })
    }

    /// As [`try_acquire`](Self::try_acquire), but so that one of `parts` parts of the pool is left free.
    pub fn try_acquire_leaving(&self, bytes: usize, parts: usize) -> Option<Permit> {
        let left = self
            .free
            .available_permits()
            .checked_sub(bytes.div_ceil(PAGE))?;
        let permit = (left >= self.pages / parts.max(1)).then(|| self.try_acquire(bytes));
        permit.flatten()
    }

    /// How many permits these bytes take, beside those that are held.
    fn permits(&self, bytes: usize, held: usize) -> u32 {
        let most = self.pages.saturating_sub(held);
        u32::try_from(bytes.div_ceil(PAGE).min(most)).unwrap_or(u32::MAX)
    }

    async fn acquire_pages(&self, pages: u32) -> OwnedSemaphorePermit {
        let acquired = Arc::clone(&self.free).acquire_many_owned(pages).await;
        acquired.expect("nobody closes a pool")
    }

    fn try_acquire_pages(&self, pages: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(pages).ok()
    }
}

impl Permit {
    /// Gives back all but this many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        for held in [Some(&mut self.own), self.of_whole.as_mut()] {
            let Some(held) = held else { continue };
            let more = held.num_permits().saturating_sub(bytes.div_ceil(PAGE));
            drop(held.split(more));
        }
    }
}

/// The memory that a delivery takes whose body has `body` bytes.
pub fn delivery_bytes(body: usize, hook: &Hook) -> usize {
    // A batch copies the body into its request, and the database driver copies part of a large body when it is parked.
    let copies = match hook.delivery.batch {
        Some(_) => body,
        None if body > LARGE_BODY => body / 2,
        None => 0,
    };
    // What is compressed stands beside it.
    let packed = match hook.delivery.compress {
        Compression::Gzip => body / 2,
        Compression::None => 0,
    };
    body + packed + copies + DELIVERY
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

    #[test]
    fn whoever_has_all_of_a_part_leaves_the_rest_of_the_pool_to_others() {
        let memory = MemoryBudget::new(8 << 20);
        let (pool, part) = (&memory.table, memory.table.part(2));
        assert_eq!((pool.bytes(), part.bytes()), (1 << 20, 1 << 19));
        let mut first = part.acquire(400 << 10).now_or_never().unwrap();
        assert!(part.try_acquire(200 << 10).is_none());
        assert!(part.acquire(200 << 10).now_or_never().is_none());
        let others = pool.try_acquire(600 << 10).unwrap();
        // What is larger than the part takes all of it, and as much as it has of the pool.
        first.shrink(1);
        drop(others);
        drop(first);
        let large = part.try_acquire(700 << 10).unwrap();
        assert_eq!(memory.used().0, 700 << 10);
        assert!(part.try_acquire(1).is_none());
        assert!(pool.try_acquire(324 << 10).is_some());
        drop(large);
        assert_eq!(memory.used().0, 0);
        let apart = pool.apart(2).try_acquire(1);
        assert!(apart.is_some());
        assert_eq!(memory.used().0, 0);
    }
}
