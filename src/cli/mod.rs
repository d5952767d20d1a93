//! The commands. Each reads the configuration, does one thing, and says how it went by its exit code.

mod backfill;
mod check;
mod deliveries;
mod events;
mod explain;
mod hooks;
mod init;
mod logs;
mod manual;
mod preview;
mod receive;
mod run;
mod schema;
mod signals;
mod status;
mod table;
mod tail;
mod tokens;
mod trigger;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    config::{Config, Mistakes, PayloadFormat},
    demo,
    setup::{self, LockPolicy, teardown::teardown},
};

/// Exit code for a configuration, or a command line, that cannot be used.
pub const BAD_CONFIGURATION: u8 = 64;

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
    config: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    /// How the log is written, which goes to standard error.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "human",
        env = "ROWHOOK_LOG_FORMAT"
    )]
    log_format: logs::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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

/// The stack of each thread, in bytes: expressions are interpreted on it, level by level.
pub(crate) const STACK: usize = 8 << 20;

/// Runs the command, and says what went wrong on standard error.
pub fn run(args: Args) -> ExitCode {
    logs::start(args.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .context("start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(dispatch(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rowhook: {error:#}");
            let code = if error.is::<Mistakes>() {
                BAD_CONFIGURATION
            } else {
                1
            };
            ExitCode::from(code)
        }
    }
}

async fn dispatch(args: Args) -> Result<()> {
    let path = args.config.as_deref().unwrap_or(Path::new("hooks.toml"));
    let config = || load(path);
    match args.command {
        Command::Init {
            url,
            from_django_hook_events: Some(dump),
        } => init::init_from_django(&dump, url.as_deref(), path).await,
        Command::Init { url, .. } => {
            let url = url.context("name the database, or set DATABASE_URL")?;
            init::init(&url, path).await
        }
        Command::Check => check::check(&config()?, args.json).await,
        Command::Setup { print: true, .. } => {
            println!("{}", setup::print(&config()?).await?);
            Ok(())
        }
        Command::Setup { accept_gap, .. } => {
            let config = config()?;
            let warn = |text: &str| tracing::warn!("{text}");
            let gap = match accept_gap {
                true => setup::accept_gap(&config, LockPolicy::default(), &warn).await?,
                false => None,
            };
            let steps = setup::setup(&config, LockPolicy::default(), &warn).await?;
            let accepted = gap.map(|gap| format!("accepted: {gap}"));
            let steps = steps.into_iter().map(|step| step.reason);
            let done: Vec<String> = accepted.into_iter().chain(steps).collect();
            say(args.json, "nothing to do", done.iter().map(String::as_str))
        }
        // As a task like all that it talks to: the others could wake this thread only through the system.
        Command::Run { no_setup } => tokio::spawn(run::run(path.to_owned(), !no_setup)).await?,
        Command::Events => events::events(&config()?, args.json).await,
        Command::Schema { event, payload } => {
            schema::print(&config()?, &event, payload.as_deref(), args.json).await
        }
        Command::Trigger(what) => trigger::trigger(&config()?, &what, args.json).await,
        Command::Explain(what) => explain::explain(&config()?, &what, args.json).await,
        Command::Status => status::run(config()?, args.json).await,
        Command::Hooks(command) => hooks::run(config()?, command, args.json).await,
        Command::Deliveries(command) => deliveries::run(config()?, command, args.json).await,
        Command::Backfill(backfill) => backfill::run(config()?, backfill, args.json).await,
        Command::Tail(tail) => tail::run(config()?, tail, args.json).await,
        Command::Tokens(command) => tokens::run(config()?, command, args.json).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(folder.as_deref()),
        Command::Demo(demo) => demo::demo(demo, signals::stop()?).await,
        Command::Receive(receive) => {
            receive::receive(receive, args.config.as_deref(), args.json, signals::stop()?).await
        }
        Command::Teardown { yes } => {
            let config = config()?;
            if !yes {
                bail!(
                    "teardown removes the slot {:?}, the publications and the schema {:?} with all hooks in it; say so with --yes",
                    config.database.slot,
                    config.database.schema
                );
            }
            let done = teardown(&config, LockPolicy::default()).await?;
            say(
                args.json,
                "nothing to remove",
                done.iter().map(String::as_str),
            )
        }
    }
}

fn load(path: &Path) -> Result<Config, Mistakes> {
    Config::load(path, &|name| std::env::var(name).ok())
}

/// The payload that a person names.
fn payload(name: &str) -> Result<PayloadFormat> {
    let names: Vec<&str> = PayloadFormat::all().map(|(name, _)| name).collect();
    PayloadFormat::parse(name).with_context(|| {
        format!(
            "there is no payload {name:?}; there are {}",
            names.join(", ")
        )
    })
}

/// Prints what was done, a line each.
fn say<'a>(json: bool, nothing: &str, done: impl Iterator<Item = &'a str>) -> Result<()> {
    let done: Vec<&str> = done.collect();
    if json {
        println!("{}", serde_json::to_string(&done)?);
    } else if done.is_empty() {
        println!("{nothing}");
    } else {
        done.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}
