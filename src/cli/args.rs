//! The command line: the options of all commands, and the commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    audit, backfill, deliveries, explain, forget, health, hooks, init, logs, portal, receive, run,
    schema, secrets, shadow, tail, tokens, trigger, version,
};
use crate::demo;

/// Webhooks from any Postgres database, with zero changes to the application.
#[derive(Debug, Parser)]
#[command(
    version,
    long_version = version::LONG,
    about,
    after_help = "Start with `rowhook demo`, or with `rowhook init` on a database of your own."
)]
pub struct Args {
    /// The configuration file: which changes are events, and where they go [default: hooks.toml; receive.toml for
    /// receive].
    #[arg(long, global = true, env = "ROWHOOK_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// One of the databases of hooks.toml. Without it, check, setup, migrate, status, events and teardown are
    /// about all of them, and other commands ask for one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) database: Option<String>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The format of the log, which goes to standard error.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "human",
        env = "ROWHOOK_LOG_FORMAT"
    )]
    pub(super) log_format: logs::Format,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a hooks.toml for the tables of a database.
    Init(init::Args),
    /// Find what is wrong in the configuration and the database, and say what to do about it.
    ///
    /// What is worst comes first. Findings that say the same of many things are told once, with their number.
    #[command(after_help = "Example: rowhook check --verbose")]
    Check {
        /// Tell every finding by itself.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Create what is missing in the database: rowhook's tables, the publications, the slot.
    Setup {
        /// Change nothing; print the SQL for someone with more privileges.
        #[arg(long)]
        print: bool,
        /// Go on without the changes that were lost with the slot.
        #[arg(long, conflicts_with = "print")]
        accept_gap: bool,
    },
    /// Bring rowhook's own tables to what this version needs, and touch nothing else. A running rowhook goes on.
    #[command(after_help = "Example: rowhook migrate --print | psql -v ON_ERROR_STOP=1")]
    Migrate {
        /// Change nothing; print the SQL for someone with more privileges.
        #[arg(long)]
        print: bool,
    },
    /// Attach to the database, and deliver until stopped.
    Run {
        /// Create nothing in the database, and fail if something is missing.
        #[arg(long)]
        no_setup: bool,
        /// Do only this part of the work of a cluster.
        #[arg(long, value_enum)]
        only: Option<run::Only>,
    },
    /// List the events: what fires each, whose hooks receive it, and how many hooks do.
    #[command(after_help = "Example: rowhook events --json")]
    Events,
    /// Print the JSON Schema of what the receivers of an event get, and its content type; or a document of all events,
    /// or of the API.
    #[command(
        after_help = "Examples: rowhook schema book.added --payload standard > book.added.json\n          rowhook schema --asyncapi > asyncapi.json"
    )]
    Schema(schema::Args),
    /// Send an event to a hook or a URL for real, and show the request, the answer and the timing.
    ///
    /// Without --row and --key, any row of the table is sent. The webhook-id begins with msg_test_.
    #[command(after_help = "Example: rowhook trigger book.added warehouse --key 7")]
    Trigger(trigger::Args),
    /// Say which events and hooks a change of a row would fire, and why not the others.
    #[command(
        after_help = "Example: rowhook explain book updated --old '{\"id\": 1, \"price\": 9}' --row '{\"id\": 1, \"price\": 8}'"
    )]
    Explain(explain::Args),
    /// Show whether rowhook is attached, how far it is behind, what is parked and what is dead.
    #[command(after_help = "Example: rowhook status --json")]
    Status,
    /// Ask a running rowhook, at the address of its API, whether it is attached or stands by. Fails if it is not.
    #[command(after_help = "Example: rowhook health --live")]
    Health(health::Args),
    /// List, add and change hooks.
    #[command(subcommand)]
    Hooks(hooks::Command),
    /// List deliveries, and send them again.
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Send the existing rows of a table to a hook, through the stream and so in order with changes.
    #[command(
        after_help = "Examples:\n  rowhook backfill book.added 7\n  rowhook backfill book.added 7 --where 'price > 10' --rate 100\n  rowhook backfill --resume 3"
    )]
    Backfill(backfill::Args),
    /// Hear what the application sends itself, and compare that with what rowhook would send. Sends nothing.
    Shadow(shadow::Args),
    /// Show requests and their answers live, as history records them.
    #[command(after_help = "Example: rowhook tail --hook 7")]
    Tail(tail::Args),
    /// Show what was done to hooks, deliveries, tokens and settings, by whom, and what it changed.
    Audit(audit::Args),
    /// Add, list and revoke the tokens with which owners log in to the API and the page; make those of operators.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Print a link that opens the portal for an owner, once and within ten minutes.
    Portal(portal::Args),
    /// Delete what rowhook has of an owner (hooks, deliveries, history and tokens) or of a row, of which only the key
    /// stays in what is parked. It cannot be undone.
    #[command(after_help = "Examples: rowhook forget --owner 42; rowhook forget --row book 7")]
    Forget(forget::Args),
    /// Seal the secrets of hooks where they are stored, and change the key.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Print a completion script for a shell.
    #[command(after_help = "Example: rowhook completions bash > /etc/bash_completion.d/rowhook")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write the pages of all commands into a folder.
    #[command(
        after_help = "Examples:\n  rowhook man | man -l -\n  rowhook man /usr/local/share/man/man1"
    )]
    Man {
        /// The folder.
        folder: Option<PathBuf>,
    },
    /// Show the main job on a throwaway Postgres; touches no database of yours.
    Demo(demo::Args),
    /// Be the other end: print the webhooks that arrive, or run tasks on them.
    Receive(receive::ReceiveArgs),
    /// Remove rowhook's tables, publications and slot from the database.
    Teardown {
        /// Confirm that the hooks and the dead deliveries are removed too.
        #[arg(long)]
        yes: bool,
    },
}

impl Command {
    /// Whether `--database` has no meaning with it: it is about all databases, or about none of hooks.toml.
    pub(super) fn is_about_no_database(&self) -> bool {
        matches!(
            self,
            Self::Init(_)
                | Self::Run { .. }
                | Self::Health(_)
                | Self::Completions { .. }
                | Self::Man { .. }
                | Self::Demo(_)
                | Self::Receive(_)
                | Self::Schema(schema::Args { api: true, .. })
        )
    }
}
