//! End to end: rows, `rowhook run`, `rowhook receive` and tasks, with either side killed on the way.

use harness::{BOOK_EVENTS, Database, Rowhook};
use std::collections::{BTreeSet, HashMap};

use crate::{queue::done, receiving::Place};

const ROUNDS: usize = 8;
const ROWS: usize = 12;

#[tokio::test]
async fn every_row_has_its_task_run_though_both_sides_are_killed_and_nothing_recorded_runs_again() {
    let database = Database::bookstore().await;
    let script = r#"
        book=$(sed 's/.*"data":{"id":\([0-9]*\).*/\1/')
        echo "begun $ROWHOOK_ID" >>ran
        sleep 0.02
        echo "ended $ROWHOOK_ID $book" >>ran"#;
    let place = Place::with_task(script, "event = \"added\"\norder_by = \"data.shelf_id\"").await;
    // Enough attempts to outlast the time that a receiver is gone.
    let pauses = vec!["\"200ms\""; 1000].join(", ");
    let config = database
        .config(BOOK_EVENTS)
        .replace("\"200ms\"]", &format!("{pauses}]"));
    let start = async || {
        let mut rowhook = Rowhook::start(&config);
        rowhook.until_log("attached slot=").await;
        rowhook
    };
    let mut sender = start().await;
    let mut receiver = place.receive().await;
    database.hook(Some("7"), "book.added", &place.url()).await;
    let begun = |id: &str| {
        let line = format!("begun {id}");
        place.ran().iter().filter(|ran| **ran == line).count()
    };
    let mut recorded: HashMap<String, usize> = HashMap::new();
    for round in 0..ROUNDS {
        for row in 0..ROWS {
            let id = round * ROWS + row;
            let shelf = 1 + row % 2;
            database
                .sql(&format!(
                    "insert into book values ({id}, 7, {shelf}, 'Dune', 9)"
                ))
                .await;
        }
        // Each kill falls while rows are on their way: some tasks have ended, others have not.
        let least = round * ROWS + 1;
        place
            .until_ran("some have ended", |ran| {
                ended(ran).len() >= least.min(ROUNDS * ROWS / 2)
            })
            .await;
        if round % 2 == 0 {
            for id in done(&receiver.kill_and_log()) {
                let before = begun(&id);
                recorded.insert(id, before);
            }
            receiver = place.receive().await;
        } else {
            sender.kill();
            sender = start().await;
        }
    }
    let ran = place
        .until_ran("all rows", |ran| {
            let books: BTreeSet<usize> = ended(ran).into_iter().map(|(_, book)| book).collect();
            books.len() == ROUNDS * ROWS
        })
        .await;
    let ids: BTreeSet<String> = ended(&ran).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), ROUNDS * ROWS, "each row has one id");
    assert!(!recorded.is_empty());
    for (id, before) in recorded {
        assert_eq!(
            begun(&id),
            before,
            "{id} ran again after its success was recorded"
        );
    }
    database.until_all_has_arrived().await;
    assert!(sender.stop().success());
    assert!(receiver.stop().success());
}

/// The id and the book in each `ended` line.
fn ended(ran: &[String]) -> Vec<(String, usize)> {
    let of_line = |line: &String| {
        let (id, book) = line.strip_prefix("ended ")?.split_once(' ')?;
        Some((id.to_owned(), book.parse().ok()?))
    };
    ran.iter().filter_map(of_line).collect()
}
