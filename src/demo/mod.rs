//! `rowhook demo`: the main job, on a throwaway Postgres, live in the terminal and on the page.

mod account;
mod bookstore;
pub mod cluster;
mod receivers;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{sync::watch, time::timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use self::{
    account::Account,
    cluster::Cluster,
    receivers::{Receivers, Troubles},
};
use crate::{
    config::Config,
    journal::Journal,
    postgres::{address::Address, connect::session},
    run,
    send::Sender,
    server::{Handles, Served, Server},
    setup::{self, LockPolicy},
};

/// How long the last deliveries may take. An endpoint that was down is tried again a few seconds after it is back.
const LAST_DELIVERIES: Duration = Duration::from_secs(30);

/// The configuration of the demo, which it also prints.
const HOOKS_TOML: &str = include_str!("hooks.toml");

/// Those who receive webhooks: four users of the bookstore, and its warehouse.
const RECEIVERS: [&str; 5] = ["anna", "ben", "cleo", "dora", "warehouse"];

const TROUBLES: Troubles = Troubles {
    unsteady: "ben",
    gone: "dora",
};

/// The options of the demo.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after this many seconds; default: at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs the demo until `stop`.
///
/// # Errors
/// When Postgres is not installed, or something that was committed did not arrive with a good signature.
pub async fn demo(args: Args, stop: CancellationToken) -> Result<()> {
    let started = Instant::now();
    println!(
        "Starting a throwaway Postgres in a temporary folder; no database of yours is touched."
    );
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&[]))
        .await
        .context("start Postgres")??;
    let url = cluster.url("postgres");
    let shop = Address::parse(&url)?.connect("bookstore").await?;
    // The shop is an application, which does not name the schema of its tables.
    session::search_as_role(&shop).await?;
    bookstore::open(&shop).await?;

    let secrets = RECEIVERS.map(|name| (name, secret()));
    let receivers = Receivers::open(&secrets, TROUBLES).await?;
    let config = Arc::new(config(&url, &receivers, &secrets)?);
    println!("The bookstore's hooks.toml:\n");
    HOOKS_TOML.lines().for_each(|line| println!("    {line}"));
    println!("\nattached to {url}\n");

    let handles = Handles {
        journal: Journal::default(),
        meters: Arc::default(),
        health: Arc::default(),
        reload: Arc::default(),
        paused: watch::Sender::new(false),
    };
    let mut account = Account::new(handles.journal.listen(), &receivers, started);
    setup::setup(&config, LockPolicy::default(), &|text| println!("{text}")).await?;
    subscribe(&shop, &receivers, &secrets).await?;
    let server = Server::start(&[Served {
        config: Arc::clone(&config),
        handles: handles.clone(),
    }])
    .await?;
    if let (Some(address), Some(link)) = (server.address(), server.login_link()) {
        println!("The page is at {address}. This link logs you in, once:\n\n    {link}\n");
    }

    let detach = CancellationToken::new();
    let options = run::Options {
        setup: false,
        journal: handles.journal,
        meters: handles.meters,
        health: handles.health,
        stop: detach.clone(),
        sender: Sender::new(&config.delivery)?,
        duty: run::Duty::Both,
    };
    let sidecar = async { run::run(&config, &options).await.context("rowhook run") };
    let story = async {
        let changes = trade(&shop, closing_time(args.seconds, &stop)).await;
        detach.cancel();
        changes
    };
    let (changes, ran) = tokio::select! {
        both = async { tokio::join!(story, sidecar) } => both,
        // The journal stays open as long as we hold it, so the account cannot end first.
        () = account.follow() => bail!("the account has ended before the demo"),
    };
    server.stop().await;
    ran?;
    account.catch_up();
    account.sum_up(changes?)
}

/// Trades until `closing`, and then waits until everything has been delivered. Returns how many statements have changed
/// or announced something.
async fn trade(shop: &Client, closing: impl Future<Output = ()>) -> Result<u64> {
    let close = CancellationToken::new();
    let (changes, ()) = tokio::join!(bookstore::trade(shop, &close), async {
        closing.await;
        close.cancel();
    });
    timeout(LAST_DELIVERIES, until_settled(shop))
        .await
        .context("the last deliveries did not arrive")??;
    changes
}

/// Waits for `stop`, or for so many seconds if a number is given.
async fn closing_time(seconds: Option<u64>, stop: &CancellationToken) {
    let elapsed = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = elapsed => {}
    }
}

/// Parses the demo's hooks.toml, with the variables that it refers to.
fn config(url: &str, receivers: &Receivers, secrets: &[(&str, String)]) -> Result<Config> {
    let secret = |wanted: &str| {
        secrets
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, secret)| secret.clone())
    };
    let admin_token = BASE64_STANDARD.encode(rand::random::<[u8; 32]>());
    let env = |name: &str| match name {
        "DATABASE_URL" => Some(url.to_owned()),
        "WAREHOUSE_URL" => Some(receivers.url("warehouse")),
        "WAREHOUSE_SECRET" => secret("warehouse"),
        "ADMIN_TOKEN" => Some(admin_token.clone()),
        _ => None,
    };
    Ok(Config::parse(
        Path::new("the demo's hooks.toml"),
        HOOKS_TOML,
        &env,
    )?)
}

/// Creates the hooks of the users as an application would: by inserting rows.
async fn subscribe(shop: &Client, receivers: &Receivers, secrets: &[(&str, String)]) -> Result<()> {
    let insert = "insert into rowhook.hook (owner, event, target, secret) \
                  select id::text, event, $2, $3 from app_user, unnest(array['book.*', 'shelf.added', 'sale.announced']) as event where name = $1";
    for (name, secret) in secrets {
        let made = shop
            .execute(insert, &[name, &receivers.url(name), secret])
            .await;
        made.with_context(|| format!("make the hooks of {name}"))?;
    }
    Ok(())
}

/// Waits until all that is committed by now is settled, and nothing waits for another attempt but what a disabled hook
/// has heard.
async fn until_settled(shop: &Client) -> Result<()> {
    let row = shop
        .query_one("select pg_current_wal_insert_lsn()::text", &[])
        .await
        .context("read the WAL's end")?;
    // A few bytes of WAL without events, such as those of history, are not confirmed at once. This many are.
    shop.execute(
        "select pg_logical_emit_message(true, 'demo', repeat('-', 20000))",
        &[],
    )
    .await
    .context("write some WAL")?;
    let end: &str = row.try_get(0)?;
    let settled = "select bool_and(confirmed_flush_lsn >= $1::text::pg_lsn) and not exists (
                       select from rowhook.delivery where state = 'parked' and hook not in (
                           select id::text from rowhook.hook where not active))
                   from pg_replication_slots";
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let row = shop
            .query_one(settled, &[&end])
            .await
            .context("read the slot")?;
        if row.try_get(0)? {
            return Ok(());
        }
    }
}

/// A new signing secret.
fn secret() -> String {
    format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
    )
}
