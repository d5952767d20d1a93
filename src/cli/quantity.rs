//! Times, sizes and durations, as people write and read them.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::manage::moment;

/// Parses a point in time: an age such as `2h`, counted back from now, or a time as in RFC 3339.
pub(super) fn time(text: &str) -> Result<SystemTime> {
    Ok(moment::parse(text, SystemTime::now())?)
}

/// Formats a number of bytes with a binary unit, such as `1.5 KiB`.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// Formats a duration in whole seconds, such as `2h 5m`.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = Duration::from_secs(seconds.max(0.0) as u64);
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_or_a_date() {
        assert!(time("2h").unwrap() < SystemTime::now());
        assert_eq!(
            time("1970-01-01T00:01:00Z").unwrap(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(60)
        );
        assert!(
            time("yesterday")
                .unwrap_err()
                .to_string()
                .contains("such as 2h")
        );
    }

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
