//! `rowhook shadow`: hears what an application sends itself, and compares that with what rowhook would send. It sends
//! nothing.

mod comparison;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::StatusCode,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use self::comparison::{Comparison, Heard, Report, Sender};
use super::{output, signals};
use crate::{
    config::{Config, DisableAfter, Setting},
    journal::Journal,
    listen::http::serve,
    run::{
        self,
        health::{Health, Link},
    },
    send::{self, Understudy},
    setup::{LockPolicy, teardown::teardown},
};

/// How often waiting requests are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The largest body that is heard, in bytes.
const LARGEST_BODY: usize = 64 << 20;
/// How long a body may take to arrive, and a request to be answered at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many requests may wait to be compared. Whoever sends more waits.
const QUEUE: usize = 10_000;
/// Stands behind the names of what is made in the database. Names are at most 63 bytes long there.
const SUFFIX: &str = "_shadow";
/// The most bytes before that, so that a publication can have `_inserts` behind it, too.
const LONGEST: usize = 48;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Have the application send here beside its targets: in HOOK_DELIVERER, say, or with http_proxy for targets without TLS.\nExample: rowhook shadow --listen 127.0.0.1:9200 --count 10000"
)]
pub(super) struct Args {
    /// Where the application's own requests are heard. Each is answered with 200.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// End when so many requests have been compared; otherwise when it is interrupted.
    #[arg(long, value_name = "REQUESTS")]
    count: Option<u64>,
    /// How long a request waits for its like.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    window: Duration,
}

/// Compares until it is interrupted, or has compared `--count` requests; then removes what it made in the database.
///
/// # Errors
/// When there are differences, too.
pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let config = shadow_of(config)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let stop = signals::stop()?;
    // One that was killed has left a slot behind, which keeps WAL and stands too early.
    let left = teardown(&config, LockPolicy::default()).await;
    left.context("remove what an earlier shadow has left in the database")?;
    let (tell, mut requests) = mpsc::channel(QUEUE);
    // What rowhook would send is bounded by its own memory; it must not wait here.
    let (say, mut ours) = mpsc::unbounded_channel();
    let closing = CancellationToken::new();
    let router = Router::new().fallback(hear).with_state(tell);
    let serving = serve(listener, router, Some(PATIENCE), closing.clone(), PATIENCE);
    let serving = tokio::spawn(serving);
    let health = Arc::new(Health::default());
    let detach = CancellationToken::new();
    let understudy = Understudy::new(move |target, body| {
        let heard = Heard {
            at: Instant::now(),
            target: Some(target.display().to_owned()),
            body,
        };
        // Nobody hears it any more at the end.
        let _ = say.send(heard);
    });
    let options = run::Options {
        setup: true,
        journal: Journal::default(),
        meters: Arc::default(),
        health: Arc::clone(&health),
        stop: detach.clone(),
        sender: send::Sender::new(&config.delivery)?.heard_by(Some(understudy)),
        duty: run::Duty::Both,
    };
    let mut comparison = Comparison::new(args.window);
    let ran = {
        let mut running = pin!(run::run(&config, &options));
        let mut looks = tokio::time::interval(LOOK);
        let mut ending: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = &mut running => break ended,
                Some(heard) = requests.recv() => comparison.hear(Sender::Theirs, heard),
                Some(heard) = ours.recv() => comparison.hear(Sender::Ours, heard),
                _ = looks.tick() => {
                    let now = Instant::now();
                    if !comparison.has_begun() && health.now(now.into()).link == Link::Attached {
                        comparison.begin(now);
                        // A script that waits for this line misses nothing that happens after it.
                        eprintln!("listening on {address}");
                    }
                    comparison.sweep(now);
                    let is_enough = args.count.is_some_and(|count| comparison.report().compared >= count);
                    if is_enough || stop.is_cancelled() {
                        let since = *ending.get_or_insert(now);
                        if !comparison.is_waiting() || now.duration_since(since) >= args.window {
                            detach.cancel();
                            break running.await;
                        }
                    }
                }
            }
        }
    };
    closing.cancel();
    serving.await?;
    comparison.finish();
    let torn_down = teardown(&config, LockPolicy::default()).await;
    ran?;
    torn_down
        .context("remove what the shadow made in the database; the next one begins with that")?;
    tell_result(comparison.report(), json)?;
    let report = comparison.report();
    ensure!(
        report.equal == report.compared,
        "{} of {} requests are not equal",
        report.compared - report.equal,
        report.compared
    );
    Ok(())
}

/// The same configuration with a slot, publications and tables of its own, for the hooks of the application's table
/// alone. It changes no hook.
fn shadow_of(mut config: Config) -> Result<Config> {
    ensure!(
        config.hook_table.is_some(),
        "there is no [hook_table]: a shadow compares what the hooks of the application's own table are sent"
    );
    let beside = |name: &str| {
        let whole = |end: &usize| name.is_char_boundary(*end);
        let end = (0..=LONGEST.min(name.len())).rev().find(whole);
        format!("{}{SUFFIX}", &name[..end.unwrap_or_default()])
    };
    let database = &mut config.database;
    database.slot = beside(&database.slot);
    database.publication = beside(&database.publication);
    database.schema = beside(&database.schema);
    database.failover = false;
    config.hooks.clear();
    config.before.clear();
    config.owner_exists = None;
    config.delivery.disable_after = DisableAfter::Failures(u32::MAX);
    // Nor do the hooks' own.
    if let (Some(hooks), Some(place)) = (&mut config.hook_table, Setting::DisableAfter.place())
        && let Some(column) = hooks.columns.settings.get_mut(place)
    {
        *column = None;
    }
    config.history.delivered = false;
    config.tracing = None;
    config.cluster = None;
    Ok(config)
}

/// Answers a request of the application.
async fn hear(State(tell): State<mpsc::Sender<Heard>>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    // A proxy is told the whole URL.
    let target = head.uri.scheme().map(|_| head.uri.to_string());
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let at = Instant::now();
    match tell.send(Heard { at, target, body }).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn tell_result(report: &Report, json: bool) -> Result<()> {
    if json {
        return output::json(report);
    }
    for finding in &report.findings {
        output::line(&format!(
            "{:9}  {}  hook {}  row {}  {}",
            finding.kind, finding.event, finding.hook, finding.row, finding.what
        ))?;
    }
    let told = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    let more = (report.compared - report.equal).saturating_sub(told);
    if more > 0 {
        output::line(&format!("and {more} more"))?;
    }
    if report.before > 0 {
        output::line(&format!(
            "{} requests came before the comparison began, and do not count",
            report.before
        ))?;
    }
    output::line(&format!(
        "compared {}: {} equal, {} different, {} missing, {} extra",
        report.compared, report.equal, report.different, report.missing, report.extra
    ))
}
