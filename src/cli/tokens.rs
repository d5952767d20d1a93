//! `rowhook tokens`: the tokens with which owners log in to the API and the page.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use serde_json::json;

use super::{
    output,
    table::{Cell, Table, Tone},
};
use crate::{
    act::{Kind, Who},
    config::{Config, Mistakes},
    manage::{
        Admin,
        scope::Scopes,
        tokens::{self, NewToken, Token},
    },
};

/// The fewest characters of a token, and the most bytes that are read of standard input.
const SHORTEST_TOKEN: usize = 16;
const LARGEST_INPUT: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List tokens, newest first. The tokens themselves are not stored and cannot be shown.
    #[command(after_help = "Example: rowhook tokens list --json")]
    List,
    /// Add a token for an owner. It is shown this once.
    #[command(
        after_help = "Examples:\n  rowhook tokens add 42 --name laptop --expires-in 90days\n  rowhook tokens add 42 --read-only\n  rowhook tokens add 42 --scope 'test deliveries'"
    )]
    Add {
        /// The owner whose hooks it gives access to.
        owner: String,
        /// A note for people.
        #[arg(long, default_value = "")]
        name: String,
        /// Give access for reading only.
        #[arg(long, conflicts_with = "scope")]
        read_only: bool,
        /// What it may be used for: read, write, or some of test, deliveries and hooks; default: write.
        #[arg(long, value_name = "WORDS", value_parser = Scopes::parse)]
        scope: Option<Scopes>,
        /// How long it is valid, such as 90days; without it, until it is revoked.
        #[arg(long)]
        expires_in: Option<String>,
    },
    /// Make a token for an operator, and the hash that hooks.toml needs of it. It touches no database.
    #[command(
        after_help = "Examples:\n  rowhook tokens hash\n  rowhook tokens hash --stdin < token.txt"
    )]
    Hash {
        /// Read the token from standard input, in place of making one.
        #[arg(long)]
        stdin: bool,
    },
    /// Revoke a token. It is refused from now on.
    #[command(after_help = "Example: rowhook tokens revoke 3")]
    Revoke {
        /// The token's id.
        id: i64,
    },
}

/// Prints a token, unless it was given, and its hash.
fn print_hash(stdin: bool, json: bool) -> Result<()> {
    let token = match stdin {
        true => read_token()?,
        false => tokens::random_token(),
    };
    let token_sha256 = hex::encode(tokens::hash(&token));
    let made = (!stdin).then_some(token);
    if json {
        return output::json(&json!({"token": made, "token_sha256": token_sha256}));
    }
    if let Some(token) = made {
        output::line(&format!("token, shown this once: {token}"))?;
    }
    output::line(&format!("token_sha256 = \"{token_sha256}\""))
}

/// The token that standard input holds.
fn read_token() -> Result<String> {
    let mut line = String::new();
    let input = io::stdin().take(LARGEST_INPUT).read_to_string(&mut line);
    input.context("read the token from standard input")?;
    let token = line.trim();
    ensure!(
        token.len() >= SHORTEST_TOKEN && !token.contains(char::is_whitespace),
        "standard input holds no token of at least {SHORTEST_TOKEN} characters; leave --stdin out to have one made"
    );
    Ok(token.to_owned())
}

/// Runs the command. Where it needs none, the configuration is not read.
pub(super) async fn run(
    config: impl FnOnce() -> Result<Config, Mistakes>,
    command: Command,
    json: bool,
) -> Result<()> {
    let who = Who::only(Kind::CommandLine);
    let open = async || Admin::open(Arc::new(config()?), "rowhook tokens", who).await;
    match command {
        Command::Hash { stdin } => print_hash(stdin, json),
        Command::List => {
            let tokens = open().await?.tokens().await?;
            match json {
                true => output::json(&tokens),
                false => print_list(&tokens),
            }
        }
        Command::Add {
            owner,
            name,
            read_only,
            scope,
            expires_in,
        } => {
            let expires_in = expires_in.as_deref().map(lifetime).transpose()?;
            let made = open()
                .await?
                .issue_token(NewToken {
                    owner,
                    name,
                    scope: scope.unwrap_or_else(|| match read_only {
                        true => Scopes::read(),
                        false => Scopes::all(),
                    }),
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
            let token = open().await?.revoke_token(id).await?;
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
            token.scope.to_string().into(),
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
