//! A crowd: thousands of hooks of one owner that all hear one event. Other owners pass between its deliveries.
//!
//! What is compared is who arrives before whom, and never a time.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, extract::Request};
use harness::{BOOK_EVENTS, Database, Gate, Receiver};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

/// How many hooks the owner of the crowd has.
const CROWD: usize = 3000;
/// How many books of the neighbour are added behind the one that the crowd hears of.
const BOOKS: usize = 5;

/// An endpoint that answers at once, and keeps only how many different deliveries came.
struct Counting {
    url: String,
    count: watch::Receiver<usize>,
    server: JoinHandle<()>,
}

impl Counting {
    async fn start() -> Self {
        let ids = Arc::new(Mutex::new(HashSet::new()));
        let (counted, count) = watch::channel(0);
        let app = Router::new().fallback(move |request: Request| async move {
            let id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
            let mut ids = ids.lock().unwrap();
            ids.insert(id);
            counted.send_replace(ids.len());
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, count, server }
    }

    /// How many have come.
    fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until this many have come. There is no deadline while more come.
    async fn until(&mut self, deliveries: usize) {
        while self.count() < deliveries {
            let more = timeout(harness::DEADLINE, self.count.changed()).await;
            more.unwrap_or_else(|_| panic!("only {} of {deliveries} came", self.count()))
                .unwrap();
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Makes the hooks of the crowd, all of owner 8.
async fn make_crowd(database: &Database, hooks: usize, url: &str) {
    let sql = "insert into rowhook.hook (owner, event, target)
        select '8', 'book.added', $1 || n from generate_series(1, $2::int) as n";
    let hooks = i32::try_from(hooks).unwrap();
    let made = database.client.execute(sql, &[&url, &hooks]).await;
    made.unwrap();
}

/// Adds a book that the crowd hears of, and some of the neighbour's behind it.
async fn add_books(database: &Database) {
    let sql = format!(
        "insert into book select id, case id when 1 then 8 else 7 end, 1, 'Emma', 9
         from generate_series(1, 1 + {BOOKS}) as id"
    );
    database.sql(&sql).await;
}

/// A receiver, and how many deliveries of the crowd had come when its last call came.
async fn neighbour_of(crowd: &Counting) -> (Receiver, Arc<AtomicUsize>) {
    let (of_crowd, before) = (crowd.count.clone(), Arc::new(AtomicUsize::new(0)));
    let latest = Arc::clone(&before);
    let receiver = Receiver::answering(move |_, _| {
        latest.fetch_max(*of_crowd.borrow(), SeqCst);
        200
    });
    (receiver.await, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_pass_between_the_deliveries_of_a_crowd() {
    let database = Database::bookstore().await;
    let mut crowd = Counting::start().await;
    let (neighbour, before) = neighbour_of(&crowd).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    make_crowd(&database, CROWD, &crowd.url).await;
    database
        .hook(Some("7"), "book.added", &neighbour.url())
        .await;

    add_books(&database).await;
    neighbour.expect(BOOKS).await;
    let before = before.load(SeqCst);
    println!("of {CROWD} deliveries of the crowd, {before} came before the neighbour's last");
    crowd.until(CROWD).await;
    database.until_all_has_arrived().await;
    assert!(before < CROWD / 2, "{before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_crowd_is_lost_when_rowhook_is_killed_over_it() {
    let database = Database::bookstore().await;
    let mut crowd = Counting::start().await;
    let (neighbour, _) = neighbour_of(&crowd).await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    make_crowd(&database, CROWD, &crowd.url).await;
    database
        .hook(Some("7"), "book.added", &neighbour.url())
        .await;
    add_books(&database).await;
    neighbour.expect(1).await;
    rowhook.kill();
    let before = crowd.count();
    assert!(before < CROWD, "{before}");
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    crowd.until(CROWD).await;
    neighbour.expect(BOOKS).await;
    database.until_all_has_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_event_of_everyone_those_with_few_hooks_hear_before_a_crowd() {
    let database = Database::bookstore().await;
    let mut crowd = Counting::start().await;
    let (neighbour, before) = neighbour_of(&crowd).await;
    let of_everyone = "[events]\n\"book.added\" = \"book.created+\"";
    let _rowhook = database.rowhook(of_everyone).await;
    make_crowd(&database, CROWD, &crowd.url).await;
    database
        .hook(Some("7"), "book.added", &neighbour.url())
        .await;
    database
        .sql("insert into book values (1, 8, 1, 'Emma', 9)")
        .await;
    neighbour.expect(1).await;
    let before = before.load(SeqCst);
    crowd.until(CROWD).await;
    database.until_all_has_arrived().await;
    assert!(before < CROWD / 4, "{before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_pass_a_crowd_whose_endpoints_take_all_that_they_get_and_never_answer() {
    let database = Database::bookstore().await;
    let (gate, neighbour) = (Gate::closed().await, Receiver::start().await);
    // What the crowd is sent takes more than all of this.
    let config = database.config(BOOK_EVENTS);
    let config = config.replace(
        "[delivery]\n",
        "[delivery]\nmemory = \"1MiB\"\ntimeout = \"1h\"\n",
    );
    let mut rowhook = harness::Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    make_crowd(&database, CROWD, &gate.url()).await;
    database
        .hook(Some("7"), "book.added", &neighbour.url())
        .await;

    add_books(&database).await;
    neighbour.expect(BOOKS).await;
    println!("{} requests of the crowd wait", gate.waiting());
    gate.open();
    database.until_all_has_arrived().await;
    assert_eq!(gate.waiting(), CROWD);
}
