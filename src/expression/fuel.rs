//! What one evaluation of an expression may take. The reader waits for every evaluation, so each step of one and each
//! byte that it reads or makes is paid for, whatever the form of the expression. When nothing is left, it ends.

use std::{cell::Cell, time::Duration};

/// The most steps of one evaluation.
pub const STEPS: u64 = 1_000_000;
/// How much of a core's time these take.
pub(super) const EVALUATION: Duration = Duration::from_millis(50);

/// How many steps take so much of a core's time.
pub(super) fn steps_in(time: Duration) -> u64 {
    let steps = time.as_nanos() * u128::from(STEPS) / EVALUATION.as_nanos();
    u64::try_from(steps).unwrap_or(u64::MAX)
}

/// Why an evaluation ends where its owner has no more steps.
pub(super) const OWNER_SPENT: &str =
    "the filters and templates of its owner took more time on this event than they may";
/// The most bytes that one evaluation makes.
const BYTES: u64 = 16 << 20;
/// The bytes that are read in one step.
const BYTES_A_STEP: u64 = 64;

/// What is left of what an evaluation may take.
#[derive(Debug)]
pub(super) struct Fuel {
    allowed: u64,
    steps: Cell<u64>,
    bytes: Cell<u64>,
}

/// Why an evaluation ended without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Something failed. `||`, `&&`, `all` and `exists` may have an answer even so.
    Failed(String),
    /// It took too much. Nothing in the expression can go on.
    Exhausted(String),
}

impl Fuel {
    /// For an evaluation of at most `steps`, and never of more than [`STEPS`].
    pub(super) fn new(steps: u64) -> Self {
        let allowed = steps.min(STEPS);
        Self {
            allowed,
            steps: Cell::new(allowed),
            bytes: Cell::new(BYTES),
        }
    }

    /// The steps that were taken.
    pub(super) fn spent(&self) -> u64 {
        self.allowed - self.steps.get()
    }

    /// Pays for steps.
    ///
    /// # Errors
    /// When too few are left.
    pub(super) fn spend(&self, steps: u64) -> Result<(), Halt> {
        if let Some(left) = self.steps.get().checked_sub(steps) {
            self.steps.set(left);
            return Ok(());
        }
        self.steps.set(0);
        Err(Halt::Exhausted(if self.allowed < STEPS {
            OWNER_SPENT.into()
        } else {
            format!("it took more than {STEPS} steps")
        }))
    }

    /// Pays for bytes that are read.
    ///
    /// # Errors
    /// When too few steps are left.
    pub(super) fn read(&self, bytes: usize) -> Result<(), Halt> {
        self.spend(bytes as u64 / BYTES_A_STEP)
    }

    /// Pays for bytes that are made.
    ///
    /// # Errors
    /// When too few bytes or steps are left.
    pub(super) fn make(&self, bytes: usize) -> Result<(), Halt> {
        self.read(bytes)?;
        let left = self.bytes.get().checked_sub(bytes as u64);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            Halt::Exhausted(format!("it made more than {} MiB of values", BYTES >> 20))
        })
    }
}

/// A failure with this reason.
pub(super) fn failed(reason: impl Into<String>) -> Halt {
    Halt::Failed(reason.into())
}
