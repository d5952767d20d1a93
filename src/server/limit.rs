//! How often a caller may ask: a bucket that fills evenly over a minute.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::lock::lock;

/// Buckets of callers who have not come for so long are forgotten: they are full again.
const FORGET: Duration = Duration::from_secs(60);
/// Look for those when there are so many.
const MANY: usize = 10_000;

/// The buckets of all callers.
pub(super) struct Limits {
    per_minute: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Limits {
    pub(super) fn per_minute(requests: u32) -> Self {
        Self {
            per_minute: f64::from(requests),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request of `caller`. If there is none left, says when there will be.
    pub(super) fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| now - bucket.at < FORGET);
        }
        let per_second = self.per_minute / 60.0;
        let bucket = buckets.entry(caller.to_owned()).or_insert(Bucket {
            left: self.per_minute,
            at: now,
        });
        let filled = (now - bucket.at).as_secs_f64() * per_second;
        bucket.left = (bucket.left + filled).min(self.per_minute);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait = (1.0 - bucket.left) / per_second;
            return Err(Duration::from_secs_f64(wait));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_a_minute_and_shares_them_with_nobody() {
        let limits = Limits::per_minute(60);
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
