//! Whether what the database says now was so at an earlier place in the stream.
//!
//! A row that the stream tells nothing of between that place and the present is the same in both. So an answer counts
//! in two cases: when the stream has come to where it was given, and said nothing else; and before that, when the
//! transaction that wrote the row had ended before a place which the stream has come to.

use std::collections::VecDeque;

use tokio_postgres::{Client, Error};

use crate::postgres::Lsn;

/// The most moments that are waited for. With more, only the last ones are of use.
const MOST_AHEAD: usize = 64;

/// When the database was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// The id of the next transaction.
    end: u64,
    /// All transactions before this one have ended.
    oldest: u64,
    /// The commit of all that the answer shows is before this.
    pub(super) at: Lsn,
}

/// What is known of the past of a place in the stream.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// What happened up to here is known: it was applied, or noted in advance.
    known_to: Lsn,
    /// All transactions before this one ended before `known_to`.
    ended: u64,
    /// Moments that the stream has not come to.
    ahead: VecDeque<Moment>,
}

impl Moment {
    /// The present, which is after all that was answered before.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn read(client: &Client) -> Result<Self, Error> {
        let row = client
            .query_one(include_str!("../../sql/catalog/moment.sql"), &[])
            .await?;
        let number = |text: &str| text.parse().unwrap_or_default();
        Ok(Self {
            end: number(row.try_get("until")?),
            oldest: number(row.try_get("oldest")?),
            // Where it cannot be told, no place is late enough.
            at: row
                .try_get::<_, Option<&str>>("at")?
                .and_then(|text| text.parse().ok())
                .unwrap_or(Lsn(u64::MAX)),
        })
    }

    /// A moment at which all transactions before `oldest` had ended. The stream was at `at` then.
    pub(super) fn of(oldest: u64, at: Lsn) -> Self {
        Self {
            end: oldest,
            oldest,
            at,
        }
    }

    /// The whole id of a transaction that was seen at this moment. Ids go round, and rows keep those of long ago.
    fn whole(&self, xid: u32) -> u64 {
        let low = u32::try_from(self.end & u64::from(u32::MAX)).unwrap_or_default();
        // The last one is the one before `end`; the same number as that of `end` is a whole round older.
        let older = low.wrapping_sub(xid).wrapping_sub(1);
        self.end.saturating_sub(u64::from(older) + 1)
    }
}

impl Reach {
    /// What happened up to here is known.
    pub(super) fn extend(&mut self, to: Lsn) {
        self.known_to = self.known_to.max(to);
        while let Some(moment) = self
            .ahead
            .front()
            .filter(|moment| moment.at <= self.known_to)
        {
            self.ended = self.ended.max(moment.oldest);
            self.ahead.pop_front();
        }
    }

    /// What was noted in advance is forgotten; only what happened up to here is known.
    pub(super) fn shrink(&mut self, to: Lsn) {
        if self.known_to > to {
            *self = Self {
                known_to: to,
                ..Self::default()
            };
        }
    }

    /// A moment that the stream may come to.
    pub(super) fn expect(&mut self, moment: Moment) {
        if self.ahead.len() >= MOST_AHEAD {
            self.ahead.pop_back();
        }
        self.ahead.push_back(moment);
        self.extend(Lsn::ZERO);
    }

    /// Is all known that happened before this?
    pub(super) fn includes(&self, at: Lsn) -> bool {
        at <= self.known_to
    }

    /// Had the transaction, which was seen at this moment, ended before what is not known yet?
    pub(super) fn is_past(&self, xid: u32, seen: &Moment) -> bool {
        seen.whole(xid) < self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: u64 = 1 << 32;

    fn moment(oldest: u64, end: u64, at: u64) -> Moment {
        Moment {
            end,
            oldest,
            at: Lsn(at),
        }
    }

    #[test]
    fn a_transaction_is_past_when_the_stream_has_come_to_a_moment_after_its_end() {
        let mut reach = Reach::default();
        let first = moment(100, 104, 50);
        reach.expect(first);
        assert!(!reach.is_past(99, &first), "nothing was read yet");
        reach.extend(Lsn(49));
        assert!(!reach.is_past(99, &first) && !reach.includes(Lsn(50)));
        reach.extend(Lsn(50));
        assert!(reach.is_past(99, &first) && reach.includes(Lsn(50)));
        assert!(!reach.is_past(100, &first), "it may still have run");
        // A later answer shows more than the stream has come to.
        let second = moment(110, 110, 90);
        reach.expect(second);
        assert!(reach.is_past(99, &second) && !reach.is_past(105, &second));
        reach.extend(Lsn(90));
        assert!(reach.is_past(105, &second));
        reach.shrink(Lsn(60));
        assert!(!reach.is_past(99, &second) && !reach.includes(Lsn(90)));
        assert!(reach.includes(Lsn(60)));
    }

    #[test]
    fn ids_go_round_and_those_of_long_ago_are_past() {
        let mut reach = Reach::default();
        let seen = moment(ROUND + 5, ROUND + 8, 1);
        reach.expect(seen);
        reach.extend(Lsn(1));
        for (xid, past) in [
            (4, true),
            (5, false),
            (7, false),
            (u32::MAX, true),
            (8, true),
            (u32::MAX / 2, true),
        ] {
            assert_eq!(reach.is_past(xid, &seen), past, "{xid}");
        }
    }
}
