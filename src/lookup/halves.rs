//! Asks about many rows at once, so that one bad row spoils the answer of no other.
//!
//! Where a row makes a query fail, the query is run again for each half of the rows, down to the one row.

use std::{ops::Range, time::Duration};

use tokio::time::Instant;
use tokio_postgres::Error;

use crate::postgres::{error_message, fault::Fault};

/// How long bad rows are looked for. What has not been asked about by then is refused like the row before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the database did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of its error, which is never [`Fault::Lost`].
    pub fault: Fault,
    /// Its message.
    pub reason: String,
}

impl Refusal {
    /// The refusal that an error stands for.
    ///
    /// # Errors
    /// The error itself, when the connection was lost.
    pub fn of(error: Error) -> Result<Self, Error> {
        match Fault::of(&error) {
            Fault::Lost => Err(error),
            fault => Ok(Self {
                fault,
                reason: error_message(&error),
            }),
        }
    }

    /// The refusal that an error stands for, of a query that runs code of users. See [`Fault::of_code`].
    ///
    /// # Errors
    /// The error itself, when the connection was lost.
    pub fn of_code(error: Error) -> Result<Self, Error> {
        match Fault::of_code(&error) {
            Fault::Lost => Err(error),
            fault => Ok(Self {
                fault,
                reason: error_message(&error),
            }),
        }
    }

    /// The refusal that an error with causes stands for.
    ///
    /// # Errors
    /// The error itself, when the connection was lost.
    pub fn of_any(error: anyhow::Error) -> Result<Self, anyhow::Error> {
        match Fault::of_any(&error) {
            Fault::Lost => Err(error),
            fault => Ok(Self {
                fault,
                reason: error.root_cause().to_string(),
            }),
        }
    }

    /// That nothing has been asked yet, because others stand before it.
    pub fn behind_others() -> Self {
        Self {
            fault: Fault::ForNow,
            reason: "others of its table wait".to_owned(),
        }
    }

    /// Is it worth while to ask again?
    pub fn is_for_now(&self) -> bool {
        self.fault == Fault::ForNow
    }
}

/// The rows that are still to be asked about, and those that were refused.
#[derive(Debug)]
pub struct Halves {
    waiting: Vec<Range<usize>>,
    refused: Vec<(Range<usize>, Refusal)>,
    until: Instant,
}

impl Halves {
    /// All of `rows` rows are to be asked about.
    pub fn of(rows: usize) -> Self {
        let all = std::iter::once(0..rows).filter(|all| !all.is_empty());
        Self::of_portions(all.collect())
    }

    /// All rows of these portions are to be asked about, one portion after the other.
    pub fn of_portions(mut portions: Vec<Range<usize>>) -> Self {
        portions.reverse();
        Self {
            waiting: portions,
            refused: Vec::new(),
            until: Instant::now() + PATIENCE,
        }
    }

    /// The rows to ask about next.
    pub fn next_part(&mut self) -> Option<Range<usize>> {
        self.waiting.pop()
    }

    /// Records that the query failed for these rows.
    pub fn refuse(&mut self, rows: Range<usize>, refusal: Refusal) {
        let is_one_of_them = refusal.fault == Fault::Row;
        if is_one_of_them && rows.len() > 1 && Instant::now() < self.until {
            let middle = rows.start + rows.len() / 2;
            self.waiting.push(middle..rows.end);
            self.waiting.push(rows.start..middle);
            return;
        }
        if !is_one_of_them {
            // Whatever it was, it was not about these rows alone.
            let rest = std::mem::take(&mut self.waiting);
            let rest = rest.into_iter().map(|rows| (rows, refusal.clone()));
            self.refused.extend(rest);
        }
        self.refused.push((rows, refusal));
    }

    /// Why the first of the rows that were refused was.
    pub fn first_refusal(self) -> Option<Refusal> {
        let refused = self.refused.into_iter();
        let first = refused.min_by_key(|(rows, _)| rows.start);
        first.map(|(_, refusal)| refusal)
    }

    /// The rows that were refused, each with the reason.
    pub fn refused(self) -> Vec<(usize, Refusal)> {
        let each =
            |(rows, refusal): (Range<usize>, Refusal)| rows.map(move |row| (row, refusal.clone()));
        let mut refused: Vec<_> = self.refused.into_iter().flat_map(each).collect();
        refused.sort_by_key(|(row, _)| *row);
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(fault: Fault) -> Refusal {
        Refusal {
            fault,
            reason: format!("{fault:?}"),
        }
    }

    /// Asks about `rows` rows, of which `bad` make a query fail. Returns the refused ones and the number of queries.
    fn ask(rows: usize, bad: &[usize]) -> (Vec<usize>, usize) {
        let (mut halves, mut queries) = (Halves::of(rows), 0);
        while let Some(part) = halves.next_part() {
            queries += 1;
            if bad.iter().any(|row| part.contains(row)) {
                halves.refuse(part, refusal(Fault::Row));
            }
        }
        let refused = halves.refused().into_iter().map(|(row, _)| row);
        (refused.collect(), queries)
    }

    #[test]
    fn only_the_bad_rows_are_refused() {
        for (rows, bad, queries) in [
            (0, &[][..], 0),
            (1, &[][..], 1),
            (1, &[0][..], 1),
            (100, &[][..], 1),
            (1024, &[700][..], 21),
            (8, &[0, 7][..], 11),
            (4, &[0, 1, 2, 3][..], 7),
        ] {
            assert_eq!(ask(rows, bad), (bad.to_vec(), queries), "{rows} {bad:?}");
        }
    }

    #[test]
    fn what_is_not_about_a_row_refuses_all_that_is_left() {
        for fault in [Fault::ForNow, Fault::Renamed, Fault::ForGood] {
            let mut halves = Halves::of(4);
            let all = halves.next_part().unwrap();
            halves.refuse(all, refusal(Fault::Row));
            let first = halves.next_part().unwrap();
            halves.refuse(first, refusal(fault));
            assert_eq!(halves.next_part(), None);
            let refused = halves.refused();
            assert_eq!(
                refused,
                (0..4).map(|row| (row, refusal(fault))).collect::<Vec<_>>()
            );
        }
    }
}
