//! Notes of hooks that cannot be used, where their rows have no place for the reason.

use anyhow::{Context, Result};

use super::{Store, text::without_nul};
use crate::{hook::HookId, lock::lock};

impl Store {
    /// Reads which hooks are noted as invalid. Those that an earlier process has panicked on are tried again, so their
    /// notes are removed.
    ///
    /// # Errors
    /// When the tables cannot be used.
    pub async fn load_invalid(&self) -> Result<()> {
        let client = self.session(&self.client).await?;
        let sql = "with gone as (delete from invalid_hook where panicked or $1) \
                   select hook from invalid_hook where not panicked and not $1";
        // Rows of rowhook's own table have the reason in a column.
        let is_ours = lock(&self.hook_table).is_none();
        let rows = client.query(sql, &[&is_ours]).await;
        let rows = rows.context("read which hooks cannot be used")?;
        let ids = rows
            .iter()
            .map(|row| Ok(HookId::new(row.try_get::<_, String>(0)?, false)));
        let ids: Result<_> = ids.collect();
        *lock(&self.noted_invalid) = ids?;
        Ok(())
    }

    /// Whether there is a note that the hook cannot be used.
    pub fn is_noted_invalid(&self, hook: &HookId) -> bool {
        lock(&self.noted_invalid).contains(hook)
    }

    /// Notes that rowhook has panicked on a hook, which is tried again when its row changes or rowhook starts.
    pub async fn note_panic(&self, hook: &HookId, reason: &str) {
        self.note_invalid(hook, reason, true).await;
    }

    pub(super) async fn note_invalid(&self, hook: &HookId, reason: &str, panicked: bool) {
        lock(&self.noted_invalid).insert(hook.clone());
        let sql = "insert into invalid_hook as noted (hook, reason, panicked) values ($1, $2, $3) \
                   on conflict (hook) do update set reason = excluded.reason, panicked = excluded.panicked \
                   where (noted.reason, noted.panicked) <> (excluded.reason, excluded.panicked)";
        let reason = without_nul(reason);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&hook.as_str(), &&*reason, &panicked];
        self.execute(
            &self.client,
            "note that a hook cannot be used",
            sql,
            &values,
        )
        .await;
    }

    /// Removes the note, if there is one.
    pub async fn forget_invalid(&self, hook: &HookId) {
        if lock(&self.noted_invalid).remove(hook) {
            let sql = "delete from invalid_hook where hook = $1";
            self.execute(
                &self.client,
                "forget a note of a hook",
                sql,
                &[&hook.as_str()],
            )
            .await;
        }
    }
}
