//! The commands. Each reads its configuration, does one thing, and reports success or failure in its exit code.

mod args;
mod audit;
mod backfill;
mod check;
mod databases;
mod deliveries;
mod environment;
mod events;
mod explain;
mod forget;
mod health;
mod hooks;
mod init;
mod logs;
mod manual;
#[cfg(not(feature = "console"))]
mod no_console;
mod output;
mod portal;
mod preview;
mod progress;
mod quantity;
mod receive;
mod run;
mod schema;
mod secrets;
mod setup;
mod shadow;
mod signals;
mod status;
mod table;
mod tail;
mod tokens;
mod trigger;
mod version;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

use self::{args::Command, databases::each};
use crate::{config::Mistakes, demo, run::Duty, terminal::plain_lines};

pub use self::args::Args;

/// The exit code for a configuration or a command line that cannot be used.
pub const BAD_CONFIGURATION: u8 = 64;

/// The stack of each thread, in bytes. Expressions are evaluated recursively and need more than the usual 2 MiB.
pub(crate) const STACK: usize = 8 << 20;

/// Runs the command, and reports an error on standard error.
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
            eprintln!("rowhook: {}", plain_lines(&format!("{error:#}")));
            let code = if error.is::<Mistakes>() || error.is::<NotOne>() {
                BAD_CONFIGURATION
            } else {
                1
            };
            ExitCode::from(code)
        }
    }
}

/// `--database` with a command that is not about one of them.
#[derive(Debug, thiserror::Error)]
#[error("this command is not about one of [[databases]]; leave --database out")]
struct NotOne;

async fn dispatch(args: Args) -> Result<()> {
    let json = args.json;
    let path = args.config.as_deref().unwrap_or(Path::new("hooks.toml"));
    let database = args.database.as_deref();
    if database.is_some() && args.command.is_about_no_database() {
        return Err(NotOne.into());
    }
    let all = || environment::load(path)?.named(path, database);
    let config = || environment::load(path)?.one(path, database);
    match args.command {
        Command::Init(args) => init::run(args, path).await,
        Command::Check { verbose } => {
            each(&all()?, json, async |config| {
                check::check(config, verbose).await
            })
            .await
        }
        Command::Setup { print: true, .. } => each(&all()?, false, setup::print).await,
        Command::Setup { accept_gap, .. } => {
            each(&all()?, json, async |config| {
                setup::setup(config, accept_gap).await
            })
            .await
        }
        Command::Migrate { print: true } => each(&all()?, false, setup::print_migrations).await,
        Command::Migrate { print: false } => each(&all()?, json, setup::migrate).await,
        // A spawned task runs on a worker thread, like everything it talks to. Waking this thread would take a system
        // call each time.
        Command::Run { no_setup, only } => {
            let duty = only.map_or(Duty::Both, Duty::from);
            tokio::spawn(run::run(path.to_owned(), !no_setup, duty)).await?
        }
        Command::Events => each(&all()?, json, events::events).await,
        Command::Schema(args) if args.api => schema::print_api(),
        Command::Schema(args) => schema::print(&config()?, &args, json).await,
        Command::Trigger(args) => trigger::trigger(&config()?, &args, json).await,
        Command::Explain(args) => explain::explain(&config()?, &args, json).await,
        Command::Status => each(&all()?, json, status::status).await,
        // [server] is the same for all databases.
        Command::Health(args) => match all()?.first() {
            Some(config) => health::health(config, &args).await,
            None => Ok(()),
        },
        Command::Hooks(command) => hooks::run(config()?, command, json).await,
        Command::Deliveries(command) => deliveries::run(config()?, command, json).await,
        Command::Shadow(args) => shadow::run(config()?, args, json).await,
        Command::Backfill(args) => backfill::run(config()?, args, json).await,
        Command::Audit(args) => audit::run(config()?, args, json).await,
        Command::Tail(args) => tail::run(config()?, args, json).await,
        Command::Forget(args) => forget::run(config()?, args, json).await,
        Command::Secrets(command) => secrets::run(config()?, command, json).await,
        Command::Portal(args) => portal::run(config()?, &args, json).await,
        Command::Tokens(command) => tokens::run(config, command, json).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(folder.as_deref()),
        Command::Demo(args) => demo::demo(args, signals::stop()?).await,
        Command::Receive(receive) => {
            receive::receive(receive, args.config.as_deref(), json, signals::stop()?).await
        }
        Command::Teardown { yes } => {
            each(&all()?, json, async |config| {
                setup::tear_down(config, yes).await
            })
            .await
        }
    }
}
