//! Positions in the WAL.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A log sequence number: a position in the WAL, in bytes from its beginning. Displayed as in Postgres: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before everything. A stream that is started from here begins where the slot stands.
    pub const ZERO: Self = Self(0);

    /// This position as we confirm it to a slot: the last byte before the record that follows.
    ///
    /// Postgres takes that for the same position, because no record begins between the two. But a slot that was just
    /// made, or moved by hand, stands where a record begins, which is a multiple of eight. So the position of a slot
    /// tells whether it is ours, whatever became of what we have noted.
    pub fn in_our_hand(self) -> Self {
        Self((self.0.saturating_add(1) & !7).saturating_sub(1))
    }

    /// Whether a slot stands where only we put slots.
    pub fn is_in_our_hand(self) -> bool {
        self.0 % 8 == 7
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no LSN; one is two hexadecimal numbers, such as 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |digits| u32::from_str_radix(digits, 16).ok();
        let halves = text.split_once('/');
        let lsn = halves.and_then(|(high, low)| Some((half(high)?, half(low)?)));
        let (high, low) = lsn.ok_or_else(|| ParseLsnError(text.to_owned()))?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_written_as_postgres_writes_it() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn::ZERO.to_string(), "0/0");
        for text in ["", "16", "16/", "16/100000000", "x/1", "1/2/3"] {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_we_confirm_is_never_later_and_shows_our_hand(lsn in 8_u64..u64::MAX) {
            let confirmed = Lsn(lsn).in_our_hand();
            prop_assert!(confirmed.is_in_our_hand() && !Lsn(lsn & !7).is_in_our_hand());
            prop_assert!(confirmed.0 <= lsn && lsn - confirmed.0 < 8);
            prop_assert_eq!(confirmed.in_our_hand(), confirmed);
        }

        #[test]
        fn what_is_written_is_read_again(lsn in any::<u64>().prop_map(Lsn)) {
            prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
        }
    }
}
