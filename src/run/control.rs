//! The control session: an ordinary session beside the stream. When it is lost, the stream is ended too.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use super::health::Health;
use crate::{
    postgres::{
        address::Address,
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
#[derive(Debug, thiserror::Error)]
#[error(
    "this server is a standby, and rowhook writes tables of its own; give the primary in [database] url, or all hosts and target_session_attrs=read-write"
)]
pub(super) struct AtStandby {
    /// Whether it was the primary in an earlier session, and may be so again.
    pub(super) was_primary: bool,
}

/// Opens the control session. Its notifications name what is made due by hand in the tables of `schema`.
///
/// # Errors
/// When the session cannot be opened or prepared, and when it is one of a standby.
pub(super) async fn open(
    address: &Address,
    schema: &str,
    was_primary: bool,
) -> Result<(Client, Notifications)> {
    let (client, notifications) = address.connect_listening("rowhook control").await?;
    let recovers = client.query_one("select pg_is_in_recovery()", &[]).await;
    let recovers: bool = recovers
        .and_then(|row| row.try_get(0))
        .context("ask whether this is a standby")?;
    ensure!(!recovers, AtStandby { was_primary });
    let listen = format!("listen {}", quote::name(schema));
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
        let setting = "select current_setting('synchronous_standby_names')";
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
