//! What goes wrong when the database is asked for what an event lacks concerns that row, and stops nobody else.

use harness::{Database, Receiver, connect};
use rowhook::demo::cluster::Cluster;
use serde_json::{Value, json};

/// Every event of `book` and `pen`, for a hook of everyone.
fn everything(receiver: &Receiver, tables: &str) -> String {
    format!(
        "[events]\n\"book.added\" = \"book.created\"\n\"book.changed\" = \"book.updated\"\n\"pen.added\" = \"pen.created\"\n{tables}\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\npayload = \"standard\"\ntarget = \"{}\"\n",
        receiver.url()
    )
}

/// Tables of which `book` has a value that the stream leaves out of updates.
const LARGE: &str = "create table book (id int primary key, title text, notes text, user_id int);
    alter table book alter column notes set storage external;
    create table pen (id int primary key)";

/// A row of `book` with notes of 3 kB.
const DUNE: &str = "insert into book values (1, 'Dune', repeat('n', 3000), 7)";

/// The body of the last call for this event.
async fn last(receiver: &Receiver, event: &str, calls: usize) -> Value {
    let calls = receiver.expect(calls).await;
    let of_event = calls.iter().map(|call| call.json());
    of_event
        .filter(|body| body["type"] == event)
        .last()
        .unwrap()
}

#[tokio::test]
async fn a_column_that_was_dropped_since_is_unknown_and_stops_nobody() {
    let database = Database::new().await;
    database.sql(LARGE).await;
    let receiver = Receiver::start().await;
    let config = everything(&receiver, "");
    let rowhook = database.rowhook(&config).await;
    database.sql(DUNE).await;
    receiver.expect(1).await;
    database
        .sql("begin; update book set title = 'Emma'; alter table book drop column notes; commit")
        .await;
    let body = last(&receiver, "book.changed", 2).await;
    assert_eq!(
        body["data"],
        json!({"id": 1, "title": "Emma", "user_id": 7})
    );
    assert_eq!(body["unchanged"], json!(["notes"]));
    database.sql("insert into pen values (1)").await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(rowhook.stop().code(), Some(0));
}

#[tokio::test]
async fn a_column_that_was_dropped_while_nobody_ran_is_unknown_after_the_restart() {
    let database = Database::new().await;
    database.sql(LARGE).await;
    let receiver = Receiver::start().await;
    let config = everything(&receiver, "");
    let rowhook = database.rowhook(&config).await;
    database.sql(DUNE).await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("update book set title = 'Emma'; alter table book drop column notes; insert into pen values (1)")
        .await;
    let _rowhook = database.rowhook(&config).await;
    let body = last(&receiver, "book.changed", 3).await;
    assert_eq!(body["data"]["title"], "Emma");
    assert_eq!(body["unchanged"], json!(["notes"]));
}

#[tokio::test]
async fn a_column_or_table_that_was_renamed_since_is_read_by_its_new_name() {
    let database = Database::new().await;
    database.sql(LARGE).await;
    let receiver = Receiver::start().await;
    let config = everything(&receiver, "");
    let rowhook = database.rowhook(&config).await;
    database.sql(DUNE).await;
    receiver.expect(1).await;
    database
        .sql("begin; update book set title = 'Emma'; alter table book rename column notes to remarks; commit")
        .await;
    let body = last(&receiver, "book.changed", 2).await;
    assert_eq!(body["data"]["notes"], "n".repeat(3000));
    assert_eq!(body["unchanged"], json!([]));
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("update book set title = 'Ada'; alter table book rename column remarks to notes")
        .await;
    let _rowhook = database.rowhook(&config).await;
    let body = last(&receiver, "book.changed", 3).await;
    assert_eq!(body["data"]["title"], "Ada");
    assert_eq!(body["data"]["remarks"], "n".repeat(3000));
}

#[tokio::test]
async fn a_value_that_is_written_anew_by_the_transaction_of_the_row_is_not_told_of_the_row_before()
{
    let database = Database::new().await;
    database.sql(LARGE).await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(&everything(&receiver, "")).await;
    database.sql(DUNE).await;
    receiver.expect(1).await;
    database
        .sql(
            "begin;
             update book set title = 'Emma';
             alter table book alter column notes type text using upper(notes);
             alter table book add column initial text generated always as (left(title, 1)) stored;
             commit",
        )
        .await;
    let body = last(&receiver, "book.changed", 2).await;
    assert_eq!(
        body["data"],
        json!({"id": 1, "title": "Emma", "user_id": 7})
    );
    let mut unknown = body["unchanged"].as_array().unwrap().clone();
    unknown.retain(|column| column != "initial");
    assert_eq!(unknown, ["notes"]);
    database.sql("update book set title = 'Ada'").await;
    let body = last(&receiver, "book.changed", 3).await;
    assert_eq!(body["data"]["notes"], "N".repeat(3000));
    assert_eq!(body["data"]["initial"], "A");
}

#[tokio::test]
async fn a_column_that_took_the_name_of_another_since_is_not_read_in_its_place() {
    for (ddl, unknown) in [
        (
            "alter table book drop column notes; alter table book add column notes text default 'x'",
            json!(["notes"]),
        ),
        (
            "alter table book rename notes to old; alter table book rename more to notes",
            json!(["notes", "more"]),
        ),
        (
            "alter table book alter column notes set not null",
            json!([]),
        ),
        ("alter table book add column pages int", json!([])),
    ] {
        let database = Database::new().await;
        database.sql(LARGE).await;
        database
            .sql("alter table book add column more text; alter table book alter column more set storage external")
            .await;
        let receiver = Receiver::start().await;
        let config = everything(&receiver, "");
        let rowhook = database.rowhook(&config).await;
        database
            .sql("insert into book values (1, 'Dune', repeat('n', 3000), 7, repeat('m', 3000))")
            .await;
        receiver.expect(1).await;
        database.until_all_is_confirmed().await;
        rowhook.kill();
        database
            .sql(&format!("update book set title = 'Emma'; {ddl}"))
            .await;
        let _rowhook = database.rowhook(&config).await;
        let body = last(&receiver, "book.changed", 2).await;
        assert_eq!(body["data"]["title"], "Emma", "{ddl}");
        assert_eq!(body["unchanged"], unknown, "{ddl}");
        if unknown == json!([]) {
            assert_eq!(body["data"]["notes"], "n".repeat(3000), "{ddl}");
        }
    }
}

/// An owner path over a text to an integer key.
const PATH: &str = "create table shelf (id int primary key, user_id int);
    create table book (id int primary key, shelf_ref text);
    create table pen (id int primary key);
    insert into shelf values (1, 7), (2, 8)";
const OWNED: &str = "[tables.book]\nowner = \"shelf_ref -> shelf.user_id\"";

#[tokio::test]
async fn a_key_that_cannot_be_compared_makes_only_its_own_owner_unknown() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, anna, ben) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let config = everything(&all, OWNED);
    let mut rowhook = database.rowhook(&config).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    database.hook(Some("8"), "book.added", &ben.url()).await;
    database
        .sql("insert into book values (1, '1'), (2, 'n/a'), (3, '2'), (4, '1'), (5, '99999999999999')")
        .await;
    let calls = all.expect(5).await;
    let mut owners: Vec<(i64, Value)> = calls
        .iter()
        .map(|call| {
            (
                call.data()["id"].as_i64().unwrap(),
                call.json()["owner"].clone(),
            )
        })
        .collect();
    owners.sort_by_key(|(id, _)| *id);
    assert_eq!(
        owners,
        [
            (1, json!("7")),
            (2, Value::Null),
            (3, json!("8")),
            (4, json!("7")),
            (5, Value::Null)
        ]
    );
    rowhook
        .until_log("whose row it is cannot be found out")
        .await;
    assert_eq!(rowhook.log().matches("whose row it is").count(), 1);
    anna.expect(2).await;
    ben.expect(1).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("insert into book values (6, 'n/a'), (7, '2')")
        .await;
    let _rowhook = database.rowhook(&config).await;
    all.expect(7).await;
    ben.expect(2).await;
    assert_eq!(anna.calls().len(), 2);
}

#[tokio::test]
async fn check_names_an_owner_path_whose_types_differ() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let receiver = Receiver::start().await;
    let config = database.config(&everything(&receiver, OWNED));
    let ended = harness::rowhook(&config, &["check"]);
    assert!(
        ended.out.contains(
            "shelf_ref of book is text, and the key of shelf that it refers to is integer"
        ),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn rows_wait_for_a_locked_table_in_order_while_those_of_others_go_on() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let mut rowhook = database.rowhook(&everything(&all, OWNED)).await;
    database.hook(Some("7"), "book.*", &anna.url()).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; alter table shelf add column place text")
        .await
        .unwrap();
    database
        .sql("insert into book values (1, '1'); insert into pen values (1)")
        .await;
    let calls = all.expect(1).await;
    assert_eq!(calls[0].json()["type"], "pen.added");
    rowhook
        .until_log("cannot answer for rows of this table now")
        .await;
    database
        .sql("update book set shelf_ref = '2'; update book set shelf_ref = '1'; insert into pen values (2)")
        .await;
    all.expect(2).await;
    assert_eq!(anna.calls().len(), 0);
    locker.batch_execute("commit").await.unwrap();
    all.expect(5).await;
    let told: Vec<Value> = anna
        .expect(2)
        .await
        .iter()
        .map(|call| call.data())
        .collect();
    assert_eq!(
        told,
        [
            json!({"id": 1, "shelf_ref": "1"}),
            json!({"id": 1, "shelf_ref": "1"})
        ]
    );
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn a_row_that_waited_is_heard_by_the_hooks_of_its_own_moment() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, before, after) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let mut rowhook = database.rowhook(&everything(&all, OWNED)).await;
    let narrowed = database.hook(Some("7"), "book.added", &before.url()).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; lock table shelf")
        .await
        .unwrap();
    database.sql("insert into book values (1, '1')").await;
    rowhook
        .until_log("cannot answer for rows of this table now")
        .await;
    database
        .sql(&format!(
            "update rowhook.hook set event = 'pen.added' where id = {narrowed}"
        ))
        .await;
    database.hook(Some("7"), "book.added", &after.url()).await;
    database.sql("insert into pen values (1)").await;
    all.expect(1).await;
    locker.batch_execute("commit").await.unwrap();
    before.expect(1).await;
    all.expect(2).await;
    database.sql("insert into book values (2, '1')").await;
    let calls = after.expect(1).await;
    assert_eq!(calls[0].data()["id"], 2);
    assert_eq!(before.calls().len(), 1);
}

#[tokio::test]
async fn a_row_that_waits_is_read_again_after_a_restart() {
    let database = Database::new().await;
    database.sql(PATH).await;
    database
        .sql(&format!(
            "alter database {} set lock_timeout = '500ms'",
            database.name
        ))
        .await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let config = everything(&all, OWNED);
    let mut rowhook = database.rowhook(&config).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; lock table shelf")
        .await
        .unwrap();
    database
        .sql("insert into book values (1, '1'); insert into pen values (1)")
        .await;
    all.expect(1).await;
    rowhook
        .until_log("cannot answer for rows of this table now")
        .await;
    rowhook.kill();
    let mut rowhook = database.rowhook(&config).await;
    rowhook
        .until_log("cannot answer for rows of this table now")
        .await;
    all.expect(2).await;
    locker.batch_execute("commit").await.unwrap();
    let calls = anna.expect(1).await;
    assert_eq!(calls[0].data(), json!({"id": 1, "shelf_ref": "1"}));
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn an_owner_path_whose_column_is_renamed_finds_nobody_until_the_name_is_back() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let mut rowhook = database.rowhook(&everything(&all, OWNED)).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    database
        .sql("alter table shelf rename column user_id to holder")
        .await;
    database
        .sql("insert into book values (1, '1'); insert into pen values (1)")
        .await;
    let body = last(&all, "book.added", 2).await;
    assert_eq!(body["owner"], Value::Null);
    rowhook.until_log("are called now").await;
    database
        .sql("alter table shelf rename column holder to user_id")
        .await;
    database.sql("insert into book values (2, '1')").await;
    let calls = anna.expect(1).await;
    assert_eq!(calls[0].data()["id"], 2);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_unknown_and_the_rest_of_its_row_is_delivered() {
    let cluster = Cluster::start(&[]).unwrap();
    let admin = connect(&cluster.url("postgres")).await;
    admin
        .batch_execute("create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'")
        .await
        .unwrap();
    let database = Database {
        name: "ascii".into(),
        url: cluster.url("ascii"),
        client: connect(&cluster.url("ascii")).await,
    };
    database.sql(LARGE).await;
    let receiver = Receiver::start().await;
    let config = everything(&receiver, "");
    let rowhook = database.rowhook(&config).await;
    // An e with an accent in LATIN1, and then a large value that a re-read cannot decode.
    database
        .sql(
            "insert into book values (1, 'Emil' || convert_from('\\xe9', 'SQL_ASCII'), 'ok', 7);
             insert into book values (2, 'Dune', repeat(convert_from('\\xe9', 'SQL_ASCII'), 3000), 7);
             insert into pen values (1)",
        )
        .await;
    let calls = receiver.expect(3).await;
    let of = |id: i64, key: &str| {
        let bodies = calls.iter().map(|call| call.json());
        let mut of_book = bodies.filter(|body| body["table"] == "public.book");
        of_book.find(|body| body["data"]["id"] == id).unwrap()[key].clone()
    };
    assert_eq!(of(1, "data"), json!({"id": 1, "notes": "ok", "user_id": 7}));
    assert_eq!(of(1, "unchanged"), json!(["title"]));
    assert_eq!(
        of(2, "data"),
        json!({"id": 2, "title": "Dune", "user_id": 7})
    );
    assert_eq!(of(2, "unchanged"), json!(["notes"]));
    database
        .sql("update book set title = 'Emma' where id = 2")
        .await;
    let body = last(&receiver, "book.changed", 4).await;
    assert_eq!(
        body["data"],
        json!({"id": 2, "title": "Emma", "user_id": 7})
    );
    assert_eq!(body["unchanged"], json!(["notes"]));
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("update book set user_id = 8 where id = 1")
        .await;
    let _rowhook = database.rowhook(&config).await;
    let body = last(&receiver, "book.changed", 5).await;
    assert_eq!(body["data"], json!({"id": 1, "notes": "ok", "user_id": 8}));
    assert_eq!(body["unchanged"], json!(["title"]));
}

#[tokio::test]
async fn a_hook_whose_row_cannot_be_read_stops_no_other() {
    let database = Database::new().await;
    database
        .sql(
            "create table book (id int primary key, user_id int);
             create table subscription (id int primary key, owner int, event text, target text, made timestamptz)",
        )
        .await;
    let receiver = Receiver::start().await;
    // No number of microseconds since 1970 is as late as this.
    database
        .sql(&format!(
            "insert into subscription values (1, 7, 'book.added', '{0}', '294276-12-31'), (2, 7, 'book.added', '{0}', now())",
            receiver.url()
        ))
        .await;
    let config = "[events]\n\"book.added\" = \"book.created\"\n[hook_table]\ntable = \"subscription\"\nid = \"id\"\nowner = \"owner\"\nevent = \"event\"\ntarget = \"target\"\ncreated = \"made\"\n";
    let mut rowhook = database.rowhook(config).await;
    rowhook.until_log("its row cannot be read").await;
    database.sql("insert into book values (1, 7)").await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].json()["hook"]["id"], 2);
}

#[tokio::test]
async fn an_action_on_a_row_whose_table_has_lost_a_column_is_still_heard() {
    let database = Database::new().await;
    database
        .sql("create table book (id int primary key, title text, pages int)")
        .await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"book.read\" = \"book.read\"\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\npayload = \"standard\"\ntarget = \"{}\"\n",
        receiver.url()
    );
    let rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 'Dune', 412)")
        .await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("select rowhook.emit_row('book', 'read', 1); alter table book drop column title; alter table book add column price int default 9")
        .await;
    let _rowhook = database.rowhook(&config).await;
    let body = last(&receiver, "book.read", 1).await;
    assert_eq!(body["data"], json!({"id": 1, "pages": 412}));
    assert_eq!(body["unchanged"], json!(["price", "title"]));
    database
        .sql("select rowhook.emit_row('book', 'read', 1)")
        .await;
    let body = last(&receiver, "book.read", 2).await;
    assert_eq!(body["data"], json!({"id": 1, "pages": 412, "price": 9}));
    assert_eq!(body["unchanged"], json!([]));
}

#[tokio::test]
async fn a_row_of_a_backfill_whose_table_has_lost_a_column_still_arrives() {
    let database = Database::new().await;
    database.sql("create table book (id int primary key, title text, pages int); insert into book values (1, 'Dune', 412)").await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"book.added\" = \"book.created\"\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    let rowhook = database.rowhook(&config).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    let message = r#"{"schema": "public", "table": "book", "event": "book.added", "hook": "all", "columns": ["id", "title", "pages"], "row": "(1,Dune,412)"}"#;
    database
        .sql(&format!(
            "select rowhook.send_message('rowhook.backfill', convert_to('{message}', 'UTF8')); alter table book drop column title"
        ))
        .await;
    let _rowhook = database.rowhook(&config).await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].data(), json!({"id": 1, "pages": 412}));
}

#[tokio::test]
async fn enrichment_waits_for_a_locked_table_and_gives_up_after_a_while() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let all = Receiver::start().await;
    let tables = "[tables.book]\nenrich = { shelf = \"select user_id from shelf where id = $id\" }";
    let mut rowhook = database.rowhook(&everything(&all, tables)).await;
    let locker = connect(&database.url).await;
    let lock = "begin; lock table shelf";
    locker.batch_execute(lock).await.unwrap();
    database
        .sql("insert into book values (1); insert into pen values (1)")
        .await;
    let calls = all.expect(1).await;
    assert_eq!(calls[0].json()["type"], "pen.added");
    locker.batch_execute("commit").await.unwrap();
    let body = last(&all, "book.added", 2).await;
    assert_eq!(body["data"]["shelf"], json!({"user_id": 7}));
    locker.batch_execute(lock).await.unwrap();
    database.sql("insert into book values (2)").await;
    let body = last(&all, "book.added", 3).await;
    assert_eq!(body["data"]["id"], 2);
    assert_eq!(body["unchanged"], json!(["shelf"]));
    rowhook
        .until_log("the database gave no answer for a row in 30s")
        .await;
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn an_owner_behind_a_lock_that_stays_is_unknown_after_a_while() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let mut rowhook = database.rowhook(&everything(&all, OWNED)).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; lock table shelf")
        .await
        .unwrap();
    database
        .sql("insert into book values (1, '1'), (2, '1')")
        .await;
    let calls = all.expect(2).await;
    assert_eq!(calls[1].json()["owner"], Value::Null);
    rowhook.until_log("find out what locks the tables").await;
    locker.batch_execute("commit").await.unwrap();
    database.sql("insert into book values (3, '1')").await;
    let calls = anna.expect(1).await;
    assert_eq!(calls[0].data()["id"], 3);
}

#[tokio::test]
async fn where_a_hook_wants_all_its_events_in_order_everybody_waits() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let all = Receiver::start().await;
    let config = everything(&all, OWNED).replace("payload = ", "order = \"hook\"\npayload = ");
    let mut rowhook = database.rowhook(&config).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; lock table shelf")
        .await
        .unwrap();
    database
        .sql("begin; insert into book values (1, '1'); insert into pen values (1); insert into book values (2, 'n/a'), (3, '2'); commit")
        .await;
    rowhook
        .until_log("cannot answer for rows of this table now")
        .await;
    assert_eq!(all.calls().len(), 0);
    locker.batch_execute("commit").await.unwrap();
    let told: Vec<(Value, Value)> = all
        .expect(4)
        .await
        .iter()
        .map(|call| (call.json()["type"].clone(), call.json()["owner"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("book.added"), json!("7")),
            (json!("pen.added"), Value::Null),
            (json!("book.added"), Value::Null),
            (json!("book.added"), json!("8")),
        ]
    );
}

#[tokio::test]
async fn a_hook_that_changes_into_one_that_cannot_be_read_stops_alone() {
    let database = Database::new().await;
    database
        .sql(
            "create table book (id int primary key, user_id int);
             create table subscription (id int primary key, owner int, event text, target text, made timestamptz default now(), head text);
             alter table subscription alter column head set storage external",
        )
        .await;
    let (bad, good) = (Receiver::start().await, Receiver::start().await);
    let head = "'{\"x-filler\": \"' || repeat('n', 3000) || '\"}'";
    database
        .sql(&format!(
            "insert into subscription values (1, 7, 'book.added', '{}', now(), {head}), (2, 7, 'book.added', '{}', now(), {head})",
            bad.url(),
            good.url()
        ))
        .await;
    let config = "[events]\n\"book.added\" = \"book.created\"\n[hook_table]\ntable = \"subscription\"\nid = \"id\"\nowner = \"owner\"\nevent = \"event\"\ntarget = \"target\"\ncreated = \"made\"\nheaders = \"head\"\n";
    let mut rowhook = database.rowhook(config).await;
    database
        .sql("update subscription set made = '294276-12-31' where id = 1; insert into book values (1, 7)")
        .await;
    rowhook.until_log("its row cannot be read").await;
    good.expect(1).await;
    assert_eq!(bad.calls().len(), 0);
    database
        .sql("update subscription set made = now() where id = 1; insert into book values (2, 7)")
        .await;
    good.expect(2).await;
    let calls = bad.expect(1).await;
    assert_eq!(calls[0].data()["id"], 2);
}

#[tokio::test]
async fn a_locked_table_of_visible_holds_back_its_own_rows_and_no_others() {
    let database = Database::new().await;
    database.sql(PATH).await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let tables = "[tables.book]\nowner = \"shelf_ref\"\nvisible = \"select true from shelf where user_id::text = $owner\"";
    let _rowhook = database.rowhook(&everything(&all, tables)).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    let locker = connect(&database.url).await;
    locker
        .batch_execute("begin; lock table shelf")
        .await
        .unwrap();
    for id in 1..=20 {
        database
            .sql(&format!(
                "insert into book values ({id}, '7'); insert into pen values ({id})"
            ))
            .await;
    }
    all.expect(40).await;
    assert_eq!(anna.calls().len(), 0);
    locker.batch_execute("commit").await.unwrap();
    anna.expect(20).await;
    database.until_all_has_arrived().await;
}
