//! Memory has a budget, however large transactions and rows are and however slow endpoints. The figures are printed; those
//! of `make torture` are of a million rows.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::to_bytes, extract::Request};
use tokio::{net::TcpListener, sync::watch};

use crate::support::{BOOK_EVENTS, DEADLINE, Database, Rowhook};

const MEBIBYTE: u64 = 1 << 20;

/// An endpoint that takes its time over each request, and keeps nothing of them but their number.
struct Slow {
    address: SocketAddr,
    taken: watch::Receiver<usize>,
    largest: Arc<AtomicUsize>,
}

impl Slow {
    async fn start(pause: Duration) -> Self {
        let (count, taken) = watch::channel(0);
        let (count, largest) = (Arc::new(count), Arc::new(AtomicUsize::new(0)));
        let most = Arc::clone(&largest);
        let app = Router::new().fallback(move |request: Request| async move {
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            most.fetch_max(body.len(), Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            count.send_modify(|count| *count += 1);
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            taken,
            largest,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits for so many requests, as long as it takes, while there are more and more.
    async fn until_taken(&mut self, requests: usize) {
        let mut taken = 0;
        while taken < requests {
            let more = self.taken.wait_for(|now| *now > taken);
            let more = tokio::time::timeout(DEADLINE, more).await;
            taken = *more.expect("more requests come").unwrap();
        }
    }
}

/// Prints and returns by how many MiB the process has grown at its worst since `before`.
fn growth(what: &str, rowhook: &Rowhook, before: u64) -> u64 {
    let peak = rowhook.peak_memory();
    let grown = peak.saturating_sub(before) / MEBIBYTE;
    println!(
        "{what}: {} MiB at rest, {} MiB at the most, grown by {grown} MiB",
        before / MEBIBYTE,
        peak / MEBIBYTE
    );
    grown
}

#[tokio::test]
async fn a_large_transaction_for_a_slow_endpoint_stays_within_the_budget_and_slows_nobody_else() {
    let rows: usize = std::env::var("MEMORY_ROWS").map_or(30_000, |rows| rows.parse().unwrap());
    let database = Database::bookstore().await;
    let mut fast = Slow::start(Duration::ZERO).await;
    let slow = Slow::start(Duration::from_millis(500)).await;
    let config = database.config(BOOK_EVENTS).replace(
        "[delivery]",
        "[delivery]\nmemory = \"8MiB\"\ntimeout = \"2s\"",
    );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached").await;
    for target in [fast.url(), slow.url()] {
        database.hook(Some("7"), "book.added", &target).await;
    }
    let before = rowhook.peak_memory();
    database
        .sql(&format!(
            "insert into book select n, 7, 1, repeat('x', 100), 1 from generate_series(1, {rows}) n"
        ))
        .await;
    fast.until_taken(rows).await;
    database.until_all_is_confirmed().await;
    let at_the_slow = *slow.taken.borrow();
    assert!(at_the_slow < rows / 2, "nothing was parked");
    let grown = growth(
        &format!("{rows} rows in one transaction, a budget of 8 MiB"),
        &rowhook,
        before,
    );
    assert!(grown < 64, "{grown} MiB");
}

#[tokio::test]
async fn rows_of_fifty_megabytes_stay_within_a_few_of_them() {
    let rows: usize = std::env::var("MEMORY_LARGE_ROWS").map_or(3, |rows| rows.parse().unwrap());
    let database = Database::bookstore().await;
    let mut slow = Slow::start(Duration::from_millis(500)).await;
    let config = database
        .config(BOOK_EVENTS)
        .replace("[delivery]", "[delivery]\nmax_body = \"64MiB\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached").await;
    database.hook(Some("7"), "book.added", &slow.url()).await;
    let before = rowhook.peak_memory();
    for row in 1..=rows {
        database
            .sql(&format!(
                "insert into book values ({row}, 7, 1, repeat('x', 50000000), 1)"
            ))
            .await;
    }
    slow.until_taken(rows).await;
    assert!(slow.largest.load(Ordering::Relaxed) > 50_000_000);
    let grown = growth(
        &format!("{rows} rows of 50 MB, a budget of 64 MiB"),
        &rowhook,
        before,
    );
    assert!(grown < 1000, "{grown} MiB");
}
