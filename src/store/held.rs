//! Which delivery keeps the slot where it is, for people who ask in another process.

use std::time::Duration;

use anyhow::Result;

use super::Store;
use crate::hook::HookId;

impl Store {
    /// Notes which hook the oldest unsettled delivery is of, and for how long it has been held; `None`: none is held
    /// for long. Returns whether that is on record: there is no place for it before the first checkpoint.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn note_held(&self, slot: &str, held: Option<(&HookId, Duration)>) -> Result<bool> {
        let sql = "update progress set held_hook = $2, held_since = clock_timestamp() - make_interval(secs => $3) \
                   where slot = $1";
        let hook = held.map(|(hook, _)| hook.as_str());
        let seconds = held.map(|(_, lasted)| lasted.as_secs_f64());
        let rows = self
            .execute_once(&self.checkpoints, sql, &[&slot, &hook, &seconds])
            .await?;
        Ok(rows > 0)
    }
}
