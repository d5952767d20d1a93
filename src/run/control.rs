//! The control session: an ordinary session beside the stream. When it is lost, the stream is ended too.

use std::{convert::Infallible, fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use super::health::Health;
use crate::{
    config::Database,
    postgres::{
        connect::Notifications,
        quote,
        standby::{Counted, counts},
        stream,
    },
    setup::{
        catalog::Slot,
        lag::{Alert, LagWatch},
    },
};

/// The interval between looks whether the control session is still open.
const CLOSED_INTERVAL: Duration = Duration::from_millis(500);
/// The interval at which a standby looks whether the slot is free.
const STANDBY_INTERVAL: Duration = Duration::from_millis(100);
/// The interval at which the state of the slot is read.
const SLOT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a look-up waits for a lock, and how long it takes at most. After that it is made again later.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which it is read which standbys commits wait for.
const STANDBYS_INTERVAL: Duration = Duration::from_secs(1);
/// The interval at which the server is asked for an answer, and the longest wait for one.
pub(super) const PROBE: Duration = Duration::from_secs(10);

/// The server is a standby, where nothing can be written.
#[derive(Debug)]
pub(super) struct AtStandby {
    /// Whether it was the primary in an earlier session, and may be so again.
    pub(super) was_primary: bool,
    /// The key of `[database]` that names it.
    pub(super) key: &'static str,
    /// Whether changes could be read there, with another server to write to.
    pub(super) readable: bool,
}

impl fmt::Display for AtStandby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key;
        write!(
            f,
            "this server is a standby, and rowhook writes tables of its own; give the primary in [database] {key}, or all hosts and target_session_attrs=read-write"
        )?;
        match (key, self.readable) {
            ("url", true) => write!(
                f,
                "; to read from this standby, leave url and give the primary in primary_url"
            ),
            ("url", false) => write!(f, ". Before Postgres 16, a standby cannot be read"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for AtStandby {}

/// Opens the control session. Its notifications name what is made due by hand in rowhook's own tables.
///
/// # Errors
/// When the session cannot be opened or prepared, and when it is one of a standby.
pub(super) async fn open(
    database: &Database,
    was_primary: bool,
) -> Result<(Client, Notifications)> {
    let opened = database.address.connect_listening("rowhook control").await;
    let (client, notifications) = opened?;
    let sql =
        "select pg_is_in_recovery(), current_setting('server_version_num')::integer >= 160000";
    let asked = client.query_one(sql, &[]).await;
    let (recovers, readable): (bool, bool) = asked
        .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .context("ask whether this is a standby")?;
    let key = match &database.standby {
        Some(_) => "primary_url",
        None => "url",
    };
    let at_standby = AtStandby {
        was_primary,
        key,
        readable,
    };
    ensure!(!recovers, at_standby);
    let listen = format!("listen {}", quote::name(&database.schema));
    let listening = client.batch_execute(&listen).await;
    listening.context("prepare the control session")?;
    Ok((client, notifications))
}

/// Limits what the session waits for from now on, when it looks up what events lack: everybody waits with it.
///
/// # Errors
/// When the session is lost.
pub(super) async fn limit_waits(client: &Client) -> Result<()> {
    let limits = format!(
        "set lock_timeout = {}; set statement_timeout = {}",
        LOCK_TIMEOUT.as_millis(),
        LOOK_UP_TIMEOUT.as_millis()
    );
    let limited = client.batch_execute(&limits).await;
    limited.context("limit the waits of the control session")
}

/// Waits until nobody holds the slot, or the session is lost.
pub(super) async fn until_free(client: &Client, slot: &str) {
    let held = "select from pg_replication_slots where slot_name = $1 and active";
    let mut ticks = tokio::time::interval(STANDBY_INTERVAL);
    loop {
        ticks.tick().await;
        let holders = timeout(PROBE, client.query(held, &[&slot])).await;
        if !matches!(holders, Ok(Ok(holders)) if !holders.is_empty()) {
            return;
        }
    }
}

/// Watches the slot for as long as it is polled: records its state, and warns before it loses WAL.
pub(super) async fn watch_slot(client: &Client, slot: &str, health: &Health) -> Infallible {
    let mut watch = LagWatch::default();
    let mut ticks = tokio::time::interval(SLOT_INTERVAL);
    loop {
        ticks.tick().await;
        // If this fails, the session is lost, which `until_lost` finds.
        let Ok(Some(facts)) = Slot::read(client, slot).await else {
            continue;
        };
        match watch.look(&facts, Instant::now()) {
            Some(Alert::Danger(danger)) => tracing::warn!(slot, "{danger}"),
            Some(Alert::Over) => tracing::info!(slot, "the slot is out of danger"),
            None => {}
        }
        health.record_slot(facts, watch.is_stalled(), Instant::now());
    }
}

/// Waits until commits would wait for sessions with the name `ours` as for a standby.
pub(super) async fn until_counted(client: &Client, ours: &str) -> Counted {
    let mut look = tokio::time::interval(STANDBYS_INTERVAL);
    loop {
        look.tick().await;
        // At a standby nothing is committed that could wait.
        let setting = "select case when pg_is_in_recovery() then '' else current_setting('synchronous_standby_names') end";
        // If this fails, the session is lost, which `until_lost` finds.
        let Ok(row) = client.query_one(setting, &[]).await else {
            continue;
        };
        let counted = row
            .try_get(0)
            .ok()
            .and_then(|setting| counts(setting, ours));
        if let Some(counted) = counted {
            return counted;
        }
    }
}

/// Waits until the control session is lost, and returns the error for it.
///
/// The stream must end with the control session, for two reasons. A server that shuts down closes ordinary sessions at
/// once, but waits for a walsender until all that it sent is confirmed, which takes as long as the slowest endpoint.
/// And on an idle stream the server sends nothing, so that a dead network would not be noticed there.
pub(super) async fn until_lost(client: &Client) -> stream::Error {
    let mut last_answer = Instant::now();
    let mut look = tokio::time::interval(CLOSED_INTERVAL);
    loop {
        look.tick().await;
        if client.is_closed() {
            return stream::Error::Lost("the server has closed the control session".into());
        }
        if last_answer.elapsed() < PROBE {
            continue;
        }
        if timeout(PROBE, client.simple_query("")).await.is_err() {
            return stream::Error::Lost(format!("the server has not answered for {PROBE:?}"));
        }
        last_answer = Instant::now();
    }
}

/// Ends the walsender of our own last session, if it still holds the slot because it has not noticed yet that the
/// connection is gone. Returns whether there was one. The walsender of another rowhook is left alone.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn end_own_walsender(client: &Client, slot: &str, name: &str) -> Result<bool> {
    let sql = include_str!("../../sql/catalog/end_walsender.sql");
    let ended = client
        .query(sql, &[&slot, &name])
        .await
        .context("end our own last session")?;
    if !ended.is_empty() {
        tracing::info!(
            slot,
            "ended our own last session, which still held the slot"
        );
    }
    Ok(!ended.is_empty())
}
