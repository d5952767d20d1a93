//! `rowhook tokens`: the tokens with which owners log in to the API and the page.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::{
    output,
    table::{Cell, Table, Tone},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Admin,
        tokens::{NewToken, Scope, Token},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List tokens, newest first. The tokens themselves are not stored and cannot be shown.
    #[command(after_help = "Example: rowhook tokens list --json")]
    List,
    /// Add a token for an owner. It is shown this once.
    #[command(
        after_help = "Examples:\n  rowhook tokens add 42 --name laptop --expires-in 90days\n  rowhook tokens add 42 --read-only"
    )]
    Add {
        /// The owner whose hooks it gives access to.
        owner: String,
        /// A note for people.
        #[arg(long, default_value = "")]
        name: String,
        /// Give access for reading only.
        #[arg(long)]
        read_only: bool,
        /// How long it is valid, such as 90days; without it, until it is revoked.
        #[arg(long)]
        expires_in: Option<String>,
    },
    /// Revoke a token. It is refused from now on.
    #[command(after_help = "Example: rowhook tokens revoke 3")]
    Revoke {
        /// The token's id.
        id: i64,
    },
}

pub(super) async fn run(config: Config, command: Command, json: bool) -> Result<()> {
    let mut admin = Admin::open(
        Arc::new(config),
        "rowhook tokens",
        Who::only(Kind::CommandLine),
    )
    .await?;
    match command {
        Command::List => {
            let tokens = admin.tokens().await?;
            match json {
                true => output::json(&tokens),
                false => print_list(&tokens),
            }
        }
        Command::Add {
            owner,
            name,
            read_only,
            expires_in,
        } => {
            let expires_in = expires_in.as_deref().map(lifetime).transpose()?;
            let made = admin
                .issue_token(NewToken {
                    owner,
                    name,
                    scope: if read_only { Scope::Read } else { Scope::Write },
                    expires_in: expires_in.map(|lifetime| lifetime.as_secs()),
                })
                .await?;
            if json {
                return output::json(&made);
            }
            output::line(&format!(
                "made token {} for {}",
                made.details.id, made.details.owner
            ))?;
            output::line(&format!("token, shown this once: {}", made.token))
        }
        Command::Revoke { id } => {
            let token = admin.revoke_token(id).await?;
            match json {
                true => output::json(&token),
                false => output::line(&format!("revoked token {id} of {}", token.owner)),
            }
        }
    }
}

/// Parses how long a token is valid, such as `90days`.
fn lifetime(text: &str) -> Result<Duration> {
    humantime::parse_duration(text)
        .with_context(|| format!("--expires-in {text:?} is no duration; write such as 90days"))
}

fn print_list(tokens: &[Token]) -> Result<()> {
    let mut table = Table::new(&[
        "id", "owner", "scope", "name", "made", "expires", "used", "state",
    ]);
    for token in tokens {
        let or = |text: &Option<String>, none: &str| Cell::from(text.as_deref().unwrap_or(none));
        table.row([
            token.id.to_string().into(),
            token.owner.as_str().into(),
            token.scope.as_str().into(),
            token.name.as_str().into(),
            token.created_at.as_str().into(),
            or(&token.expires_at, "never"),
            or(&token.used_at, "never"),
            match token.revoked_at {
                Some(_) => Cell::toned("revoked", Tone::Bad),
                None => "".into(),
            },
        ]);
    }
    table.print("no tokens")
}
