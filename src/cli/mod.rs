//! The commands. Each reads the configuration, does one thing, and says how it went by its exit code.

mod check;
mod init;
mod logs;
mod receive;
mod signals;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    config::{Config, Mistakes},
    demo,
    journal::Journal,
    postgres::{
        setup::{self, Patience},
        teardown::teardown,
    },
    run,
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
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a hooks.toml from what is in a database.
    #[command(after_help = "Example: rowhook init postgresql://localhost/shop")]
    Init {
        /// The database's libpq URL; default: $DATABASE_URL.
        #[arg(env = "DATABASE_URL", hide_env_values = true)]
        url: String,
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

/// Runs the command, and says what went wrong on standard error.
pub fn run(args: Args) -> ExitCode {
    logs::start();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime");
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
        Command::Init { url } => init::init(&url, path).await,
        Command::Check => check::check(&config()?, args.json).await,
        Command::Setup { print: true, .. } => {
            println!("{}", setup::print(&config()?).await?);
            Ok(())
        }
        Command::Setup { accept_gap, .. } => {
            let config = config()?;
            let warn = |text: &str| tracing::warn!("{text}");
            let gap = match accept_gap {
                true => setup::accept_gap(&config, Patience::default(), &warn).await?,
                false => None,
            };
            let steps = setup::setup(&config, Patience::default(), &warn).await?;
            let accepted = gap.map(|gap| format!("accepted: {gap}"));
            let steps = steps.into_iter().map(|step| step.reason);
            let done: Vec<String> = accepted.into_iter().chain(steps).collect();
            say(args.json, "nothing to do", done.iter().map(String::as_str))
        }
        Command::Run { no_setup } => {
            let config = config()?;
            tell_not_yet(&config);
            let (journal, stop) = (Journal::default(), signals::stop()?);
            run::run(
                &config,
                run::Options {
                    setup: !no_setup,
                    journal,
                    stop,
                },
            )
            .await
        }
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
            let done = teardown(&config, Patience::default()).await?;
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

/// A key that does nothing must not look as if it did.
fn tell_not_yet(config: &Config) {
    for key in &config.not_yet {
        let (path, place) = (config.path.display(), key.place);
        tracing::warn!("{path}:{place}: {} does nothing in this version", key.key);
    }
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
