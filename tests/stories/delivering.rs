//! Requests: their shape, their order, and what follows from their answers.

use harness::{BOOK_EVENTS, Call, Database, Gate, Receiver, Rowhook};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::memory::Slow;

#[tokio::test]
async fn the_three_payloads_are_as_documented() {
    let database = Database::bookstore().await;
    database
        .sql("alter table book replica identity full; set timezone = 'UTC'")
        .await;
    let receiver = Receiver::start().await;
    let mut config = BOOK_EVENTS.to_owned();
    for payload in ["rest-hooks", "standard", "row"] {
        config += &format!(
            "[[hooks]]\nname = \"{payload}\"\nevents = [\"book.changed\"]\ntarget = \"{}/{payload}\"\npayload = \"{payload}\"\n",
            receiver.url()
        );
    }
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    database.sql("update book set price = 8").await;
    let calls = receiver.expect(3).await;
    let body = |payload: &str| {
        calls
            .iter()
            .find(|call| call.path.ends_with(payload))
            .unwrap()
    };
    let row = r#"{"id":1,"user_id":7,"shelf_id":1,"title":"Dune","price":8.00}"#;
    assert_eq!(body("/row").body, row);
    assert_eq!(
        body("/rest-hooks").body,
        format!(
            r#"{{"hook":{{"id":"rest-hooks","event":"book.changed","target":"{}/rest-hooks"}},"data":{row}}}"#,
            receiver.url()
        )
    );
    let standard = body("/standard").json();
    let mut keys: Vec<&String> = standard.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "changed",
            "data",
            "old",
            "op",
            "owner",
            "position",
            "table",
            "timestamp",
            "type",
            "unchanged"
        ]
    );
    assert_eq!(standard["old"]["price"], json!(9.0));
    assert_eq!(standard["position"]["index"], json!(0));
    assert_eq!(
        (
            &standard["op"],
            &standard["owner"],
            &standard["table"],
            &standard["type"]
        ),
        (
            &json!("update"),
            &json!("7"),
            &json!("public.book"),
            &json!("book.changed")
        )
    );
    assert!(standard["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_failing_delivery_is_tried_again_with_the_same_id_and_body_until_it_succeeds() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| [500, 503, 302, 404, 200][before.min(4)]).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(5).await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 5);
    calls.iter().for_each(Call::verify);
    assert!(
        calls
            .iter()
            .all(|call| call.id() == calls[0].id() && call.body == calls[0].body)
    );
}

#[tokio::test]
async fn a_later_event_of_a_row_waits_for_the_earlier_and_other_rows_do_not() {
    let database = Database::bookstore().await;
    // The first attempt at each delivery of row 1 fails.
    let failed = Arc::new(std::sync::Mutex::new(HashMap::new()));
    let receiver = Receiver::answering(move |call, _| {
        let mut failed = failed.lock().unwrap();
        let attempts: &mut u32 = failed.entry(call.id().to_owned()).or_default();
        *attempts += 1;
        if call.data()["id"] == 1 && *attempts == 1 {
            500
        } else {
            200
        }
    })
    .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, '0', 9), (2, 7, 1, '0', 9)")
        .await;
    for title in 1..=10 {
        database
            .sql(&format!("update book set title = '{title}'"))
            .await;
    }
    let calls = receiver.expect(33).await;
    let titles = |id: i64| -> Vec<String> {
        let of_row = calls
            .iter()
            .filter(|call| call.data()["id"] == id && call.status == 200);
        of_row
            .map(|call| call.data()["title"].as_str().unwrap().to_owned())
            .collect()
    };
    let in_order: Vec<String> = (0..=10).map(|title: i32| title.to_string()).collect();
    assert_eq!(titles(1), in_order);
    assert_eq!(titles(2), in_order);
}

#[tokio::test]
async fn a_hook_with_order_hook_gets_everything_in_commit_order() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before % 3 == 0 { 500 } else { 200 }).await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\norder = \"hook\"\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 30) n")
        .await;
    database.until_all_has_arrived().await;
    let delivered = receiver
        .calls()
        .into_iter()
        .filter(|call| call.status == 200);
    let ids: Vec<i64> = delivered
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_parked_lane_comes_back_in_runs_and_one_that_fails_holds_up_those_behind_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\norder = \"hook\"\nretries = [\"1h\", \"1h\"]\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 100) n")
        .await;
    let parked = |deliveries: u32| {
        format!(
            "select count(*) = {deliveries} from rowhook.delivery where state = 'parked' and not claimed"
        )
    };
    database.until("all are parked", &parked(100)).await;
    database
        .sql(
            "create table tally (of text);
             create function tally() returns trigger language plpgsql as 'begin insert into public.tally values (new.id); return null; end';
             create trigger tally after update on rowhook.delivery for each row execute function public.tally()",
        )
        .await;
    let first_is_due =
        "update rowhook.delivery set next_attempt = now() where next_attempt is not null";
    receiver.answer(|call, _| if call.data()["id"] == 70 { 500 } else { 200 });
    database.sql(first_is_due).await;
    database
        .until("the 70th holds up the others", &parked(31))
        .await;
    receiver.answer(|_, _| 200);
    database.sql(first_is_due).await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let rows = |status: u16| -> Vec<i64> {
        let calls = calls.iter().filter(|call| call.status == status);
        calls
            .map(|call| call.data()["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(rows(500), [1, 70]);
    assert_eq!(rows(200), (1..=100).collect::<Vec<_>>());
    let updates: u32 = database
        .ask("select count(*) from tally")
        .await
        .parse()
        .unwrap();
    assert!(updates < 50, "{updates} rows were written to send 100");
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_the_hook_allows() {
    let database = Database::bookstore().await;
    let (flying, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let app = {
        let (flying, most) = (Arc::clone(&flying), Arc::clone(&most));
        axum::Router::new().fallback(move || async move {
            most.fetch_max(flying.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Hold the request until other requests have had every chance to arrive beside it.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            flying.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let _rowhook = database
        .rowhook(&format!("{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{url}\"\nconcurrency = 3\n"))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 500) n")
        .await;
    database.until_all_has_arrived().await;
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    server.abort();
}

#[tokio::test]
async fn one_attempt_and_no_retries_leaves_a_dead_delivery_on_record() {
    let database = Database::bookstore().await;
    let receiver =
        Receiver::answering(|call, _| if call.data()["id"] == 1 { 500 } else { 200 }).await;
    let mut rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\nretries = false\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    rowhook.until_log("a delivery is dead").await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 2);
    let dead = calls.iter().find(|call| call.status == 500).unwrap();
    let record = "select concat_ws(' ', id, hook, event, state, attempts) from rowhook.delivery";
    assert_eq!(
        database.ask(record).await,
        format!("{} all book.added dead 1", dead.id())
    );
    let body = database
        .ask("select convert_from(body, 'utf8') from rowhook.delivery")
        .await;
    assert_eq!(body.as_bytes(), &dead.body[..]);
}

#[tokio::test]
async fn gone_disables_the_hook_at_once() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 410).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    database.until("the hook is disabled", &format!("select not active and disabled_reason like '%410%' from rowhook.hook where id = {hook}")).await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    database.until_all_is_confirmed().await;
    assert_eq!(receiver.calls().len(), 1);
    // Once it is enabled again, the hook gets what was kept for it, what happened meanwhile, and new events too.
    receiver.answer(|_, _| 200);
    let enable = format!("update rowhook.hook set active = true where id = {hook}");
    database.sql(&enable).await;
    database
        .sql("insert into book values (3, 7, 1, 'Ulysses', 9)")
        .await;
    let calls = receiver.expect(4).await;
    let mut ids: Vec<i64> = calls[1..]
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    database
        .until(
            "nothing is parked",
            "select count(*) = 0 from rowhook.delivery",
        )
        .await;
}

#[tokio::test]
async fn ids_are_different_for_each_delivery_and_name_no_attempt() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook("[events]\n\"book.added\" = \"book.created\"\n\"book.seen\" = \"book.created\"")
        .await;
    database.hook(None, "book.*", &receiver.url()).await;
    database.hook(None, "book.added", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    let calls = receiver.expect(6).await;
    let ids: std::collections::HashSet<&str> = calls.iter().map(Call::id).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.iter().all(|id| id.starts_with("msg_")));
    assert_ne!(calls[0].data()["id"], Value::Null);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_parked_and_holds_neither_the_slot_nor_the_others() {
    let database = Database::bookstore().await;
    let (good, bad) = (
        Receiver::start().await,
        Receiver::answering(|_, _| 500).await,
    );
    let mut rowhook = Rowhook::start(&database.config(BOOK_EVENTS).replace("50ms", "1h"));
    rowhook.until_log("attached slot=").await;
    database.hook(Some("7"), "book.*", &good.url()).await;
    let hook = database.hook(Some("7"), "book.*", &bad.url()).await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 300) n")
        .await;
    database
        .sql("update book set title = 'book, 2nd edition'")
        .await;
    good.expect(600).await;
    database.until_all_is_confirmed().await;
    let parked = format!(
        "select count(*) = 600 from rowhook.delivery where state = 'parked' and hook = '{hook}'"
    );
    database.until("all of it is parked", &parked).await;
    // The breaker spares an endpoint that keeps failing.
    assert!(bad.calls().len() < 100, "{}", bad.calls().len());
    // Of each row, the second waits behind the first.
    let behind = "select count(*) from rowhook.delivery where next_attempt is null";
    assert_eq!(database.ask(behind).await, "300");

    // An hour later, with the endpoint working again, everything arrives in order.
    bad.answer(|_, _| 200);
    rowhook.stop();
    let before = bad.calls().len();
    database
        .sql("update rowhook.delivery set next_attempt = now() where next_attempt is not null")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until_all_has_arrived().await;
    let calls = &bad.calls()[before..];
    assert_eq!(calls.len(), 600);
    for id in 1..=300 {
        let of_row: Vec<String> = calls
            .iter()
            .filter(|call| call.data()["id"] == id)
            .map(Call::event)
            .collect();
        assert_eq!(of_row, ["book.added", "book.changed"], "{id}");
    }
    calls.iter().for_each(Call::verify);
}

#[tokio::test]
async fn a_stuck_endpoint_holds_the_slot_no_longer_than_its_time_out() {
    let database = Database::bookstore().await;
    let good = Receiver::start().await;
    let gate = Gate::closed().await;
    let stuck = gate.url();
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"stuck\"\nevents = [\"*\"]\ntarget = \"{stuck}\"\ntimeout = \"500ms\"\nretries = [\"1h\"]\n"
    ));
    let config = config.replace("[delivery]", "[delivery]\nmemory = \"1MiB\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database.hook(Some("7"), "book.added", &good.url()).await;
    database
        .sql(
            "insert into book select n, 7, 1, repeat('x', 1000), 1 from generate_series(1, 5000) n",
        )
        .await;
    good.expect(5000).await;
    database.until_all_is_confirmed().await;
    let parked =
        "select count(*) = 5000 from rowhook.delivery where hook = 'stuck' and state = 'parked'";
    database.until("all of it is parked", parked).await;
}

/// A rowhook with one hook on the slow endpoint, which has these additional keys.
async fn attached_to(slow: &Slow, database: &Database, keys: &str) -> Rowhook {
    let hook = format!(
        "name = \"slow\"\nevents = [\"*\"]\ntarget = \"{}\"",
        slow.url()
    );
    let config = format!("{BOOK_EVENTS}\n[[hooks]]\n{hook}\n{keys}\n");
    database.rowhook(&config).await
}

#[tokio::test]
async fn a_slow_endpoint_holds_the_slot_for_less_than_its_time_out() {
    // With `order = "hook"`, all deliveries wait behind the first one.
    for one_by_one in ["concurrency = 1", "order = \"hook\""] {
        let database = Database::bookstore().await;
        let slow = Slow::refusing(Duration::from_secs(1), 0).await;
        let keys = format!("{one_by_one}\ntimeout = \"1m\"");
        let _rowhook = attached_to(&slow, &database, &keys).await;
        let rows = 12;
        let add =
            format!("insert into book select n, 7, 1, 'book', 1 from generate_series(1, {rows}) n");
        database.sql(&add).await;
        database.until_all_is_confirmed().await;
        let taken = slow.taken();
        assert!(taken < rows, "{one_by_one}: all {taken} were waited for");
    }
}

#[tokio::test]
async fn an_endpoint_busy_with_what_was_parked_holds_the_slot_no_longer_than_its_time_out() {
    let database = Database::bookstore().await;
    // The tenth failure opens the breaker. What is parked then waits for ten seconds.
    let mut slow = Slow::refusing(Duration::from_millis(100), 10).await;
    let keys = "concurrency = 1\ntimeout = \"3s\"";
    let _rowhook = attached_to(&slow, &database, keys).await;
    let parked = 100;
    let add =
        format!("insert into book select n, 7, 1, 'book', 1 from generate_series(1, {parked}) n");
    database.sql(&add).await;
    slow.until_taken(5).await;
    database
        .sql("insert into book values (1000, 7, 1, 'Dune', 9)")
        .await;
    database.until_all_is_confirmed().await;
    let taken = slow.taken();
    assert!(taken < parked, "it waited for {taken} others");
}

#[tokio::test]
async fn what_an_endpoint_asks_for_in_retry_after_is_kept() {
    let database = Database::bookstore().await;
    let app = axum::Router::new().fallback(|| async {
        (
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "3600")],
        )
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &url).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let asked = "select count(*) = 1 from rowhook.delivery where next_attempt between now() + interval '59 min' and now() + interval '61 min'";
    database.until("it waits for an hour", asked).await;
    // The pause is that of the whole hook, so the next delivery is not even tried.
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    database
        .until(
            "the other is parked untried",
            "select count(*) = 1 from rowhook.delivery where attempts = 0",
        )
        .await;
    server.abort();
}

#[tokio::test]
async fn what_is_made_due_by_hand_is_sent_at_once() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = |retries: &str| {
        format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\nretries = {retries}\n",
            receiver.url()
        )
    };
    let rowhook = database.rowhook(&config("false")).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    let dead = "select count(*) = 2 from rowhook.delivery where state = 'dead'";
    database.until("both are dead", dead).await;
    receiver.answer(|_, _| 200);
    database
        .sql("update rowhook.delivery set state = 'parked'")
        .await;
    let calls = receiver.expect(4).await;
    for id in [1, 2] {
        let same: Vec<_> = calls
            .iter()
            .filter(|call| call.data()["id"] == id)
            .collect();
        assert_eq!(same.len(), 2);
        assert_eq!((same[0].id(), &same[0].body), (same[1].id(), &same[1].body));
    }
    database.until_all_has_arrived().await;
    assert!(rowhook.stop().success());

    receiver.answer(|_, _| 500);
    let _rowhook = database.rowhook(&config("[\"1h\"]")).await;
    database
        .sql("insert into book values (3, 7, 1, 'Ulysses', 9)")
        .await;
    let parked = "select count(*) = 1 from rowhook.delivery where next_attempt > now() + interval '30 min' and not claimed";
    database.until("it is parked for an hour", parked).await;
    receiver.answer(|_, _| 200);
    database
        .sql("update rowhook.delivery set next_attempt = now()")
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 6);
}

#[tokio::test]
async fn what_is_made_due_among_many_comes_before_those_that_were_due_later() {
    let database = Database::bookstore().await;
    // The tenth failure opens the breaker, and the rest is parked.
    let receiver = Receiver::answering(|_, before| if before < 10 { 500 } else { 200 }).await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\nconcurrency = 1\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 1500) n")
        .await;
    receiver.expect(200).await;
    let favoured = 1499;
    database
        .sql(&format!(
            "update rowhook.delivery set next_attempt = now() - interval '1 day'
             where convert_from(body, 'UTF8')::json #>> '{{data,id}}' = '{favoured}'"
        ))
        .await;
    let calls = receiver.expect(1510).await;
    let at = calls.iter().position(|call| call.data()["id"] == favoured);
    assert!(at.is_some_and(|at| at < 1300), "{at:?}");
}

/// Ids of two books in the schema public whose lanes share a bucket of the backlog, by the hash that `Relation::lane`
/// documents. A unit test of the backlog checks the same numbers.
const SHARE_A_BUCKET: [u64; 2] = [698, 2660];

#[tokio::test]
async fn a_row_that_shares_its_bucket_with_a_parked_one_is_parked_too_and_sent_at_once() {
    let [failing, other] = SHARE_A_BUCKET;
    let database = Database::bookstore().await;
    let answer = move |call: &Call, _| {
        if call.data()["id"] == failing {
            500
        } else {
            200
        }
    };
    let receiver = Receiver::answering(answer).await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}[[hooks]]\nname = \"warehouse\"\nevents = [\"book.added\"]\ntarget = \"{}\"\nretries = [\"1h\"]\n",
            receiver.url()
        ))
        .await;
    database
        .sql(
            "create table parked (book bigint);
             create function keep() returns trigger language plpgsql as $$
             begin
                 insert into public.parked select (convert_from(new.body, 'UTF8')::json #>> '{data,id}')::bigint;
                 return null;
             end $$;
             create trigger keep after insert on rowhook.delivery for each row execute function keep()",
        )
        .await;
    let add = |id: u64| format!("insert into book values ({id}, 7, 1, 'Dune', 9)");
    database.sql(&add(failing)).await;
    let is_parked = |id: u64| format!("select count(*) = 1 from parked where book = {id}");
    database
        .until("the first is parked", &is_parked(failing))
        .await;
    database.sql(&add(other)).await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[1].data()["id"], other);
    assert_eq!(database.ask(&is_parked(other)).await, "t");
    let left = "select count(*) = 1 from rowhook.delivery";
    database.until("only the first is left", left).await;
}
