//! `rowhook receive`: the other end. It prints the webhooks that arrive or queues them for tasks, and lists the tasks
//! that were given up.

use std::{
    io::stdout,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use axum::http::HeaderName;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{environment, output};
use crate::receive::{
    config::{Config, FILE},
    gate::Gate,
    plugin,
    print::{Printer, Style},
    queue::{Dead, Storage, list_dead, retry_dead},
    receiver::Receiver,
    task::Task,
    verify::{HmacScheme, TimedScheme, Verifier},
};
use crate::signature::{Algorithm, Encoding};
use crate::{files, listen::http::serve};

/// The options of `rowhook receive`.
#[derive(Debug, Args)]
#[command(
    after_help = "Print what arrives: rowhook receive --port 9000 --secret whsec_…\n\
                  Run tasks on it:    rowhook receive --config receive.toml"
)]
pub(super) struct ReceiveArgs {
    /// Print what arrives at this port of 127.0.0.1, without a receive.toml.
    #[arg(long)]
    port: Option<u16>,
    /// Accept what is signed with this secret; give several while one is replaced. Without it, everything is printed,
    /// unverified.
    #[arg(long, env = "ROWHOOK_RECEIVE_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// Verify an HMAC of the body in this header, such as X-Hook-Signature, instead of a Standard Webhooks signature.
    #[arg(long, requires = "secret")]
    header: Option<String>,
    /// The hash function of that HMAC: sha1, sha256 or sha512.
    #[arg(long, requires = "header", default_value = "sha256")]
    algorithm: AlgorithmArg,
    /// The encoding of that HMAC: hex or base64.
    #[arg(long, requires = "header", default_value = "hex")]
    encoding: EncodingArg,
    /// The text before that HMAC, such as sha256=
    #[arg(long, requires = "header", default_value = "")]
    prefix: String,
    /// Verify as this sender signs, instead of a Standard Webhooks signature: slack, zoom or stripe.
    #[arg(long, requires = "secret", conflicts_with = "header")]
    signature: Option<SignatureArg>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SignatureArg {
    Slack,
    Zoom,
    Stripe,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AlgorithmArg {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EncodingArg {
    Hex,
    Base64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tasks that were given up, or begin them anew.
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// List them, latest first.
    List,
    /// Begin them anew; a running receiver notices within a second.
    #[command(after_help = "Example: rowhook receive dead retry 17 18")]
    Retry {
        /// Their numbers in the list.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        numbers: Vec<u64>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Only those of this task.
        #[arg(long)]
        task: Option<String>,
    },
}

/// Prints what arrives, runs tasks on it, or lists or revives dead tasks. `config` is the value of `--config`.
pub(super) async fn receive(
    args: ReceiveArgs,
    config: Option<&Path>,
    json: bool,
    stop: CancellationToken,
) -> Result<()> {
    files::raise_limit();
    if let Some(port) = args.port {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        return print(Gate::new(verifier(&args)?), address, json, stop).await;
    }
    if !args.secret.is_empty() && std::env::var_os("ROWHOOK_RECEIVE_SECRET").is_none() {
        bail!("--secret goes with --port; receive.toml has secrets of its own");
    }
    let path = config.unwrap_or(Path::new(FILE));
    if config.is_none() && !path.exists() {
        bail!(
            "there is no {FILE} here; write one, or look at what arrives with: rowhook receive --port 9000 --secret whsec_…"
        );
    }
    let config = Config::load(path, &environment::variable)?;
    match args.command {
        Some(Command::Dead {
            command: DeadCommand::List,
        }) => print_dead(&list_dead(&config.options.queue).await?, json),
        Some(Command::Dead {
            command: DeadCommand::Retry { numbers, task, .. },
        }) => retry(&config.options.queue, &numbers, task.as_deref(), json).await,
        None if config.tasks.is_empty() && config.plugins.is_empty() => {
            tracing::info!(
                "{} has neither tasks nor plugins; printing what arrives",
                path.display()
            );
            print(config.options.gate, config.listen, json, stop).await
        }
        None => work(config, stop).await,
    }
}

/// The verifier that the options ask for.
fn verifier(args: &ReceiveArgs) -> Result<Verifier> {
    // An environment variable that was never filled would otherwise be believed, or believe everybody.
    if args.secret.iter().any(|secret| secret.trim().is_empty()) {
        bail!("--secret is empty; give the secret, or leave it out to print everything unverified");
    }
    if let Some(signature) = args.signature {
        let scheme = match signature {
            SignatureArg::Slack => TimedScheme::Slack,
            SignatureArg::Zoom => TimedScheme::Zoom,
            SignatureArg::Stripe => TimedScheme::Stripe,
        };
        return Ok(Verifier::timed(scheme, args.secret.clone()));
    }
    let Some(header) = &args.header else {
        return if args.secret.is_empty() {
            Ok(Verifier::unsigned())
        } else {
            Verifier::standard(&args.secret).context("--secret")
        };
    };
    let scheme = HmacScheme {
        header: HeaderName::try_from(header).with_context(|| format!("--header {header:?}"))?,
        algorithm: match args.algorithm {
            AlgorithmArg::Sha1 => Algorithm::Sha1,
            AlgorithmArg::Sha256 => Algorithm::Sha256,
            AlgorithmArg::Sha512 => Algorithm::Sha512,
        },
        encoding: match args.encoding {
            EncodingArg::Hex => Encoding::Hex,
            EncodingArg::Base64 => Encoding::Base64,
        },
        prefix: args.prefix.clone(),
    };
    Ok(Verifier::hmac(scheme, args.secret.clone()))
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr().context("read the address")?;
    tracing::info!("listening on http://{address}");
    Ok(listener)
}

/// Prints what arrives at `address`, until `stop`.
async fn print(gate: Gate, address: SocketAddr, json: bool, stop: CancellationToken) -> Result<()> {
    let style = match (json, output::has_colour()) {
        (true, _) => Style::Json,
        (false, true) => Style::Colour,
        (false, false) => Style::Plain,
    };
    let grace = gate.timeout;
    let router = Printer::new(gate, style, stdout()).router();
    serve(listen(address).await?, router, None, stop, grace).await;
    Ok(())
}

/// Runs the tasks of receive.toml and of its plugins, until `stop`. A plugin that cannot be used is logged and left
/// out.
async fn work(config: Config, stop: CancellationToken) -> Result<()> {
    let mut tasks = config.tasks;
    let hidden = &config.options.hidden_variables;
    let (plugins, broken) = plugin::find(&config.plugins, hidden).await;
    for broken in broken {
        let (plugin, reason) = (broken.path.display(), broken.reason);
        tracing::error!(%plugin, reason, "a plugin is left out; nothing is kept for it");
    }
    for plugin in plugins {
        if tasks.iter().any(|task| task.name == plugin.name) {
            tracing::error!(
                task = plugin.name,
                "a plugin is left out; receive.toml has a task of its name"
            );
        } else {
            tasks.push(plugin);
        }
    }
    for task in &tasks {
        let Task {
            name,
            models,
            events,
            ..
        } = task;
        let words = |patterns: &[crate::config::Pattern]| {
            let words: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            words.join(" ")
        };
        tracing::info!(
            task = name,
            models = words(models),
            events = words(events),
            "task"
        );
    }
    let tasks: Vec<Arc<Task>> = tasks.into_iter().map(Arc::new).collect();
    let receiver = Receiver::open(tasks, config.options).await?;
    receiver.run(listen(config.listen).await?, stop).await
}

fn print_dead(dead: &[Dead], json: bool) -> Result<()> {
    if json {
        let dead: Vec<_> = dead.iter().map(as_json).collect();
        return output::json(&dead);
    }
    if dead.is_empty() {
        output::line("nothing is dead")?;
    }
    for dead in dead {
        output::line(&format!(
            "{}  {}  {}  {}  {} attempts, the last {}",
            dead.number,
            dead.task,
            dead.envelope,
            dead.id,
            dead.attempts,
            humantime::format_rfc3339_seconds(dead.at)
        ))?;
        for line in dead.error.lines() {
            output::line(&format!("    {line}"))?;
        }
    }
    Ok(())
}

fn as_json(dead: &Dead) -> serde_json::Value {
    json!({
        "number": dead.number,
        "task": dead.task,
        "id": dead.id,
        "model": dead.envelope.model,
        "event": dead.envelope.event,
        "attempts": dead.attempts,
        "at": humantime::format_rfc3339_millis(dead.at).to_string(),
        "error": dead.error,
    })
}

/// Begins dead tasks anew: those with these numbers, or all if there are none; only those of `task`, if it is given.
async fn retry(storage: &Storage, numbers: &[u64], task: Option<&str>, json: bool) -> Result<()> {
    let all = list_dead(storage).await?;
    if let Some(missing) = numbers
        .iter()
        .find(|number| !all.iter().any(|dead| dead.number == **number))
    {
        bail!("nothing dead has the number {missing}; `rowhook receive dead list` shows what has");
    }
    let chosen = |dead: &Dead| {
        (numbers.is_empty() || numbers.contains(&dead.number))
            && task.is_none_or(|task| task == dead.task)
    };
    let chosen: Vec<Dead> = all.into_iter().filter(chosen).collect();
    let revived = retry_dead(storage, &chosen).await?;
    if json {
        output::json_line(&json!({ "retried": revived }))
    } else {
        output::line(&format!("{revived} will begin anew"))
    }
}
