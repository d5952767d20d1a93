//! Until when a sender of a cluster may make requests. Then another may have its hooks, and none of its own may still
//! be on their way.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// The time in which requests may be made.
#[derive(Debug)]
pub struct Tenure {
    /// It has ended when this time has come, whoever has noticed that.
    until: Arc<Mutex<Instant>>,
    ended: CancellationToken,
}

impl Tenure {
    /// One that ends at this time, unless it is extended.
    pub fn new(until: Instant) -> Self {
        Self {
            until: Arc::new(Mutex::new(until)),
            ended: CancellationToken::new(),
        }
    }

    /// A part of it, which ends with it, and may be ended before.
    pub fn part(&self) -> Self {
        Self {
            until: Arc::clone(&self.until),
            ended: self.ended.child_token(),
        }
    }

    /// Extends it. One that has ended stays so, also where nobody has noticed that: requests may have been given up.
    /// Returns whether it goes on.
    pub fn extend(&self, until: Instant) -> bool {
        let mut now = lock(&self.until);
        let goes_on = !self.ended.is_cancelled() && Instant::now() < *now;
        if goes_on {
            *now = until.max(*now);
        }
        goes_on
    }

    /// Until when it lasts.
    pub fn until(&self) -> Instant {
        *lock(&self.until)
    }

    /// Ends it now.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Whether it has ended. A process that was stopped for a while sees it here, before anybody could tell it.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled() || Instant::now() >= self.until()
    }

    /// Waits until somebody has ended it.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Works until it is done, or the tenure ends. Then all that is going on is dropped, requests among it.
    ///
    /// The clock is looked at before each step. A process that was frozen goes on where it was, perhaps with a
    /// connection that is there by now, before anybody is woken who would tell it.
    pub async fn until_ended(&self, work: impl Future<Output = ()>) {
        let (mut work, mut ended) = (pin!(work), pin!(self.ended.cancelled()));
        poll_fn(|context| {
            if self.has_ended() || ended.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            work.as_mut().poll(context)
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_the_clock_and_is_never_shortened() {
        let now = Instant::now();
        let tenure = Tenure::new(now + Duration::from_secs(2));
        assert!(tenure.extend(now + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(!tenure.has_ended());
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(tenure.has_ended());
        // Whoever has seen that has given up for good.
        assert!(!tenure.extend(now + Duration::from_secs(9)) && tenure.has_ended());
    }

    #[tokio::test]
    async fn a_part_ends_with_the_whole_and_not_the_other_way_round() {
        let whole = Tenure::new(Instant::now() + Duration::from_secs(60));
        let (one, other) = (whole.part(), whole.part());
        one.end();
        assert!(one.has_ended() && !whole.has_ended() && !other.has_ended());
        whole.end();
        assert!(other.has_ended());
    }

    #[tokio::test]
    async fn work_is_dropped_when_it_ends() {
        let tenure = Tenure::new(Instant::now() + Duration::from_secs(60));
        tenure.end();
        tenure.until_ended(std::future::pending()).await;
        assert!(tenure.has_ended());
    }
}
