//! TRUNCATE empties a table without naming a row. Hooks and events follow it at its place in the stream.

use harness::{BOOK_EVENTS, Database, Receiver, ids};
use serde_json::{Value, json};

fn titled(id: i32) -> String {
    format!("insert into book values ({id}, 7, 1, 'book', 1)")
}

#[tokio::test]
async fn hooks_that_are_truncated_stop_exactly_there_and_may_come_again_with_the_same_ids() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &format!("{url}/first"))
        .await;
    let off = database.hook(Some("7"), "book.added", &url).await;
    let hook = |path: &str| {
        format!(
            "insert into rowhook.hook (owner, event, target) values ('7', 'book.added', '{url}/{path}')"
        )
    };
    let insert = |id| titled(id);
    database
        .sql(&format!(
            "update rowhook.hook set active = false where id = {off};
             {}; truncate rowhook.hook restart identity; {}",
            insert(1),
            insert(2)
        ))
        .await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    // The new hooks have the ids of the old ones, of which one was switched off.
    database
        .sql(&format!("{}; {}", hook("second"), hook("third")))
        .await;
    database.sql(&insert(3)).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    let calls = receiver.calls();
    assert_eq!(ids(&calls), [json!(1), json!(3), json!(3)]);
    let mut paths: Vec<&str> = calls.iter().map(|call| &*call.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/hook/first", "/hook/second", "/hook/third"]);
}

#[tokio::test]
async fn hooks_of_the_applications_table_and_of_owners_are_gone_with_their_tables() {
    let database = Database::bookstore().await;
    database
        .sql("create table reader (id bigint primary key); insert into reader values (7)")
        .await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    database
        .sql(
            "create table webhook (id serial primary key, user_id int, event text, target text, is_active bool not null default true)",
        )
        .await;
    let insert = |owner: &str| {
        format!(
            "insert into webhook (user_id, event, target) values ({owner}, 'book.added', '{url}/{owner}')"
        )
    };
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[hook_table]\ntable = \"webhook\"\nactive = \"is_active\"\nowner_exists = \"reader.id\"\n"
        ))
        .await;
    database
        .sql(&format!("{}; {}", insert("7"), insert("null")))
        .await;
    database
        .sql(&format!(
            "{}; truncate reader; insert into reader values (7); {}",
            titled(1),
            titled(2)
        ))
        .await;
    receiver.expect(3).await;
    let disabled = "select not is_active from webhook where user_id = 7";
    database.until("the owned hook is disabled", disabled).await;
    database
        .sql(&format!("truncate webhook; {}", titled(3)))
        .await;
    database.until_all_is_confirmed().await;
    let mut heard: Vec<String> = receiver
        .calls()
        .iter()
        .map(|call| format!("{} {}", call.path, call.data()["id"]))
        .collect();
    heard.sort();
    assert_eq!(heard, ["/hook/7 1", "/hook/null 1", "/hook/null 2"]);
}

#[tokio::test]
async fn an_event_tells_of_the_table_and_of_no_row() {
    let database = Database::bookstore().await;
    database.sql("create table note (text text)").await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let hooks: String = ["standard", "rest-hooks", "row", "cloudevents", "netbox", "django"]
        .iter()
        .map(|payload| {
            format!(
                "[[hooks]]\nname = \"{payload}\"\nevents = [\"books.cleared\"]\ntarget = \"{url}/{payload}\"\npayload = \"{payload}\"\n"
            )
        })
        .collect();
    let mut rowhook = database
        .rowhook(&format!(
            "[events]\n\"books.cleared\" = \"book.truncated\"\n\"note.added\" = \"note.created\"\n\"notes.cleared\" = \"note.truncated+\"\n\"shelf.added\" = \"shelf.created\"\n\n[tables.book]\npayload = '''{{{{ new.title }}}}'''\n\n{hooks}"
        ))
        .await;
    for event in ["books.cleared", "notes.cleared"] {
        let owned = format!("{url}/{event}");
        database.hook(Some("7"), event, &owned).await;
    }
    database
        .sql("insert into note values ('a'); truncate book, shelf, note; truncate shelf cascade")
        .await;
    // The second TRUNCATE is one of book too, which refers to shelf.
    let calls = receiver.expect(13).await;
    database.until_all_has_arrived().await;
    rowhook.until_log("no event asks for that").await;
    let log = rowhook.log();
    assert_eq!(log.matches("no event asks for that").count(), 1, "{log}");
    assert!(
        log.contains("public.shelf") || log.contains("table=shelf"),
        "{log}"
    );
    let first = |path: &str| {
        let mut of_path = calls
            .iter()
            .filter(|call| call.path == format!("/hook/{path}"));
        let found = of_path.next();
        found.unwrap_or_else(|| panic!("{path}")).json()
    };
    assert_eq!(receiver.calls().len(), 13);
    let standard = first("standard");
    assert_eq!(standard["type"], "books.cleared");
    assert_eq!(standard["table"], "public.book");
    assert_eq!(standard["op"], "truncate");
    for nothing in ["data", "old", "changed", "owner"] {
        assert_eq!(standard[nothing], Value::Null, "{nothing}");
    }
    assert_eq!(first("rest-hooks")["data"], Value::Null);
    assert_eq!(first("django")["data"], Value::Null);
    assert_eq!(first("row"), Value::Null);
    assert_eq!(first("cloudevents")["op"], "truncate");
    assert_eq!(first("netbox")["event"], "truncated");
    // An owner hears only what is for all, here of a table without any replica identity.
    assert_eq!(first("notes.cleared")["hook"]["event"], "notes.cleared");
}
