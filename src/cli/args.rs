//! The command line: the options of all commands, and the commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{backfill, deliveries, explain, hooks, logs, receive, tail, tokens, trigger};
use crate::demo;

/// Webhooks from any Postgres database, with zero changes to the application.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Start with `rowhook demo`, or with `rowhook init` on a database of your own."
)]
pub struct Args {
    /// The file that says which changes are events, and where they go [default: hooks.toml; receive.toml for receive].
    #[arg(long, global = true, env = "ROWHOOK_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How the log is written, which goes to standard error.
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
    /// Write a hooks.toml from what is in a database.
    #[command(
        after_help = "Examples: rowhook init postgresql://localhost/shop\n          rowhook init --from-django-hook-events hook_events.json\n          (made by: python manage.py shell -c 'import json; from django.conf import settings; print(json.dumps(settings.HOOK_EVENTS))')"
    )]
    Init {
        /// The database's libpq URL; default: $DATABASE_URL.
        #[arg(
            env = "DATABASE_URL",
            hide_env_values = true,
            required_unless_present = "from_django_hook_events"
        )]
        url: Option<String>,
        /// Take the events of django-rest-hooks from a JSON dump of HOOK_EVENTS; a database is then looked at only to find
        /// the tables.
        #[arg(long, value_name = "FILE")]
        from_django_hook_events: Option<PathBuf>,
    },
    /// Look for what is wrong in the configuration and the database, and say what to do about it.
    Check,
    /// Make what is missing in the database: rowhook's tables, the publications, the slot.
    Setup {
        /// Do nothing; print the SQL for someone with more privileges.
        #[arg(long)]
        print: bool,
        /// Changes were lost to the slot; go on from now, without them.
        #[arg(long, conflicts_with = "print")]
        accept_gap: bool,
    },
    /// Attach, and deliver until told to stop.
    Run {
        /// Leave the database as it is, and fail if something is missing.
        #[arg(long)]
        no_setup: bool,
    },
    /// List the events: what makes each happen, whose hooks hear it, and how many there are.
    #[command(after_help = "Example: rowhook events --json")]
    Events,
    /// Print the JSON Schema of what receivers of an event get, and its content type.
    #[command(
        after_help = "Example: rowhook schema book.added --payload standard > book.added.json"
    )]
    Schema {
        /// An event of hooks.toml.
        event: String,
        /// The schema of this payload alone; default: of each.
        #[arg(long, value_name = "NAME")]
        payload: Option<String>,
    },
    /// Send an event to a hook or a URL for real, and show request, answer and timing.
    ///
    /// Without --row and --key any row of the table is sent. The webhook-id begins with msg_test_.
    #[command(after_help = "Example: rowhook trigger book.added warehouse --key 7")]
    Trigger(trigger::Args),
    /// Say which events and hooks a change of a row would fire, and why not the others.
    #[command(
        after_help = "Example: rowhook explain book updated --old '{\"id\": 1, \"price\": 9}' --row '{\"id\": 1, \"price\": 8}'"
    )]
    Explain(explain::Args),
    /// Say how rowhook is: attached or not, how far behind, what waits, what was given up.
    #[command(after_help = "Example: rowhook status --json")]
    Status,
    /// Look at hooks, make and change them.
    #[command(subcommand)]
    Hooks(hooks::Command),
    /// Look at deliveries, and have them sent again.
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Send the rows that a table has to a hook, in the stream and so in order with changes.
    #[command(
        after_help = "Examples:\n  rowhook backfill book.added 7\n  rowhook backfill book.added 7 --where 'price > 10' --rate 100\n  rowhook backfill --resume 3"
    )]
    Backfill(backfill::Args),
    /// Show what happens, as it happens: every request and its answer, as history notes them.
    #[command(after_help = "Example: rowhook tail --hook 7")]
    Tail(tail::Args),
    /// Make, list and revoke tokens with which owners come to the API and the page.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Print a script that completes rowhook's commands in a shell.
    #[command(after_help = "Example: rowhook completions bash > /etc/bash_completion.d/rowhook")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write those of all commands into a folder.
    #[command(
        after_help = "Examples:\n  rowhook man | man -l -\n  rowhook man /usr/local/share/man/man1"
    )]
    Man {
        /// The folder.
        folder: Option<PathBuf>,
    },
    /// Show the main job on a throwaway Postgres; touches no database of yours.
    Demo(demo::Args),
    /// Be the other end: print webhooks that arrive, or run tasks on them.
    Receive(receive::ReceiveArgs),
    /// Remove rowhook's tables, publications and slot from the database.
    Teardown {
        /// Yes, remove the hooks and the record of dead deliveries too.
        #[arg(long)]
        yes: bool,
    },
}
