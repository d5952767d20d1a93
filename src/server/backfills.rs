//! Backfills that were asked for over HTTP, each run in a task of its own.

use std::sync::Arc;

use super::generation::Generation;

/// Runs a backfill until it ends or rowhook does. If two tasks run the same one, they take turns.
pub(super) fn spawn(generation: &Arc<Generation>, id: i64) {
    let generation = Arc::clone(generation);
    tokio::spawn(async move {
        let carried = async {
            let mut admin = generation.dedicated_admin().await?;
            anyhow::Ok(admin.run_backfill(id, &mut |_| {}).await?)
        };
        match carried.await {
            Ok(ended) => tracing::info!(
                backfill = id,
                state = ended.state,
                sent = ended.sent,
                "a backfill ended"
            ),
            Err(error) => tracing::error!(
                backfill = id,
                error = format!("{error:#}"),
                "a backfill was interrupted; go on with: rowhook backfill --resume {id}"
            ),
        }
    });
}
