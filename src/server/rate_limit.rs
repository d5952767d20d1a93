//! How many requests a caller may make: a token bucket that refills evenly over a minute.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::lock::lock;

/// A bucket that was not used for this time is full again, and need not be kept.
const REFILL: Duration = Duration::from_secs(60);
/// From this number of buckets on, full ones are removed.
const MANY: usize = 10_000;

/// The buckets of all callers, by their names.
pub(super) struct RateLimits {
    per_minute: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    filled_at: Instant,
}

impl RateLimits {
    pub(super) fn per_minute(requests: u32) -> Self {
        Self {
            per_minute: f64::from(requests),
            buckets: Mutex::default(),
        }
    }

    /// Takes one token of `caller`.
    ///
    /// # Errors
    /// When there is none left: the time until there is one.
    pub(super) fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| now - bucket.filled_at < REFILL);
        }
        let per_second = self.per_minute / 60.0;
        let bucket = buckets.entry(caller.to_owned()).or_insert(Bucket {
            left: self.per_minute,
            filled_at: now,
        });
        let filled = (now - bucket.filled_at).as_secs_f64() * per_second;
        bucket.left = (bucket.left + filled).min(self.per_minute);
        bucket.filled_at = now;
        if bucket.left < 1.0 {
            let wait = (1.0 - bucket.left) / per_second;
            return Err(Duration::from_secs_f64(wait));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Gives back a token that `caller` has taken.
    pub(super) fn give_back(&self, caller: &str) {
        if let Some(bucket) = lock(&self.buckets).get_mut(caller) {
            bucket.left = (bucket.left + 1.0).min(self.per_minute);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_a_minute_and_shares_them_with_nobody() {
        let limits = RateLimits::per_minute(60);
        let start = Instant::now();
        for _ in 0..60 {
            limits.take("anna", start).unwrap();
        }
        let wait = limits.take("anna", start).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        limits.take("ben", start).unwrap();
        limits.take("anna", start + Duration::from_secs(1)).unwrap();
        assert!(limits.take("anna", start + Duration::from_secs(1)).is_err());
    }
}
