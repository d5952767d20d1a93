//! Durations and sizes: a whole number and its unit, both of which are required.

use std::time::Duration;

/// The longest duration, ten years. A much longer one would overflow the clock.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Reads `500ms`, `15s`, `5m`, `2h` or `30d`, up to ten years.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
    (duration <= LONGEST).then_some(duration)
}

/// Reads `100B`, `64KiB`, `20MiB` or `1GB`. Returns bytes.
pub(super) fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1000 * 1000,
        "MiB" => 1 << 20,
        "GB" => 1000 * 1000 * 1000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(bytes)?).ok()
}

/// A duration as [`duration`] reads it, in the largest unit that it is a whole number of.
pub(super) fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [
        (24 * 60 * 60 * 1000, "d"),
        (60 * 60 * 1000, "h"),
        (60 * 1000, "m"),
        (1000, "s"),
    ];
    let unit = units
        .into_iter()
        .find(|(unit, _)| milliseconds > 0 && milliseconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

/// A size as [`size`] reads it, likewise.
pub(super) fn written_size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quantity_needs_a_whole_number_and_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(2_592_000)));
        assert_eq!(size("64KiB"), Some(65536));
        assert_eq!(size("1GB"), Some(1_000_000_000));
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "5S", "3651d", "1h30m"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "5", "MiB", "1.5MiB", "1 MiB", "1mib", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_quantity_is_read_back(number in 0..1_000_000_000u64) {
            let seconds = number.min(LONGEST.as_secs());
            prop_assert_eq!(duration(&format!("{seconds}s")), Some(Duration::from_secs(seconds)));
            prop_assert_eq!(size(&format!("{number}B")), usize::try_from(number).ok());
        }

        #[test]
        fn what_is_written_is_read_back(milliseconds in 0..100_000_000_000u64, bytes in 0..usize::MAX) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&written(time)), Some(time));
            prop_assert_eq!(size(&written_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (duration(&text), size(&text));
        }
    }
}
