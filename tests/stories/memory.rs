//! Memory stays within its budget, with large transactions, large rows and slow endpoints. The figures are printed;
//! those of `make torture` are for a million rows.

use harness::{BOOK_EVENTS, DEADLINE, Database, Rowhook};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::to_bytes, extract::Request, http::StatusCode};
use tokio::{net::TcpListener, sync::watch};

const MEBIBYTE: u64 = 1 << 20;

/// An endpoint that answers each request after a pause, and keeps only the number of requests.
pub struct Slow {
    address: SocketAddr,
    taken: watch::Receiver<usize>,
    largest: Arc<AtomicUsize>,
}

impl Slow {
    async fn start(pause: Duration) -> Self {
        Self::refusing(pause, 0).await
    }

    /// Refuses the first `refused` requests, and accepts all later ones after `pause`.
    pub async fn refusing(pause: Duration, refused: usize) -> Self {
        let (count, taken) = watch::channel(0);
        let (count, largest) = (Arc::new(count), Arc::new(AtomicUsize::new(0)));
        let (most, refusing) = (Arc::clone(&largest), Arc::new(AtomicUsize::new(refused)));
        let app = Router::new().fallback(move |request: Request| async move {
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            most.fetch_max(body.len(), Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            let one_less = |left: usize| left.checked_sub(1);
            let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
            if refusing.fetch_update(set, get, one_less).is_ok() {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            count.send_modify(|count| *count += 1);
            StatusCode::OK
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

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The number of requests it has accepted.
    pub fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    /// Waits until it has accepted this many requests. There is no deadline while requests keep coming.
    pub async fn until_taken(&mut self, requests: usize) {
        let mut taken = 0;
        while taken < requests {
            let more = self.taken.wait_for(|now| *now > taken);
            let more = tokio::time::timeout(DEADLINE, more).await;
            taken = *more.expect("more requests come").unwrap();
        }
    }
}

/// Prints and returns the growth of the process in MiB, from `before` to its peak.
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
    let config = database.config(BOOK_EVENTS);
    let config = config.replace("[delivery]", "[delivery]\nmemory = \"8MiB\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
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
    // It takes some minutes to park a million deliveries.
    let deadline = DEADLINE + Duration::from_millis(rows as u64 / 2);
    database.until_all_is_confirmed_within(deadline).await;
    let at_the_slow = slow.taken();
    assert!(at_the_slow < rows / 2, "nothing was parked");
    let what = format!("{rows} rows in one transaction, a budget of 8 MiB");
    let grown = growth(&what, &rowhook, before);
    assert!(grown < 64, "{grown} MiB");
}

/// Makes a table of pages whose bodies of `bytes` bytes are stored out of line, and starts rowhook with a hook on it.
async fn pages(database: &Database, bytes: usize, delivery: &str, endpoint: &Slow) -> Rowhook {
    database
        .sql(&format!(
            "create table page (id int primary key, body text default repeat('x', {bytes}), views int default 0);
            alter table page alter column body set storage external"
        ))
        .await;
    let config = format!(
        "[events]\n\"page.added\" = \"page.created\"\n\"page.seen\" = \"page.updated\"\n\
        [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        endpoint.url()
    );
    let config = database.config(&config);
    let config = config.replace("[delivery]", &format!("[delivery]\n{delivery}"));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    rowhook
}

#[tokio::test]
async fn large_rows_stay_within_the_budget_while_their_endpoint_is_slow_and_when_it_refuses_them() {
    let rows: usize = std::env::var("MEMORY_LARGE_ROWS").map_or(3, |rows| rows.parse().unwrap());
    let bytes = 50_000_000;
    for (how, refused) in [("slow", 0), ("slow and refusing at first", rows.min(3))] {
        let database = Database::new().await;
        let mut endpoint = Slow::refusing(Duration::from_millis(500), refused).await;
        let delivery = "memory = \"256MiB\"\nmax_body = \"64MiB\"";
        let rowhook = pages(&database, bytes, delivery, &endpoint).await;
        let before = rowhook.peak_memory();
        for id in 1..=rows {
            database
                .sql(&format!("insert into page (id) values ({id})"))
                .await;
        }
        endpoint.until_taken(rows).await;
        assert!(endpoint.largest.load(Ordering::Relaxed) > bytes);
        let what = format!("{rows} rows of 50 MB, {how}, a budget of 256 MiB");
        let grown = growth(&what, &rowhook, before);
        assert!(grown < 256, "{grown} MiB");
    }
}

#[tokio::test]
async fn large_values_that_an_update_did_not_touch_are_read_again_within_the_budget() {
    let (rows, bytes) = (40, 5_000_000);
    let database = Database::new().await;
    let mut endpoint = Slow::start(Duration::ZERO).await;
    let rowhook = pages(&database, bytes, "", &endpoint).await;
    let before = rowhook.peak_memory();
    database
        .sql(&format!(
            "insert into page (id) select generate_series(1, {rows})"
        ))
        .await;
    endpoint.until_taken(rows).await;
    endpoint.largest.store(0, Ordering::Relaxed);
    database.sql("update page set views = 1").await;
    endpoint.until_taken(2 * rows).await;
    assert!(endpoint.largest.load(Ordering::Relaxed) > bytes);
    let what = format!("{rows} values of 5 MB that are read again, a budget of 64 MiB");
    let grown = growth(&what, &rowhook, before);
    assert!(grown < 64, "{grown} MiB");
}
