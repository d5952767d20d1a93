//! `rate`: how many requests or events go in a time, such as `"100/s"`.

use std::{fmt, num::NonZeroU32, time::Duration};

use super::reader::Value;

/// So many in a second or in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
}

impl Per {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "s" => Some(Self::Second),
            "m" => Some(Self::Minute),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
        }
    }

    fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
        }
    }
}

/// The largest number before the `/`. With many more, there would be no time from one to the next.
const MOST: u32 = 1_000_000;

impl Rate {
    /// How a rate is written.
    pub const REMEDY: &str = "a number from 1 to 1000000 and its time, s or m, such as \"100/s\"";

    /// Reads `100/s` or `20/m`.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, per) = text.split_once('/')?;
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|count| digits && *count <= MOST);
        Some(Self {
            count: NonZeroU32::new(count?)?,
            per: Per::parse(per)?,
        })
    }

    /// The time from one to the next.
    pub fn interval(self) -> Duration {
        self.per.duration() / self.count.get()
    }

    /// Whether this lets more through than the `other`.
    pub fn exceeds(self, other: Self) -> bool {
        self.interval() < other.interval()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.name())
    }
}

/// Reads a rate, or `false` for none. `None`: there is a mistake.
pub(super) fn read(value: &Value<'_>) -> Option<Option<Rate>> {
    if value.is_false() {
        return Some(None);
    }
    let text = value.string_or("a rate such as \"100/s\", or false for none")?;
    let rate = Rate::parse(&text);
    if rate.is_none() {
        let (key, text) = (&value.key, value.quote(&text));
        value.wrong(format!("{key} is {text}; write {}", Rate::REMEDY));
    }
    rate.map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_number_and_its_time() {
        for (text, interval) in [
            ("1/s", Duration::from_secs(1)),
            ("100/s", Duration::from_millis(10)),
            ("1/m", Duration::from_secs(60)),
            ("6000/m", Duration::from_millis(10)),
            ("1000000/s", Duration::from_micros(1)),
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!((rate.interval(), &*rate.to_string()), (interval, text));
        }
        for text in [
            "",
            "/",
            "100",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/h",
            "1/S",
            " 1/s",
            "1/s ",
            "1 / s",
            "1000001/s",
            "99999999999/s",
            "1/s/s",
        ] {
            assert_eq!(Rate::parse(text), None, "{text:?}");
        }
        let [slow, fast] = ["60/m", "2/s"].map(|text| Rate::parse(text).unwrap());
        assert!(fast.exceeds(slow) && !slow.exceeds(fast) && !slow.exceeds(slow));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_written_is_read_back(text in "\\PC*", count in 1..=MOST) {
            let _ = Rate::parse(&text);
            for per in ["s", "m"] {
                let text = format!("{count}/{per}");
                prop_assert_eq!(Rate::parse(&text).unwrap().to_string(), text);
            }
        }
    }
}
