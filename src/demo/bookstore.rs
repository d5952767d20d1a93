//! The application of the demo: a bookstore that keeps changing rows, and knows nothing of webhooks.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::seq::IndexedRandom;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

const BETWEEN_CHANGES: Duration = Duration::from_millis(400);

const TITLES: [&str; 8] = [
    "Dune",
    "Emma",
    "Ulysses",
    "The Dispossessed",
    "Solaris",
    "Persuasion",
    "Dubliners",
    "The Cyberiad",
];

/// Creates the tables and their first rows.
pub(super) async fn open(client: &Client) -> Result<()> {
    client
        .batch_execute(include_str!("bookstore.sql"))
        .await
        .context("make the bookstore")
}

/// Changes a row or announces something every [`BETWEEN_CHANGES`], until `stop`. Returns how many statements did so.
pub(super) async fn trade(client: &Client, stop: &CancellationToken) -> Result<u64> {
    let mut changes = 0;
    let mut ticks = tokio::time::interval(BETWEEN_CHANGES);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(changes),
        }
        let sql = next_statement(changes);
        let touched = client.execute(&sql, &[]).await;
        changes += u64::from(touched.with_context(|| sql.clone())? > 0);
    }
}

/// The SQL after so many changes. Books are added first, and the kinds of change take turns, so that every event shows
/// up within a few seconds.
fn next_statement(changes: u64) -> String {
    let mut rng = rand::rng();
    let title = TITLES.choose(&mut rng).copied().unwrap_or("Dune");
    let cents: u32 = rand::random_range(300..4000);
    let some_book = "(select id from book order by random() limit 1)";
    match changes % 9 {
        0 | 1 | 4 => format!(
            "insert into book (shelf_id, author_id, title, price, bought_for) \
             select shelf.id, author.id, '{title}', {cents} / 100.0, 1 from shelf, author order by random() limit 1"
        ),
        2 => format!("update book set title = title || ', 2nd edition' where id = {some_book}"),
        3 | 6 => format!("update book set price = round(price * 0.9, 2) where id = {some_book}"),
        5 => format!("update book set price = price + 1 where id = {some_book}"),
        7 => "select rowhook.emit('sale.announced', '{\"percent\": 10}', id::text) \
              from (select id from app_user order by random() limit 1) as somebody"
            .into(),
        _ if rand::random_ratio(1, 2) => format!("delete from book where id = {some_book}"),
        _ => "insert into shelf (user_id, label) select id, 'new arrivals' from app_user order by random() limit 1".into(),
    }
}
