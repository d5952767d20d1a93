//! The control session: an ordinary one beside the stream, on whose life the stream depends.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use super::health::Health;
use crate::{
    postgres::{address::Address, connect::Notifications, quote, stream, types},
    setup::{
        catalog::read_slot,
        lag::{Watch, Word},
    },
};

/// How often we look whether the session is still open.
const LOOK: Duration = Duration::from_millis(500);
/// A standby looks so often whether the slot is free.
const STANDBY_LOOK: Duration = Duration::from_millis(100);
/// How often we look at the slot.
const SLOT_LOOK: Duration = Duration::from_secs(5);
/// How often we ask it for an answer, and how long we wait for one.
pub(super) const PROBE: Duration = Duration::from_secs(10);

/// Opens the control session, which listens to what is made due by hand in the tables of `schema`.
pub(super) async fn open(address: &Address, schema: &str) -> Result<(Client, Notifications)> {
    let (client, notifications) = address.connect_hearing("rowhook control").await?;
    let listen = format!("listen {}", quote::name(schema));
    let prepared = async {
        // Values that are looked up have to read as those of the stream do.
        types::pin(&client).await?;
        client.batch_execute(&listen).await
    };
    prepared.await.context("prepare the control session")?;
    Ok((client, notifications))
}

/// Waits until nobody holds the slot, or the session can tell no more.
pub(super) async fn until_free(client: &Client, slot: &str) {
    let held = "select from pg_replication_slots where slot_name = $1 and active";
    let mut ticks = tokio::time::interval(STANDBY_LOOK);
    loop {
        ticks.tick().await;
        let holders = timeout(PROBE, client.query(held, &[&slot])).await;
        if !matches!(holders, Ok(Ok(holders)) if !holders.is_empty()) {
            return;
        }
    }
}

/// Warns before the slot loses WAL, for as long as it is polled.
pub(super) async fn watch_slot(client: &Client, slot: &str, health: &Health) -> Infallible {
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(SLOT_LOOK);
    loop {
        ticks.tick().await;
        // If this fails the session is lost, and others say so.
        let Ok(Some(facts)) = read_slot(client, slot).await else {
            continue;
        };
        match watch.look(&facts, Instant::now()) {
            Some(Word::Danger(danger)) => tracing::warn!(slot, "{danger}"),
            Some(Word::Over) => tracing::info!(slot, "the slot is out of danger"),
            None => {}
        }
        health.record_slot(facts, watch.is_stalled(), Instant::now());
    }
}

/// Watches the control session, and says when it is lost.
///
/// Our stream ends with it, for two reasons. A server that shuts down ends ordinary sessions at once, but waits for
/// walsenders until all that they sent is confirmed, however long an endpoint takes; nobody shall wait for us. And a network
/// that has gone silent is not noticed on an idle stream, where the server has no reason to say anything.
pub(super) async fn until_lost(client: &Client) -> stream::Error {
    let mut last_heard = Instant::now();
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if client.is_closed() {
            return stream::Error::Lost("the server has closed the control session".into());
        }
        if last_heard.elapsed() < PROBE {
            continue;
        }
        if timeout(PROBE, client.simple_query("")).await.is_err() {
            return stream::Error::Lost(format!("the server has not answered for {PROBE:?}"));
        }
        last_heard = Instant::now();
    }
}

/// Ends the walsender of our own last session, which holds the slot until it notices that nobody listens any more. That of
/// another rowhook is not ours to end. Says whether there was one.
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
