//! Points in time, as the replication protocol counts them and as people read them.

use std::time::{Duration, SystemTime};

/// 2000-01-01 00:00 UTC, where Postgres begins to count, in seconds since the Unix epoch.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// The time that is this many microseconds after 2000-01-01 00:00 UTC; 2000 itself if [`SystemTime`] cannot hold it.
pub fn from_micros(micros_since_2000: i64) -> SystemTime {
    let distance = Duration::from_micros(micros_since_2000.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH + POSTGRES_EPOCH;
    let time = if micros_since_2000 >= 0 {
        epoch.checked_add(distance)
    } else {
        epoch.checked_sub(distance)
    };
    time.unwrap_or(epoch)
}

/// Microseconds from 2000-01-01 00:00 UTC to `time`: the inverse of [`from_micros`].
pub fn to_micros(time: SystemTime) -> i64 {
    let epoch = SystemTime::UNIX_EPOCH + POSTGRES_EPOCH;
    let (distance, sign) = match time.duration_since(epoch) {
        Ok(since) => (since, 1),
        Err(before) => (before.duration(), -1),
    };
    sign * i64::try_from(distance.as_micros()).unwrap_or(i64::MAX)
}

/// `time` in RFC 3339, in UTC and with microseconds, the precision of Postgres.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_outside_of_the_calendar_is_a_time_all_the_same() {
        for micros in [i64::MIN, -1, 0, i64::MAX] {
            let _ = from_micros(micros);
        }
        assert_eq!(
            from_micros(0)
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            946_684_800
        );
    }
}
