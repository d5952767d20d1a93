//! Rows become events, and events reach the right owners.

use harness::{BOOK_EVENTS, BOOKSTORE, Call, Database, Receiver};
use serde_json::{Value, json};

/// The event and the `id` of the row of each call, in the order of arrival.
fn told(calls: &[Call]) -> Vec<(String, Value)> {
    calls
        .iter()
        .map(|call| (call.event(), call.data()["id"].clone()))
        .collect()
}

#[tokio::test]
async fn insert_update_and_delete_reach_exactly_the_owner() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let (anna, ben) = (Receiver::start().await, Receiver::start().await);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.*", &anna.url()).await;
    database.hook(Some("8"), "book.*", &ben.url()).await;

    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9.50), (2, 8, 2, 'Emma', 7)")
        .await;
    database.sql("update book set price = 8 where id = 1").await;
    database.sql("delete from book where id = 1").await;
    database.sql("delete from book where id = 2").await;

    let calls = anna.expect(3).await;
    assert_eq!(
        told(&calls),
        [
            ("book.added".into(), json!(1)),
            ("book.changed".into(), json!(1)),
            ("book.removed".into(), json!(1))
        ]
    );
    assert_eq!(
        calls[1].data(),
        json!({"id": 1, "user_id": 7, "shelf_id": 1, "title": "Dune", "price": 8.0})
    );
    assert_eq!(calls[1].json()["hook"]["target"], anna.url());
    assert_eq!(calls[2].data()["title"], "Dune");
    calls.iter().for_each(Call::verify);
    assert_eq!(
        told(&ben.expect(2).await),
        [
            ("book.added".into(), json!(2)),
            ("book.removed".into(), json!(2))
        ]
    );
    database.until_all_is_confirmed().await;
    assert_eq!((anna.calls().len(), ben.calls().len()), (3, 2));
}

#[tokio::test]
async fn a_plus_reaches_the_hooks_of_all_owners() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook("[events]\n\"book.added\" = \"book.created+\"")
        .await;
    let mut hooks = Vec::new();
    for owner in [Some("7"), Some("8"), None] {
        hooks.push(database.hook(owner, "book.added", &receiver.url()).await);
    }
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(3).await;
    let mut told: Vec<String> = calls
        .iter()
        .map(|call| call.json()["hook"]["id"].to_string())
        .collect();
    told.sort();
    assert_eq!(told, hooks);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_sends_nothing() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("begin; insert into book values (1, 7, 1, 'never', 9); rollback")
        .await;
    database.sql("begin; insert into book values (2, 7, 1, 'kept', 9); savepoint s; insert into book values (3, 7, 1, 'undone', 9); rollback to s; commit").await;
    database
        .sql("insert into book values (4, 7, 1, 'last', 9)")
        .await;
    let calls = receiver.expect(2).await;
    database.until_all_is_confirmed().await;
    let mut ids: Vec<Value> = receiver
        .calls()
        .iter()
        .map(|call| call.data()["id"].clone())
        .collect();
    ids.sort_by_key(Value::as_i64);
    assert_eq!((calls.len(), ids), (2, vec![json!(2), json!(4)]));
}

#[tokio::test]
async fn an_altered_table_is_followed_from_one_row_to_the_next() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql(
            "begin;
             insert into book values (1, 7, 1, 'Dune', 9);
             alter table book add column pages integer default 412;
             alter table book drop column price;
             alter table book rename column title to name;
             insert into book (id, user_id, name, pages) values (2, 7, 'Emma', 300);
             commit",
        )
        .await;
    let calls = receiver.expect(2).await;
    let row = |id: i64| {
        calls
            .iter()
            .map(Call::data)
            .find(|data| data["id"] == id)
            .unwrap()
    };
    assert_eq!(
        row(1),
        json!({"id": 1, "user_id": 7, "shelf_id": 1, "title": "Dune", "price": 9.0})
    );
    assert_eq!(
        row(2),
        json!({"id": 2, "user_id": 7, "shelf_id": null, "name": "Emma", "pages": 300})
    );
}

#[tokio::test]
async fn a_changed_primary_key_is_one_update_and_keeps_the_order_of_both_keys() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql(
            "begin;
             insert into book values (1, 7, 1, 'a', 9);
             update book set id = 2, title = 'b' where id = 1;
             insert into book values (1, 7, 1, 'c', 9);
             update book set title = 'd' where id = 2;
             commit",
        )
        .await;
    let calls = receiver.expect(4).await;
    let titles: Vec<Value> = calls
        .iter()
        .map(|call| call.data()["title"].clone())
        .collect();
    let at = |title: &str| titles.iter().position(|other| other == title).unwrap();
    assert!(
        at("a") < at("b") && at("b") < at("c") && at("b") < at("d"),
        "{titles:?}"
    );
}

#[tokio::test]
async fn composite_keys_tell_rows_apart() {
    let database = Database::new().await;
    database.sql("create table seat (hall text, place text, user_id int, taken int, primary key (hall, place))").await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(
            "[events]\n\"seat.changed\" = \"seat.updated\"\n\"seat.removed\" = \"seat.deleted\"",
        )
        .await;
    database.hook(None, "seat.*", &receiver.url()).await;
    database
        .sql("insert into seat values ('a', 'bc', 7, 0), ('ab', 'c', 7, 0)")
        .await;
    for taken in 1..=5 {
        database
            .sql(&format!("update seat set taken = {taken}"))
            .await;
    }
    database.sql("delete from seat").await;
    let calls = receiver.expect(12).await;
    for hall in ["a", "ab"] {
        let row: Vec<Value> = calls
            .iter()
            .map(Call::data)
            .filter(|data| data["hall"] == hall)
            .collect();
        let taken: Vec<Value> = row.iter().map(|data| data["taken"].clone()).collect();
        assert_eq!(
            taken,
            [
                json!(1),
                json!(2),
                json!(3),
                json!(4),
                json!(5),
                Value::Null
            ]
        );
        let place = if hall == "a" { "bc" } else { "c" };
        assert_eq!(
            row[5],
            json!({"hall": hall, "place": place}),
            "only the key is known of a row that is gone"
        );
    }
}

#[tokio::test]
async fn a_partitioned_table_speaks_as_one() {
    let database = Database::new().await;
    database
        .sql(
            "create table visit (id int, day date, user_id int, primary key (id, day)) partition by range (day);
             create table visit_old partition of visit for values from ('2020-01-01') to ('2025-01-01');
             create table visit_new partition of visit for values from ('2025-01-01') to ('2030-01-01')",
        )
        .await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(
            "[events]\n\"visit.made\" = \"visit.created\"\n\"visit.changed\" = \"visit.updated\"",
        )
        .await;
    database.hook(None, "visit.*", &receiver.url()).await;
    database
        .sql("insert into visit values (1, '2024-05-01', 7), (2, '2026-05-01', 7)")
        .await;
    database
        .sql("update visit set user_id = 8 where id = 2")
        .await;
    let calls = receiver.expect(3).await;
    let mut told = told(&calls);
    told.sort_by_key(|(event, id)| (event.clone(), id.to_string()));
    assert_eq!(
        told,
        [
            ("visit.changed".into(), json!(2)),
            ("visit.made".into(), json!(1)),
            ("visit.made".into(), json!(2))
        ]
    );
}

#[tokio::test]
async fn each_replica_identity_tells_what_it_knows() {
    let database = Database::new().await;
    database
        .sql(
            "create table of_default (id int primary key, code text not null, user_id int);
             create table of_index (id int primary key, code text not null unique, user_id int);
             create table of_full (id int primary key, code text not null, user_id int);
             create table of_nothing (id int, code text not null, user_id int);
             alter table of_index replica identity using index of_index_code_key;
             alter table of_full replica identity full;
             alter table of_nothing replica identity nothing",
        )
        .await;
    let receiver = Receiver::start().await;
    let mut events = String::from("[events]\n");
    for table in ["of_default", "of_index", "of_full", "of_nothing"] {
        for action in ["created", "updated", "deleted"] {
            events += &format!("\"{table}.{action}\" = \"{table}.{action}\"\n");
        }
    }
    let _rowhook = database.rowhook(&format!("{events}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n", receiver.url())).await;
    for table in ["of_default", "of_index", "of_full", "of_nothing"] {
        // The application's own writes work with every replica identity.
        database.sql(&format!("insert into {table} values (1, 'x', 7); update {table} set user_id = 8; delete from {table}")).await;
    }
    let calls = receiver.expect(10).await;
    database.until_all_is_confirmed().await;
    assert_eq!(receiver.calls().len(), 10);
    let body = |event: &str| {
        calls
            .iter()
            .map(Call::json)
            .find(|body| body["type"] == event)
    };
    let full = body("of_full.updated").unwrap();
    assert_eq!(
        (&full["old"]["user_id"], &full["changed"]),
        (&json!(7), &json!(["user_id"]))
    );
    assert_eq!(
        body("of_full.deleted").unwrap()["data"],
        json!({"id": 1, "code": "x", "user_id": 8})
    );
    let default = body("of_default.updated").unwrap();
    assert_eq!(
        (&default["old"], &default["changed"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        body("of_default.deleted").unwrap()["data"],
        json!({"id": 1})
    );
    assert_eq!(
        body("of_index.deleted").unwrap()["data"],
        json!({"code": "x"})
    );
    assert!(body("of_nothing.created").is_some() && body("of_nothing.updated").is_none());
}

#[tokio::test]
async fn an_event_can_ask_which_columns_changed_and_how() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(
            r#"[events]
            "book.discounted" = { on = "book.updated+", changed = ["price"], when = "new.price < old.price" }
            "book.retitled" = { on = "book.updated+", changed = ["title"] }"#,
        )
        .await;
    database.hook(None, "*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 7)")
        .await;
    database.sql("update book set price = 10").await;
    database.sql("update book set shelf_id = 2").await;
    database
        .sql("update book set title = 'Emma!' where id = 2")
        .await;
    database
        .sql("update book set price = 8.50 where id = 1")
        .await;
    let calls = receiver.expect(2).await;
    database.until_all_is_confirmed().await;
    let mut told = told(&receiver.calls());
    told.sort_by_key(|(event, _)| event.clone());
    assert_eq!(
        told,
        [
            ("book.discounted".into(), json!(1)),
            ("book.retitled".into(), json!(2))
        ]
    );
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn an_owner_is_found_over_foreign_keys() {
    for parent_is_published in [false, true] {
        let database = Database::bookstore().await;
        let receiver = Receiver::start().await;
        let shelf_event = if parent_is_published {
            "\"shelf.changed\" = \"shelf.updated\""
        } else {
            ""
        };
        let _rowhook = database
            .rowhook(&format!(
                "[events]\n\"book.added\" = \"book.created\"\n{shelf_event}\n[tables.book]\nowner = \"shelf_id -> shelf.user_id\"",
            ))
            .await;
        let url = receiver.url();
        database
            .hook(Some("7"), "book.added", &format!("{url}/7"))
            .await;
        database
            .hook(Some("8"), "book.added", &format!("{url}/8"))
            .await;
        database
            .hook(Some("9"), "book.added", &format!("{url}/9"))
            .await;
        database.sql("insert into book select n, null, 1 + n % 2, 'book ' || n, 1 from generate_series(1, 100) n").await;
        receiver.expect(100).await;
        // The shelf gets another owner, and so do the books that are added from now on.
        database
            .sql("update shelf set user_id = 9 where id = 1")
            .await;
        database
            .sql("insert into book values (200, 7, 1, 'late', 1), (201, 7, null, 'on no shelf', 1)")
            .await;
        let calls = receiver.expect(101).await;
        database.until_all_is_confirmed().await;
        assert_eq!(receiver.calls().len(), 101);
        for call in &calls {
            let (id, shelf) = (
                call.data()["id"].as_i64().unwrap(),
                call.data()["shelf_id"].as_i64().unwrap(),
            );
            let owner = if id == 200 { 9 } else { 6 + shelf };
            assert_eq!(call.path, format!("/hook/{owner}"), "{call:?}");
        }
    }
}

#[tokio::test]
async fn a_large_value_that_an_update_did_not_touch_is_told_all_the_same() {
    let database = Database::new().await;
    database
        .sql(
            "create table page (id int primary key, body text, views int, size int generated always as (length(body)) stored);
             alter table page alter column body set storage external;",
        )
        .await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"page.added\" = \"page.created\"\n\"page.changed\" = \"page.updated\"\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    );
    let rowhook = database.rowhook(&config).await;
    database
        .sql("insert into page values (1, repeat('x', 100000), 0)")
        .await;
    receiver.expect(1).await;
    database.sql("update page set views = 1").await;
    let calls = receiver.expect(2).await;
    let data = |call: &Call| call.json()["data"].clone();
    for (call, views) in calls.iter().zip(0..) {
        assert_eq!(data(call)["body"].as_str().map(str::len), Some(100_000));
        assert_eq!(
            (&data(call)["views"], &data(call)["size"]),
            (&json!(views), &json!(100_000))
        );
        assert_eq!(call.json()["unchanged"], json!([]));
    }
    database.until_all_has_arrived().await;
    rowhook.stop();

    // Two updates while nobody reads. The value after the first one cannot be read any more.
    database.sql("update page set views = 2").await;
    database
        .sql("update page set views = 3, body = 'short'")
        .await;
    let _rowhook = database.rowhook(&config).await;
    let calls = receiver.expect(4).await;
    // From Postgres 18 on, the stream has generated columns.
    let (unchanged, row) = match database.version().await {
        ..18 => (json!(["body", "size"]), json!({"id": 1, "views": 2})),
        _ => (
            json!(["body"]),
            json!({"id": 1, "views": 2, "size": 100_000}),
        ),
    };
    assert_eq!(calls[2].json()["unchanged"], unchanged);
    assert_eq!(data(&calls[2]), row);
    assert_eq!(
        data(&calls[3]),
        json!({"id": 1, "views": 3, "body": "short", "size": 5})
    );
}

#[tokio::test]
async fn columns_that_are_left_out_are_in_no_body() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[tables.book]\nexclude = [\"price\"]\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1234.5)")
        .await;
    database
        .sql("update book set price = 4321.5, title = 'Dune!'")
        .await;
    database.sql("delete from book").await;
    let calls = receiver.expect(3).await;
    for call in &calls {
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        assert!(
            !body.contains("price") && !body.contains("1234") && !body.contains("4321"),
            "{body}"
        );
    }
    assert_eq!(calls[1].json()["changed"], json!(["title"]));
}

#[tokio::test]
async fn a_hundred_thousand_rows_of_one_transaction_all_arrive() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 100000) n")
        .await;
    let calls = receiver.expect(100_000).await;
    database.until_all_is_confirmed().await;
    let rows: std::collections::HashSet<i64> = calls
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    let ids: std::collections::HashSet<&str> = calls.iter().map(Call::id).collect();
    assert_eq!(
        (rows.len(), ids.len(), receiver.calls().len()),
        (100_000, 100_000, 100_000)
    );
}

#[tokio::test]
async fn a_row_of_ten_megabytes_arrives_whole_and_one_above_the_limit_as_its_key() {
    let database = Database::new().await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, repeat('ä', 5 * 1024 * 1024), 1)")
        .await;
    database
        .sql("insert into book values (2, 7, 1, repeat('x', 21 * 1024 * 1024), 1)")
        .await;
    let calls = receiver.expect(2).await;
    let call = |id: i64| calls.iter().find(|call| call.data()["id"] == id).unwrap();
    assert_eq!(
        call(1).data()["title"].as_str().map(str::len),
        Some(10 * 1024 * 1024)
    );
    assert_eq!(call(2).data(), json!({"id": 2}));
    assert_eq!(
        call(2).json()["left_out"],
        json!(["user_id", "shelf_id", "title", "price"])
    );
    calls.iter().for_each(Call::verify);
}
