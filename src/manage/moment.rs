//! A point in time, as people write it.

use std::time::SystemTime;

/// What is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time; write how long ago, such as 2h or 3days, or a time in UTC such as 2026-01-31T12:00:00Z"
)]
pub struct NoTime(String);

/// Reads an age such as `2h`, counted back from `now`, or a time as in RFC 3339.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str, now: SystemTime) -> Result<SystemTime, NoTime> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| NoTime(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_an_age_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        for (text, expected) in [
            ("2h", Some(92_800)),
            ("0s", Some(100_000)),
            ("1970-01-01T00:01:00Z", Some(60)),
            ("1970-01-01 00:01:00", Some(60)),
            ("yesterday", None),
            ("", None),
        ] {
            let expected =
                expected.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(parse(text, now).ok(), expected, "{text:?}");
        }
    }
}
