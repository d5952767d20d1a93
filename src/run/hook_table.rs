//! What is done when the hook table is dropped or replaced while we run. Its hooks stop; those of hooks.toml go on.

use anyhow::Result;

use super::{context::SessionContext, policy::Superseded, sessions::Sessions};
use crate::{
    reader::{Reader, watch::HookTableNow},
    setup::{catalog::Facts, check::misfits, plan::plan},
};

/// Looks for the hook table, and drops its hooks where it is no more. `reported` is what was logged last, so that each
/// thing is said once.
///
/// # Errors
/// [`Superseded::HookTableReplaced`], where another table has taken its name and hooks can be read from there. A look
/// that fails is only logged: the next one tells.
pub(super) async fn look(
    context: &SessionContext<'_>,
    reader: &mut Reader,
    sessions: &Sessions,
    reported: &mut Option<String>,
) -> Result<()> {
    let obstacle = match reader.look_for_hook_table(&sessions.control).await {
        Ok(HookTableNow::There) => {
            *reported = None;
            return Ok(());
        }
        Ok(HookTableNow::Gone) => "it is gone; create it again".to_owned(),
        Ok(HookTableNow::Replaced) => match obstacle(context, sessions).await {
            Ok(None) => {
                reader.leave_hook_table();
                context.store.forget_off_hooks().await?;
                return Err(Superseded::HookTableReplaced.into());
            }
            Ok(Some(obstacle)) => format!("another table has its name, but {obstacle}"),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "could not look at the new hook table"
                );
                return Ok(());
            }
        },
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "could not look for the hook table"
            );
            return Ok(());
        }
    };
    reader.leave_hook_table();
    if reported.as_ref() != Some(&obstacle) {
        tracing::error!("the hooks of the hook table stop: {obstacle}");
        *reported = Some(obstacle);
    }
    Ok(())
}

/// What keeps hooks from being read from the table that has the name now; `None`: nothing.
async fn obstacle(context: &SessionContext<'_>, sessions: &Sessions) -> Result<Option<String>> {
    let (config, client) = (context.config, &sessions.control);
    let facts = Facts::read(client, sessions.standby.as_ref(), config).await?;
    let steps = match plan(config, &facts) {
        Ok(steps) => steps,
        Err(refused) => return Ok(Some(refused.to_string())),
    };
    if !steps.is_empty() && !context.setup {
        return Ok(Some("it is not published; run rowhook setup".to_owned()));
    }
    let misfits = misfits(client, config, &facts).await?;
    Ok((!misfits.is_empty()).then(|| misfits.join("; ")))
}
