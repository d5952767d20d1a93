//! `rowhook secrets`: sealing what is secret in hooks.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::output;
use crate::{
    act::{Kind, Who},
    config::Config,
    hook::sealed::What,
    manage::{Admin, sealing::Sealed},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how many hooks have secrets that are stored as they are, and with which keys the others are sealed.
    #[command(after_help = "Example: rowhook secrets status --json")]
    Status,
    /// Seal the secrets of all hooks that are stored as they are. Hooks are used and changed meanwhile.
    #[command(after_help = "Example: rowhook secrets seal")]
    Seal,
    /// Seal the secrets of all hooks with the newest key in hooks.toml. The earlier one can be removed then.
    ///
    /// First write the new key into the section secrets and the earlier one under previous, and have the running
    /// rowhook read that: restart it, or send it SIGHUP.
    #[command(after_help = "Example: rowhook secrets rotate")]
    Rotate,
}

pub(super) async fn run(config: Config, command: Command, json: bool) -> Result<()> {
    let admin = Admin::open(
        Arc::new(config),
        "rowhook secrets",
        Who::only(Kind::CommandLine),
    )
    .await?;
    match command {
        Command::Status => {
            let counts = admin.sealed_counts().await?;
            if json {
                return output::json(&counts);
            }
            let key = counts.key.as_deref();
            output::line(&format!("sealed with: {}", key.unwrap_or("no key")))?;
            output::line(&format!("hooks with plain secrets: {}", counts.plain))?;
            let mut keys: Vec<_> = counts.sealed.iter().collect();
            keys.sort();
            for (key, hooks) in keys {
                output::line(&format!("hooks sealed with {key}: {hooks}"))?;
            }
            Ok(())
        }
        Command::Seal => print(&admin.seal_hooks(What::Plain).await?, json),
        Command::Rotate => print(&admin.seal_hooks(What::Outdated).await?, json),
    }
}

fn print(done: &Sealed, json: bool) -> Result<()> {
    if json {
        output::json(done)?;
    } else {
        output::line(&format!(
            "sealed {} hooks with the key {}",
            done.sealed, done.key
        ))?;
        for refused in &done.refused {
            output::line(&format!("hook {}: {}", refused.hook, refused.reason))?;
        }
    }
    match (done.refused.len(), done.busy) {
        (0, 0) => Ok(()),
        (refused, busy) => bail!(
            "{} hooks are not sealed: {refused} cannot be, and {busy} are being changed; mend those, and run it again",
            refused + busy
        ),
    }
}
