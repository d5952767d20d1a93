//! Looking before anything happens: events, schemas, explanations, and deliveries by hand.

use harness::{BOOK_EVENTS, Database, Receiver, SECRET, rowhook};
use serde_json::{Value, json};

const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated+"
"book.discounted" = { on = "book.updated", changed = ["price"], when = "new.price < old.price" }
"book.removed" = "book.deleted"
"user.logged_in" = "custom"

[tables.book]
identity = "full"
owner = "shelf_id -> shelf.user_id"
exclude = ["title"]
"#;

/// Runs a command that has to succeed, and returns its JSON.
fn ask(config: &str, args: &[&str]) -> Value {
    let ended = rowhook(config, &[args, &["--json"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

/// Runs a command that has to fail, and returns its message.
fn refused(config: &str, args: &[&str]) -> String {
    let ended = rowhook(config, args);
    assert_eq!(ended.code, 1, "{}", ended.out);
    ended.err
}

#[tokio::test]
async fn events_are_listed_with_their_source_and_how_many_hooks_hear_them() {
    let database = Database::bookstore().await;
    let config = database.config(EVENTS);
    assert_eq!(ask(&config, &["events"])[0]["hooks"], 0, "before setup");
    assert_eq!(rowhook(&config, &["setup"]).code, 0);
    for (owner, event) in [
        (Some("7"), "book.*"),
        (None, "*"),
        (Some("8"), "book.added"),
    ] {
        database.hook(owner, event, "http://127.0.0.1:9/").await;
    }
    database
        .sql("insert into rowhook.hook (event, target, active) values ('*', 'http://127.0.0.1:9/', false)")
        .await;
    let ended = rowhook(&config, &["events"]);
    insta::assert_snapshot!(ended.out, @r#"
event              source        heard by  hooks  only
book.added         book.created  owner     3
book.changed       book.updated  everyone  2
book.discounted    book.updated  owner     2      changed: price; when: new.price < old.price
book.removed       book.deleted  owner     2
user.logged_in     custom        owner     1
hook.disabled      rowhook       owner     1
rowhook.gap        rowhook       everyone  1
rowhook.delivered  rowhook       owner     1
"#);
    assert_eq!(
        ask(&config, &["events"])[2],
        json!({"event": "book.discounted", "source": "book.updated", "heard_by": "owner", "hooks": 2,
               "only": "changed: price; when: new.price < old.price"})
    );
}

#[tokio::test]
async fn a_schema_says_what_a_body_has_and_what_it_may_lack() {
    let database = Database::bookstore().await;
    let config = database.config(EVENTS);
    let ended = rowhook(
        &config,
        &["schema", "book.added", "--payload", "rest-hooks"],
    );
    assert!(
        ended
            .err
            .contains("book.added as rest-hooks, content-type: application/json")
    );
    let schema: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    insta::assert_snapshot!(schema["$defs"]["row"], @r#"
{"type":"object","properties":{"id":{"type":"integer"},"user_id":{"type":["integer","null"]},"shelf_id":{"type":["integer","null"]},"price":{"anyOf":[{"type":"number"},{"enum":["NaN","Infinity","-Infinity"]},{"type":"null"}]}},"required":["id","user_id","shelf_id","price"]}
"#);
    let all = ask(&config, &["schema", "book.removed"]);
    assert_eq!(all["payloads"]["row"]["content_type"], "application/json");
    assert_eq!(
        all["payloads"]["standard"]["schema"]["$defs"]["row"]["required"],
        json!(["id"]),
        "as long as the identity is not full, only the key is sure to be there"
    );
    let told = refused(&config, &["schema", "book.aded"]);
    assert!(
        told.contains(r#"there is no event "book.aded"; did you mean "book.added"?"#),
        "{told}"
    );
    let told = refused(&config, &["schema", "book.added", "--payload", "xml"]);
    assert!(
        told.contains(r#"there is no payload "xml"; there are rest-hooks, "#),
        "{told}"
    );
}

#[tokio::test]
async fn explain_says_which_events_and_hooks_fire_and_why_the_others_do_not() {
    let database = Database::bookstore().await;
    let config = format!(
        "{}\n[[hooks]]\nname = \"audit\"\nevents = [\"book.removed\"]\ntarget = \"http://127.0.0.1:9/\"",
        database.config(EVENTS)
    );
    assert_eq!(rowhook(&config, &["setup"]).code, 0);
    for (owner, event) in [("7", "book.*"), ("8", "book.*")] {
        database
            .hook(Some(owner), event, "http://127.0.0.1:9/")
            .await;
    }
    database
        .sql(
            "insert into rowhook.hook (event, target, active, filter) values
                ('*', 'http://127.0.0.1:9/', false, null),
                ('*', 'http://10.0.0.1/', true, null),
                ('*', 'http://127.0.0.1:9/', true, 'new.price > 100.0'),
                ('*', 'http://127.0.0.1:9/', true, 'new.title == \"\"')",
        )
        .await;
    let row = r#"{"id": 1, "shelf_id": 1, "price": 8}"#;
    let old = r#"{"id": 1, "shelf_id": 1, "price": 9}"#;
    let ended = rowhook(
        &config,
        &["explain", "book", "updated", "--row", row, "--old", old],
    );
    assert_eq!(ended.code, 0, "{}", ended.err);
    insta::assert_snapshot!(ended.out, @r#"
a row of book is updated; its owner is 7
book.added       action: it fires when a row is created
book.changed     fires
  hook audit     pattern: it hears book.removed
  hook 1         hears it
  hook 2         hears it
  hook 3         inactive: it is switched off
  hook 4         invalid: the target's address 10.0.0.1 is not public (private); delivery.allow_networks can open its network
  hook 5         filter: new.price > 100.0 is false
  hook 6         filter: "new.title == \"\"" failed: No such key: title
book.discounted  fires
  hook audit     pattern: it hears book.removed
  hook 1         hears it
  hook 2         owner: it hears rows of 8, and this one is of 7
  hook 3         inactive: it is switched off
  hook 4         invalid: the target's address 10.0.0.1 is not public (private); delivery.allow_networks can open its network
  hook 5         filter: new.price > 100.0 is false
  hook 6         filter: "new.title == \"\"" failed: No such key: title
book.removed     action: it fires when a row is deleted
"#);
    let dearer = ask(
        &config,
        &["explain", "book", "updated", "--row", old, "--old", row],
    );
    assert_eq!(
        dearer["events"][2]["because"],
        "when: new.price < old.price is false"
    );
    let same = ask(
        &config,
        &["explain", "book", "updated", "--row", old, "--old", old],
    );
    assert_eq!(
        same["events"][2]["because"],
        "changed: price did not change"
    );
    let blind = ask(&config, &["explain", "book", "updated", "--row", row]);
    assert!(
        blind["notes"][0]
            .as_str()
            .unwrap()
            .starts_with("without --old")
    );
    assert_eq!(blind["owner"], "7");
    for (args, remedy) in [
        (
            ["boook", "created", row],
            "no event is about the table boook; did you mean book?",
        ),
        (
            ["book", "sold", row],
            r#""sold" is no action of book; it is created, updated, deleted, truncated, or"#,
        ),
        (
            ["book", "created", r#"{"prise": 1}"#],
            r#"book has no column "prise"; did you mean "price"?"#,
        ),
        (
            ["book", "created", r#"{"price": "dear"}"#],
            "invalid input syntax for type numeric",
        ),
        (["book", "created", "[]"], r#""[]" is not a JSON object"#),
    ] {
        let [table, action, row] = args;
        let told = refused(&config, &["explain", table, action, "--row", row]);
        assert!(told.contains(remedy), "{told}");
    }
}

#[tokio::test]
async fn explain_asks_who_may_see_the_row() {
    let database = Database::bookstore().await;
    let config = format!(
        "{}visible = \"select $owner = '7' where $price::numeric < 100\"\n",
        database.config(EVENTS)
    )
    .replace("\"book.updated+\"", "\"book.created+\"");
    let ended = rowhook(&config, &["setup"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "book.changed", "http://127.0.0.1:9/")
            .await;
    }
    let row = r#"{"id": 1, "shelf_id": 1, "price": 8}"#;
    let told = ask(&config, &["explain", "book", "created", "--row", row]);
    assert_eq!(told["events"][1]["hooks"][0]["hears"], true);
    assert_eq!(
        told["events"][1]["hooks"][1]["because"],
        "visible: its owner may not see the row"
    );
}

#[tokio::test]
async fn what_explain_says_is_what_happens() {
    let database = Database::bookstore().await;
    let (heard, unheard) = (Receiver::start().await, Receiver::start().await);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hears = database.hook(Some("7"), "book.added", &heard.url()).await;
    for (owner, event) in [("8", "book.*"), ("7", "book.removed")] {
        database.hook(Some(owner), event, &unheard.url()).await;
    }
    let row = r#"{"id": 1, "user_id": 7, "title": "Dune"}"#;
    let config = database.config(BOOK_EVENTS);
    let told = ask(&config, &["explain", "book", "created", "--row", row]);
    let hooks = told["events"][0]["hooks"].as_array().unwrap();
    let expected: Vec<String> = hooks
        .iter()
        .filter(|hook| hook["hears"] == true)
        .map(|hook| hook["hook"].to_string())
        .collect();
    assert_eq!((hooks.len(), expected), (3, vec![hears]));
    database
        .sql("insert into book (id, user_id, title) values (1, 7, 'Dune')")
        .await;
    heard.expect(1).await;
    database.until_all_has_arrived().await;
    assert_eq!((heard.calls().len(), unheard.calls().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_sends_one_for_real_with_the_hooks_own_settings_and_shows_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{}\n[[hooks]]\nname = \"warehouse\"\nevents = [\"book.*\"]\ntarget = \"{}\"\nsecret = \"{SECRET}\"\npayload = \"standard\"\nheaders = {{ x-team = \"books\" }}\nfilter = \"new.price > 100.0\"",
        database.config(EVENTS),
        receiver.url()
    );
    let told = refused(&config, &["trigger", "book.added", "warehouse"]);
    assert!(
        told.contains("book has no row to take as a sample; give one with --row"),
        "{told}"
    );
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9.50), (2, 8, 2, 'Emma', 7)")
        .await;
    let args = ["trigger", "book.added", "warehouse", "--key", "2"];
    let shown = ask(&config, &args);
    let call = receiver.expect(1).await.pop().unwrap();
    call.verify();
    assert!(call.id().starts_with("msg_test_"), "{}", call.id());
    assert_eq!(call.header("x-team"), "books");
    assert_eq!(call.json()["type"], "book.added");
    assert_eq!(call.json()["owner"], "8");
    assert_eq!(
        call.json()["data"],
        json!({"id": 2, "user_id": 8, "shelf_id": 2, "price": 7.00})
    );
    assert_eq!(
        shown["request"]["body"],
        *String::from_utf8_lossy(&call.body)
    );
    assert_eq!(shown["request"]["headers"]["webhook-id"], call.id());
    assert_eq!(shown["request"]["headers"]["x-team"], "(hidden)");
    assert_eq!(
        shown["request"]["headers"]["webhook-signature"],
        call.header("webhook-signature")
    );
    assert_eq!(shown["answer"]["status"], 200);
    assert!(shown["took_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(shown["note"], "filter: new.price > 100.0 is false");

    // A URL that no hook has, a row from the command line, a custom event, and an answer that is no success.
    receiver.answer(|_, _| 503);
    let url = receiver.url();
    let row = r#"{"id": 9, "price": 1.50}"#;
    let ended = rowhook(&config, &["trigger", "book.removed", &url, "--row", row]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("it did not arrive: 503"),
        "{}",
        ended.err
    );
    assert!(
        ended.out.starts_with(&format!("POST {url}\n")),
        "{}",
        ended.out
    );
    let ended = rowhook(
        &config,
        &["trigger", "user.logged_in", &url, "--row", "[1]"],
    );
    assert_eq!(ended.code, 1);
    let calls = receiver.expect(3).await;
    assert_eq!(
        calls[1].data(),
        json!({"id": 9}),
        "all that a deletion tells"
    );
    assert_eq!(calls[2].data(), json!([1]));
    for (args, remedy) in [
        (vec!["book.added", "nobody"], r#"there is no hook "nobody""#),
        (
            vec!["book.added", "warehouse", "--key", "3"],
            r#"book has no row with the key "3""#,
        ),
        (
            vec!["book.added", "https://10.0.0.1/"],
            "is not public (private)",
        ),
        (
            vec!["user.logged_in", "warehouse", "--key", "3"],
            "has no table",
        ),
        (
            vec!["user.logged_in", "warehouse", "--row", "{"],
            "is not JSON",
        ),
    ] {
        let told = refused(&config, &[&["trigger"], &args[..]].concat());
        assert!(told.contains(remedy), "{told}");
    }
    assert_eq!(receiver.calls().len(), 3);
}

#[tokio::test]
async fn init_goes_on_with_the_hook_events_of_django_rest_hooks() {
    let database = Database::new().await;
    database
        .sql(
            "create table bookstore_book (id bigint primary key, user_id bigint);
             create table people_author (id bigint primary key);
             create table rest_hooks_hook (id bigint primary key, user_id bigint, event text, target text)",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let (dump, written) = (
        folder.path().join("events.json"),
        folder.path().join("made.toml"),
    );
    let events = r#"{"book.added": "bookstore.Book.created", "author.added": "bookstore.Author.created+", "book.read": "bookstore.Book.read", "user.logged_in": null}"#;
    std::fs::write(&dump, events).unwrap();
    let args = [
        "init",
        "--from-django-hook-events",
        dump.to_str().unwrap(),
        "--config",
        written.to_str().unwrap(),
        &database.url,
    ];
    let ended = rowhook("", &args);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended
            .out
            .contains("note: there is no table bookstore_author"),
        "{}",
        ended.out
    );
    let text = std::fs::read_to_string(&written).unwrap();
    let text = text
        .replace("${DATABASE_URL}", &database.url)
        .replace("# [tables.NAME] ", "[tables.people_author] ")
        .replace("# model", "model")
        .replace(
            "[database]",
            &format!("[database]\nslot = \"{}\"", database.name),
        );
    let ended = rowhook(&text, &["setup"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let listed = ask(&text, &["events"]);
    let sources: Vec<&str> = listed.as_array().unwrap()[..4]
        .iter()
        .map(|event| event["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        sources,
        [
            "bookstore_book.created",
            "people_author.created",
            "bookstore_book.read",
            "custom"
        ]
    );
    std::fs::write(&dump, r#"{"a": "Book.created", "b": 7}"#).unwrap();
    std::fs::remove_file(&written).unwrap();
    let ended = rowhook("", &args);
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .err
            .contains(r#""a": "Book.created" is not "app.Model.action""#),
        "{}",
        ended.err
    );
    assert!(!written.exists());
}
