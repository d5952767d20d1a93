//! Writers that commit and roll back changes, whatever happens to the server.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_postgres::{Client, NoTls};

use crate::oracle::Change;

const ROWS: i64 = 25;

/// Writes transactions until `stop` is set, and returns what was committed, in order. Each transaction inserts a mark,
/// which tells after a crash whether it was committed.
pub async fn write(url: String, writer: i64, seed: u64, stop: Arc<AtomicBool>) -> Vec<Change> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client: Option<Client> = None;
    let mut rows: HashMap<i64, i64> = HashMap::new();
    let mut committed: Vec<Change> = Vec::new();
    let mut transaction = 0;
    while !stop.load(Ordering::SeqCst) {
        transaction += 1;
        let mark = writer * 1_000_000 + transaction;
        let mut sql = format!("begin; insert into mark values ({mark});");
        let mut after = rows.clone();
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..8) {
            let id = writer * 1000 + random.random_range(0..ROWS);
            // A row that was deleted and comes again goes on counting.
            let number = after.get(&id).copied().unwrap_or(0) + 1;
            sql += &match (number.rem_euclid(7), number) {
                (1, _) => format!("insert into item values ({id}, {number}, {mark});"),
                (0, _) => format!(
                    "update item set number = {number}, mark = {mark} where id = {id}; delete from item where id = {id};"
                ),
                _ => format!("update item set number = {number}, mark = {mark} where id = {id};"),
            };
            after.insert(id, number);
            changes.push((id, number));
        }
        let commit = random.random_ratio(9, 10);
        sql += if commit { "commit" } else { "rollback" };
        let done = execute(&url, &mut client, &sql, mark).await;
        if commit && done {
            rows = after;
            committed.extend(changes);
        }
        // The pause spreads the writes over the whole run, and leaves time to deliver between two kills. This tests
        // recovery, not throughput.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..800))).await;
    }
    committed
}

/// Runs a transaction, and returns whether it was committed. Postgres may die at any point of it.
async fn execute(url: &str, slot: &mut Option<Client>, sql: &str, mark: i64) -> bool {
    if let Some(client) = slot
        && client.batch_execute(sql).await.is_ok()
    {
        return sql.ends_with("commit");
    }
    // Either there was no session yet, or it died during the transaction.
    let first = slot.is_none();
    loop {
        let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(connection);
        if first {
            client.batch_execute("select 1").await.unwrap();
            *slot = Some(client);
            return Box::pin(execute(url, slot, sql, mark)).await;
        }
        let marked = client
            .query(&format!("select from mark where n = {mark}"), &[])
            .await;
        *slot = Some(client);
        if let Ok(rows) = marked {
            return !rows.is_empty();
        }
    }
}

/// Enables disabled hooks again, five times a second, until `stop` is set. Returns the number of hooks that it enabled.
pub async fn enable(url: String, stop: Arc<AtomicBool>) -> u64 {
    let mut client: Option<Client> = None;
    let mut enabled = 0;
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if client.is_none()
            && let Ok((connected, connection)) = tokio_postgres::connect(&url, NoTls).await
        {
            tokio::spawn(connection);
            client = Some(connected);
        }
        if let Some(connected) = &client {
            let sql = "update rowhook.hook set active = true where not active";
            match connected.execute(sql, &[]).await {
                Ok(hooks) => enabled += hooks,
                Err(_) => client = None,
            }
        }
    }
    enabled
}
