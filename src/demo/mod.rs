//! `rowhook demo`: the main job on a throwaway Postgres, told live in the terminal.

mod account;
mod bookstore;
pub mod cluster;
mod receivers;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use self::{account::Account, cluster::Cluster, receivers::Receivers};
use crate::{config::Config, journal::Journal, postgres::address::Address, run};

/// How long the last deliveries may take; the busy endpoint is tried again within a second.
const LAST_DELIVERIES: Duration = Duration::from_secs(15);

/// How the demo is run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End by itself after so many seconds; default: at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs the demo until `stop`.
///
/// # Errors
/// When Postgres is not installed, or something that was committed did not arrive with a good signature.
pub async fn demo(args: Args, stop: CancellationToken) -> Result<()> {
    println!(
        "Starting a throwaway Postgres in a temporary folder; no database of yours is touched."
    );
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&[]))
        .await
        .context("start Postgres")??;
    let url = cluster.url("postgres");
    let shop = Address::parse(&url)?.connect("bookstore").await?;
    bookstore::open(&shop).await?;

    let users = [
        ("anna", secret()),
        ("ben", secret()),
        ("cleo", secret()),
        ("warehouse", secret()),
    ];
    let receivers = Receivers::open(&users, "ben").await?;
    let config = config(&url, &receivers, &users)?;
    println!("The bookstore's hooks.toml:\n");
    include_str!("hooks.toml")
        .lines()
        .for_each(|line| println!("    {line}"));
    println!("\nattached to {url}\n");

    let journal = Journal::default();
    let mut account = Account::new(journal.listen(), &receivers);
    let detach = CancellationToken::new();
    crate::setup::setup(&config, crate::setup::LockPolicy::default(), &|text| {
        println!("{text}")
    })
    .await?;
    subscribe(&shop, &receivers, &users).await?;
    let options = run::Options {
        setup: false,
        journal: journal.clone(),
        meters: Arc::default(),
        health: Arc::default(),
        stop: detach.clone(),
    };
    let sidecar = async { run::run(&config, options).await.context("rowhook run") };

    let closing_time = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = after(args.seconds) => {}
        }
    };
    let story = async {
        let open = CancellationToken::new();
        let (changes, ()) = tokio::join!(bookstore::trade(&shop, &open), async {
            closing_time.await;
            open.cancel();
        });
        let settled = timeout(LAST_DELIVERIES, until_settled(&shop)).await;
        detach.cancel();
        settled.context("the last deliveries did not arrive")??;
        changes
    };
    let (changes, ran) = tokio::select! {
        // The account ends with the journal, which stays open as long as we hold it.
        both = async { tokio::join!(story, sidecar) } => both,
        () = account.tell() => bail!("the account has ended before the demo"),
    };
    ran?;
    account.catch_up();
    account.sum_up(changes?)
}

fn config(url: &str, receivers: &Receivers, users: &[(&str, String)]) -> Result<Config> {
    let secret = |wanted: &str| {
        users
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, secret)| secret.clone())
    };
    let env = |name: &str| match name {
        "DATABASE_URL" => Some(url.to_owned()),
        "WAREHOUSE_URL" => Some(receivers.url("warehouse")),
        "WAREHOUSE_SECRET" => secret("warehouse"),
        _ => None,
    };
    Ok(Config::parse(
        Path::new("the demo's hooks.toml"),
        include_str!("hooks.toml"),
        &env,
    )?)
}

/// Makes the users' hooks as their application would: by inserting rows.
async fn subscribe(shop: &Client, receivers: &Receivers, users: &[(&str, String)]) -> Result<()> {
    let insert = "insert into rowhook.hook (owner, event, target, secret) \
                  select id::text, event, $2, $3 from app_user, unnest(array['book.*', 'shelf.added']) as event where name = $1";
    for (name, secret) in users {
        let made = shop
            .execute(insert, &[name, &receivers.url(name), secret])
            .await;
        made.with_context(|| format!("make the hooks of {name}"))?;
    }
    Ok(())
}

/// Waits until everything that was committed is settled.
async fn until_settled(shop: &Client) -> Result<()> {
    let row = shop
        .query_one("select pg_current_wal_insert_lsn()::text", &[])
        .await
        .context("read the WAL's end")?;
    // A few bytes of WAL without events, such as those of history, are not worth a confirmation; so many are.
    shop.execute(
        "select pg_logical_emit_message(true, 'demo', repeat('-', 20000))",
        &[],
    )
    .await
    .context("write some WAL")?;
    let end: &str = row.try_get(0)?;
    let settled =
        "select bool_and(confirmed_flush_lsn >= $1::text::pg_lsn) from pg_replication_slots";
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

async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn secret() -> String {
    format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
    )
}
