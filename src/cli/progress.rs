//! A progress bar for long work.

use std::io::{IsTerminal, stderr};

/// A line on standard error that shows how far the work is. It appears on a terminal only, and is wiped when dropped.
pub(super) struct Progress {
    unit: &'static str,
    is_shown: bool,
}

impl Progress {
    /// A bar that counts in `unit`, a word in the plural such as `rows`.
    pub(super) fn new(unit: &'static str) -> Self {
        Self {
            unit,
            is_shown: false,
        }
    }

    /// Shows that `done` units are finished, out of `total` if that is known.
    pub(super) fn update(&mut self, done: u64, total: Option<u64>) {
        if !stderr().is_terminal() {
            return;
        }
        self.is_shown = true;
        let unit = self.unit;
        match total.filter(|total| *total > 0) {
            Some(total) => {
                const WIDTH: u64 = 30;
                let filled = (done.min(total) * WIDTH / total) as usize;
                let bar = "█".repeat(filled) + &"░".repeat(WIDTH as usize - filled);
                eprint!("\r\x1b[K{bar} {done}/{total} {unit}");
            }
            None => eprint!("\r\x1b[K{done} {unit}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
