//! Several deliveries in one request. Each member of the array keeps its own id, order, attempts and parking.

use harness::{BOOK_EVENTS, Call, Database, Receiver, Rowhook, SECRET, rowhook};
use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

/// A hook on all events, with these additional keys.
fn hook(receiver: &Receiver, keys: &str) -> String {
    format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"batched\"\nevents = [\"*\"]\ntarget = \"{}\"\nsecret = \"{SECRET}\"\n{keys}\n",
        receiver.url()
    )
}

/// The deliveries of a request, each with its id.
fn members(call: &Call) -> Vec<(String, Value)> {
    let Value::Array(bodies) = call.json() else {
        panic!("no array: {call:?}");
    };
    let ids = call.header("rowhook-batch").split(',').map(str::to_owned);
    let ids: Vec<String> = ids.collect();
    assert_eq!(ids.len(), bodies.len(), "each has its id");
    ids.into_iter().zip(bodies).collect()
}

fn accepted(calls: &[Call]) -> impl Iterator<Item = &Call> {
    calls.iter().filter(|call| call.status == 200)
}

/// The id of the row and the event of each delivery, in the order of first arrival.
fn arrived(calls: &[Call]) -> Vec<(i64, String)> {
    let mut seen = HashSet::new();
    let mut arrived = Vec::new();
    for (id, body) in accepted(calls).flat_map(members) {
        if seen.insert(id) {
            let row = body["data"]["id"].as_i64().unwrap();
            let event = body["hook"]["event"].as_str().unwrap();
            arrived.push((row, event.to_owned()));
        }
    }
    arrived
}

#[tokio::test]
async fn deliveries_arrive_in_arrays_each_as_it_would_be_alone() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&hook(&receiver, "batch = { max = 10, wait = \"1s\" }"))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 12) n; update book set price = 2 where id = 3")
        .await;
    let calls = receiver.until("all of it", |calls| arrived(calls).len() == 13);
    let calls = calls.await;
    database.until_all_is_confirmed().await;
    assert_eq!(calls.len(), 2, "10 at once, and 3 that waited");
    for call in &calls {
        call.verify();
        assert_eq!(call.header("content-type"), "application/json");
    }
    assert_eq!(members(&calls[0]).len(), 10);
    assert_ne!(calls[0].id(), calls[1].id());
    let (_, first) = &members(&calls[0])[0];
    assert_eq!(
        *first,
        json!({
            "hook": {"id": "batched", "event": "book.added", "target": receiver.url()},
            "data": {"id": 1, "user_id": 7, "shelf_id": 1, "title": "book", "price": 1.0},
        })
    );
    let ids: HashSet<String> = calls.iter().flat_map(members).map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 13);
    let of_row_3 = arrived(&calls).into_iter().filter(|(row, _)| *row == 3);
    let of_row_3: Vec<String> = of_row_3.map(|(_, event)| event).collect();
    assert_eq!(of_row_3, ["book.added", "book.changed"]);
}

#[tokio::test]
async fn events_of_one_row_stand_in_one_array_in_order() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&hook(&receiver, "batch = { max = 4, wait = \"60s\" }"))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    database.sql("update book set price = 2").await;
    // The key of the row changes, and both of its lanes join the batch.
    database.sql("update book set id = 2").await;
    assert!(receiver.calls().is_empty(), "they wait for a fourth");
    database.sql("delete from book").await;
    let calls = receiver.expect(1).await;
    let events: Vec<(i64, String)> = arrived(&calls);
    let expected = [
        (1, "book.added"),
        (1, "book.changed"),
        (2, "book.changed"),
        (2, "book.removed"),
    ];
    assert_eq!(events, expected.map(|(row, event)| (row, event.to_owned())));
}

#[tokio::test]
async fn one_that_nobody_joins_goes_when_it_has_waited() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&hook(&receiver, "batch = { max = 200, wait = \"50ms\" }"))
        .await;
    for number in 1..=3 {
        database
            .sql(&format!(
                "insert into book values ({number}, 7, 1, 'book', 1)"
            ))
            .await;
        let calls = receiver.expect(number).await;
        assert_eq!(members(&calls[number - 1]).len(), 1);
    }
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn a_batch_that_fails_is_parked_whole_and_its_lane_comes_again_in_runs() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| [500, 503, 500, 404, 200][before.min(4)]).await;
    let _rowhook = database
        .rowhook(&hook(
            &receiver,
            "batch = { max = 20, wait = \"100ms\" }\norder = \"hook\"",
        ))
        .await;
    for part in 0..10 {
        database
            .sql(&format!(
                "insert into book select {part} * 10 + n, 7, 1, 'book', 1 from generate_series(1, 10) n"
            ))
            .await;
    }
    let calls = receiver.until("all of it", |calls| arrived(calls).len() == 100);
    let calls = calls.await;
    database.until_all_has_arrived().await;
    let rows: Vec<i64> = arrived(&calls).into_iter().map(|(row, _)| row).collect();
    assert_eq!(rows, (1..=100).collect::<Vec<_>>(), "in commit order");
    let requests = accepted(&calls).count();
    assert!(requests <= 20, "{requests} requests for what was parked");
    // Each repetition of the first request begins with the same delivery.
    let first = |call: &Call| members(call)[0].0.clone();
    assert!(
        calls[..5]
            .iter()
            .all(|call| first(call) == first(&calls[0]))
    );
    calls.iter().for_each(Call::verify);
}

#[tokio::test]
async fn rows_that_failed_together_come_again_together() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let _rowhook = database
        .rowhook(&hook(&receiver, "batch = { max = 50, wait = \"60s\" }"))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 50) n")
        .await;
    let calls = receiver.until("all of it", |calls| arrived(calls).len() == 50);
    let calls = calls.await;
    database.until_all_has_arrived().await;
    // The deliveries may be due some milliseconds apart, and then take more than one request.
    let again = calls.len() - 1;
    assert!(again < 10, "{again} requests for fifty rows");
    if again == 1 {
        assert_eq!(calls[0].id(), calls[1].id());
        assert_eq!(calls[0].body, calls[1].body);
    }
}

#[tokio::test]
async fn a_410_keeps_all_members_and_they_come_when_the_hook_is_enabled() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 410).await;
    let config = database.config(BOOK_EVENTS).replace(
        "[delivery]",
        "[delivery]\nbatch = { max = 5, wait = \"100ms\" }",
    );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 5) n")
        .await;
    let disabled = format!("select not active from rowhook.hook where id = {hook}");
    database.until("the hook is disabled", &disabled).await;
    let parked = "select count(*) = 5 from rowhook.delivery where state = 'parked'";
    database.until("all five are parked", parked).await;
    receiver.answer(|_, _| 200);
    database
        .sql(&format!(
            "update rowhook.hook set active = true where id = {hook}"
        ))
        .await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(arrived(&calls).len(), 5);
}

#[tokio::test]
async fn each_member_has_its_own_attempts_and_after_the_last_it_is_dead() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let _rowhook = database
        .rowhook(&hook(
            &receiver,
            "batch = { max = 3, wait = \"60s\" }\nretries = [\"50ms\"]",
        ))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 3) n")
        .await;
    let dead = "select count(*) = 3 from rowhook.delivery where state = 'dead' and attempts = 2";
    database.until("all three are dead", dead).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 2);
    let written = "select count(*) = 6 from rowhook.attempt";
    database.until("six attempts are written", written).await;
    for (id, body) in members(&calls[0]) {
        let told = database
            .ask(&format!(
                "select string_agg(concat_ws(' ', number, status, request_headers->>'webhook-id', request_headers->>'rowhook-batch'), ', ' order by number)
                 from rowhook.attempt where delivery = '{id}' and request_body = (select body from rowhook.delivery where id = '{id}')"
            ))
            .await;
        let request = calls[0].id();
        assert_eq!(told, format!("1 500 {request} …, 2 500 {request} …"));
        let kept = database
            .ask(&format!(
                "select convert_from(body, 'utf8') from rowhook.delivery where id = '{id}'"
            ))
            .await;
        assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), body);
    }
}

#[tokio::test]
async fn members_that_have_arrived_are_sent_again_each_by_its_id() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = hook(
        &receiver,
        "batch = { max = 3, wait = \"500ms\" }\npayload = \"cloudevents\"",
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 3) n")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(
        calls[0].header("content-type"),
        "application/cloudevents-batch+json"
    );
    let written = "select count(*) = 3 from rowhook.attempt";
    database.until("the attempts are written", written).await;
    let config = database.config(&config);
    let (second, body) = members(&calls[0]).swap_remove(1);
    let ended = rowhook(&config, &["deliveries", "retry", &second]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let calls = receiver.expect(2).await;
    assert_eq!(members(&calls[1]), [(second, body)]);
    assert_eq!(
        calls[1].header("content-type"),
        "application/cloudevents-batch+json"
    );
}

#[tokio::test]
async fn nothing_is_lost_or_out_of_order_when_rowhook_is_killed() {
    let database = Database::bookstore().await;
    // Every third request fails, whichever deliveries it has.
    let receiver = Receiver::answering(|_, before| if before % 3 == 1 { 500 } else { 200 }).await;
    let config = hook(
        &receiver,
        "batch = { max = 7, wait = \"20ms\" }\nconcurrency = 3",
    );
    let mut rowhook = database.rowhook(&config).await;
    let mut changes: HashMap<i64, i64> = HashMap::new();
    for turn in 0..6_i64 {
        database
            .sql(&format!(
                "insert into book select {turn} * 100 + n, 7, 1, '0', 1 from generate_series(1, 30) n;
                 update book set title = (title::int + 1)::text where id % 2 = 0"
            ))
            .await;
        for book in 1..=30 {
            changes.insert(turn * 100 + book, 0);
        }
        for (book, changes) in &mut changes {
            *changes += i64::from(book % 2 == 0);
        }
        let so_far = receiver.calls().len();
        receiver.expect(so_far + 1).await;
        rowhook.kill();
        rowhook = database.rowhook(&config).await;
    }
    let all = changes.len() + changes.values().sum::<i64>() as usize;
    let calls = receiver.until("all of it", |calls| arrived(calls).len() >= all);
    let calls = calls.await;
    database.until_all_has_arrived().await;
    let mut bodies: HashMap<String, Value> = HashMap::new();
    let mut titles: HashMap<i64, Vec<i64>> = HashMap::new();
    for (id, body) in accepted(&calls).flat_map(members) {
        if let Some(before) = bodies.get(&id) {
            assert_eq!(*before, body, "a repetition is the same");
            continue;
        }
        let title = body["data"]["title"].as_str().unwrap().parse().unwrap();
        let book = body["data"]["id"].as_i64().unwrap();
        titles.entry(book).or_default().push(title);
        bodies.insert(id, body);
    }
    for (book, changes) in changes {
        assert_eq!(
            titles[&book],
            (0..=changes).collect::<Vec<_>>(),
            "book {book}"
        );
    }
    assert_eq!(bodies.len(), all);
}
