//! One step of a plan.

use crate::postgres::TableName;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is for, in one line.
    pub reason: String,
    /// One or more SQL statements.
    pub sql: String,
    /// How the statements are run.
    pub runs: Runs,
    /// The table that it alters, or moves to another publication. Only its owner may.
    pub alters: Option<TableName>,
}

/// How the statements of a step are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In a transaction of their own, so that locks are held briefly.
    InTransaction,
    /// Likewise, and waiting for locks only so long at once that an application which wants to use the same tables does
    /// not notice.
    Unnoticed,
    /// Likewise, or in one transaction with their like, because their locks let others read and write.
    Together,
    /// Where the slot is, and outside of a transaction, because Postgres does not create a slot in a transaction that
    /// has written.
    AtSource,
    /// As a command of the replication protocol, in a session of that where the slot is.
    AsReplication,
}

/// So many steps are taken together at most.
const TOGETHER: usize = 100;

/// The steps in the same order, those beside each other that can be taken together.
pub(in crate::setup) fn turns(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let alike = steps.chunk_by(|one, next| [one.runs, next.runs] == [Runs::Together; 2]);
    alike.flat_map(|alike| alike.chunks(TOGETHER))
}

/// The function that creates a slot. A step that calls it needs a role that may replicate.
pub(super) const CREATE_SLOT: &str = "pg_create_logical_replication_slot";

#[cfg(test)]
mod tests {
    use super::*;

    fn step(runs: Runs) -> Step {
        Step {
            reason: String::new(),
            sql: String::new(),
            runs,
            alters: None,
        }
    }

    #[test]
    fn only_steps_of_the_same_kind_that_stand_beside_each_other_are_taken_together() {
        use Runs::{AtSource, InTransaction, Together};
        let cases: [(&[Runs], &[usize]); 5] = [
            (&[], &[]),
            (&[InTransaction, InTransaction, AtSource], &[1, 1, 1]),
            (&[InTransaction, Together, Together, AtSource], &[1, 2, 1]),
            (&[Together, InTransaction, Together], &[1, 1, 1]),
            (&[Together; 250], &[100, 100, 50]),
        ];
        for (runs, expected) in cases {
            let steps: Vec<Step> = runs.iter().copied().map(step).collect();
            let sizes: Vec<usize> = turns(&steps).map(<[Step]>::len).collect();
            assert_eq!(sizes, expected, "{runs:?}");
        }
    }
}
