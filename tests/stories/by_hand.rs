//! What SQL fires by hand on a row: for an owner that it names, and the actions that a table's own changes have. And
//! what a hook is told of the deliveries of others.

use harness::{Database, Receiver, connect};
use serde_json::json;

const EVENTS: &str = r#"[events]
"book.read" = "book.read"
"book.added" = "book.created"
"book.retitled" = { on = "book.updated", changed = ["title"] }
"book.removed" = "book.deleted"
[tables.book]
identity = "full"
"#;

#[tokio::test]
async fn an_action_goes_to_the_owner_that_is_named_and_else_to_that_of_the_row() {
    let database = Database::bookstore().await;
    let (anna, ben) = (Receiver::start().await, Receiver::start().await);
    let _rowhook = database.rowhook(EVENTS).await;
    database.hook(Some("7"), "*", &anna.url()).await;
    database.hook(Some("8"), "*", &ben.url()).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             select rowhook.emit_row('book', 'read', 1, '8');
             select rowhook.emit_row('book', 'read', '1', '8');
             select rowhook.emit_row('book', 'read', 1, null);
             select rowhook.emit_row('book', 'created', 1, '8')",
        )
        .await;
    let calls = ben.expect(3).await;
    let mut heard: Vec<String> = calls.iter().map(|call| call.event()).collect();
    heard.sort();
    assert_eq!(heard, ["book.added", "book.read", "book.read"]);
    assert!(calls.iter().all(|call| call.data()["title"] == "Dune"));
    anna.expect(2).await;
    database.until_all_has_arrived().await;
    assert_eq!((anna.calls().len(), ben.calls().len()), (2, 3));
}

#[tokio::test]
async fn a_standard_action_by_hand_tells_the_row_as_its_change_would_and_says_that_it_is_none() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rules = format!(
        "{EVENTS}[[hooks]]\nname = \"all\"\nevents = [\"*\"]\norder = \"hook\"\npayload = \"standard\"\ntarget = \"{}\"\n",
        receiver.url()
    );
    let _rowhook = database.rowhook(&rules).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             select rowhook.emit_row('book', 'created', 1);
             select rowhook.emit_row('book', 'updated', 1);
             select rowhook.emit_row('book', 'deleted', 1);
             delete from book",
        )
        .await;
    let calls = receiver.expect(5).await;
    let told: Vec<_> = calls
        .iter()
        .map(|call| {
            let body = call.json();
            (body["type"].clone(), body["op"].clone())
        })
        .collect();
    let expected = [
        ("book.added", "insert"),
        ("book.added", "created"),
        ("book.retitled", "updated"),
        ("book.removed", "deleted"),
        ("book.removed", "delete"),
    ];
    assert_eq!(told, expected.map(|(event, op)| (json!(event), json!(op))));
    assert!(
        calls
            .iter()
            .all(|call| call.json()["data"] == calls[0].json()["data"])
    );
    let error = database
        .client
        .batch_execute("select rowhook.emit_row('book', 'deleted', 1)")
        .await
        .unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.message(), "book has no row with the key 1");
    assert_eq!(
        error.hint(),
        Some("Its key is id. Fire deleted while the row is still there.")
    );
}

#[tokio::test]
async fn who_may_not_change_a_row_may_not_say_that_it_has_changed() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rules = format!(
        "{EVENTS}[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    let _rowhook = database.rowhook(&rules).await;
    let (reader, writer) = (
        format!("reader_{}", database.name),
        format!("writer_{}", database.name),
    );
    database
        .sql(&format!(
            "insert into book values (1, 7, 1, 'Dune', 9);
             create role {reader}; create role {writer};
             grant usage on schema rowhook, public to {reader}, {writer};
             grant select on book to {reader}, {writer};
             grant insert, update (title), delete on book to {writer}"
        ))
        .await;
    receiver.expect(1).await;
    for become_reader in ["set session authorization", "set role"] {
        let session = connect(&database.url).await;
        let sql = format!("{become_reader} {reader}");
        session.batch_execute(&sql).await.unwrap();
        for (call, said) in [
            ("emit_row('book', 'created', 1)", "created"),
            ("emit_row('book', 'updated', 1)", "updated"),
            ("emit_row('book', 'deleted', 1, '8')", "deleted"),
            (
                "send_action('book', 'deleted', '1', '(1,7,1,Dune,9)', null)",
                "deleted",
            ),
        ] {
            let sql = format!("select rowhook.{call}");
            let error = session.batch_execute(&sql).await.unwrap_err();
            let expected = format!("{reader} may not say that a row of book was {said}");
            assert_eq!(error.as_db_error().unwrap().message(), expected, "{call}");
        }
        let own = "select rowhook.emit_row('book', 'read', 1, '8')";
        session.batch_execute(own).await.unwrap();
    }
    let session = connect(&database.url).await;
    session
        .batch_execute(&format!(
            "set session authorization {writer};
             select rowhook.emit_row('book', 'created', 1), rowhook.emit_row('book', 'updated', 1), rowhook.emit_row('book', 'deleted', 1)"
        ))
        .await
        .unwrap();
    receiver.expect(6).await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 6);
    database
        .sql(&format!(
            "drop owned by {reader}, {writer}; drop role {reader}, {writer}"
        ))
        .await;
}

#[tokio::test]
async fn a_hook_is_told_of_what_others_of_its_owner_were_delivered_and_never_of_its_own() {
    let database = Database::bookstore().await;
    let [books, told, all, others] = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    let rules = format!("{EVENTS}[history]\ndelivered = true\n");
    let _rowhook = database.rowhook(&rules).await;
    let hook = database.hook(Some("7"), "book.added", &books.url()).await;
    for (owner, event, receiver) in [
        ("7", "rowhook.delivered", &told),
        ("7", "*", &all),
        ("8", "rowhook.delivered", &others),
    ] {
        database.hook(Some(owner), event, &receiver.url()).await;
    }
    for so_many in 1..=2 {
        database
            .sql(&format!(
                "insert into book values ({so_many}, 7, 1, 'Dune', 9)"
            ))
            .await;
        told.expect(2 * so_many).await;
        all.expect(2 * so_many).await;
    }
    database.until_all_has_arrived().await;
    let sent = &books.calls()[0];
    let calls = told.calls();
    assert_eq!(calls.len(), 4);
    let about = calls
        .iter()
        .find(|call| call.data()["delivery"] == sent.header("webhook-id"));
    assert_eq!(
        about.unwrap().data(),
        json!({"hook": hook.parse::<i64>().unwrap(), "target": books.url(), "delivery": sent.header("webhook-id"),
               "event": "book.added", "attempt": 1, "status": 200})
    );
    assert!(
        calls
            .iter()
            .all(|call| call.data()["event"] == "book.added")
    );
    let heard: Vec<String> = all.calls().iter().map(|call| call.event()).collect();
    let of_delivered = heard.iter().filter(|event| *event == "rowhook.delivered");
    assert_eq!((heard.len(), of_delivered.count()), (4, 2));
    assert_eq!(others.calls().len(), 0);
}
