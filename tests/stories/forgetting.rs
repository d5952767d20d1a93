//! Owners and rows that are forgotten.

use std::process::Command;

use harness::{BOOK_EVENTS, Database, Gate, Receiver, SECRET, rowhook};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, server};

/// All that pg_dump writes of rowhook's schema.
async fn dump(database: &Database) -> String {
    let major = database.version().await;
    let dumped = Command::new(harness::bin_of(major).join("pg_dump"))
        .args(["--dbname", &database.url, "--schema", "rowhook"])
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{dumped:?}");
    String::from_utf8(dumped.stdout).unwrap()
}

/// Whether a dump has this text, in a text or in bytes.
fn has(dump: &str, marker: &str) -> bool {
    dump.contains(marker) || dump.contains(&hex::encode(marker))
}

async fn hooks_of(database: &Database, owner: &str, targets: &[&str]) {
    for target in targets {
        database
            .sql(&format!(
                "insert into rowhook.hook (owner, event, target, secret, description)
                 values ('{owner}', 'book.*', '{target}', '{SECRET}', 'note of owner-marker-{owner}')"
            ))
            .await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_an_owner_who_is_forgotten_and_all_of_the_others() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|call, _| {
        if call.path.ends_with("/good") {
            200
        } else {
            500
        }
    })
    .await;
    let gate = Gate::closed().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let (good, bad) = (
        format!("{}/good", receiver.url()),
        format!("{}/bad", receiver.url()),
    );
    hooks_of(&database, "7", &[&good, &bad, &gate.url()]).await;
    hooks_of(&database, "8", &[&good, &bad]).await;
    api.token("7", "write").await;
    let kept = api.token("8", "write").await;
    database
        .sql("insert into book values (1, 7, 1, 'title-marker-7', 1), (2, 8, 1, 'title-marker-8', 1)")
        .await;
    let all = "select count(distinct hook) = 4 from rowhook.attempt";
    database.until("all are remembered", all).await;
    let parked = "select count(*) >= 2 from rowhook.delivery";
    database.until("what is refused is parked", parked).await;
    // Its request is under way, so this one is in memory.
    harness::until_within(harness::DEADLINE, "a request waits", async || {
        gate.waiting() > 0
    })
    .await;
    let before = dump(&database).await;
    assert!(has(&before, "title-marker-7") && has(&before, "owner-marker-7"));

    let ended = rowhook(&config, &["forget", "--owner", "7", "--json"]);

    assert_eq!(ended.code, 0, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (&report["hooks"], &report["tokens"]),
        (&json!(3), &json!(1)),
        "{report}"
    );
    assert!(
        report["deliveries"].as_u64() > Some(0) && report["attempts"].as_u64() > Some(0),
        "{report}"
    );
    gate.open();
    database.until_all_is_confirmed().await;
    // A clean end writes whatever is left in memory.
    assert_eq!(api.get("/api/hooks", &kept).await.status, 200);
    assert!(api.rowhook.stop().success());
    let after = dump(&database).await;
    for marker in ["title-marker-7", "owner-marker-7"] {
        assert!(!has(&after, marker), "{marker}");
    }
    for marker in ["title-marker-8", "owner-marker-8"] {
        assert!(has(&after, marker), "{marker}");
    }
    let again = rowhook(&config, &["forget", "--owner", "7", "--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(
        (&report["hooks"], &report["deliveries"], &report["attempts"]),
        (&json!(0), &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn who_is_forgotten_may_come_back() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    hooks_of(&database, "7", &[&receiver.url()]).await;
    let forgotten = api.post("/api/forget", ADMIN, json!({"owner": "7"})).await;
    assert_eq!(forgotten.status, 200, "{}", forgotten.text);
    assert_eq!(forgotten.json()["hooks"], 1);
    let token = api.token("7", "write").await;
    let refused = api.post("/api/forget", &token, json!({"owner": "8"})).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    hooks_of(&database, "7", &[&receiver.url()]).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    let parked = "select count(*) = 1 from rowhook.delivery where owner = '7'";
    database.until("what is new is kept", parked).await;
    let remembered = "select count(*) > 0 from rowhook.attempt where owner = '7'";
    database.until("and remembered", remembered).await;
}

/// The hooks of a file, which hear everything of everyone, each with its own keys.
const HEARERS: [(&str, &str); 8] = [
    ("plain", "retries = [\"1h\"]"),
    ("standard", "retries = [\"1h\"]\npayload = \"standard\""),
    (
        "events",
        "retries = [\"1h\"]\npayload = \"cloudevents\"\nbatch = { max = 2, wait = \"10ms\" }",
    ),
    (
        "shaped",
        "retries = [\"1h\"]\npayload = \"row\"\ntemplate = '''{\"said\": {{ new.title }}}'''",
    ),
    (
        "form",
        "retries = [\"1h\"]\npayload = \"standard\"\ncontent = \"form\"",
    ),
    (
        "django",
        "retries = [\"1h\"]\npayload = \"django\"\norder = \"hook\"",
    ),
    (
        "dead",
        "retries = false\npayload = \"netbox\"\norder = \"none\"",
    ),
    ("good", "payload = \"standard\""),
];

fn hearers(receiver: &str) -> String {
    let hook = |name: &str, target: &str, keys: &str| {
        format!("[[hooks]]\nname = \"{name}\"\nevents = [\"*\"]\ntarget = \"{target}\"\n{keys}\n")
    };
    let hooks = HEARERS.map(|(name, keys)| hook(name, &format!("{receiver}/{name}"), keys));
    hooks.join("\n")
}

#[tokio::test]
async fn of_a_row_that_is_forgotten_only_the_key_is_left_and_its_receivers_are_told() {
    let database = Database::bookstore().await;
    let good = |path: &str| path.ends_with("/good");
    let receiver =
        Receiver::answering(move |call, _| if good(&call.path) { 200 } else { 500 }).await;
    let gate = Gate::closed().await;
    let waiting = format!(
        "[[hooks]]\nname = \"waiting\"\nevents = [\"*\"]\ntarget = \"{}\"\ntimeout = \"60s\"\npayload = \"standard\"\n",
        gate.url()
    );
    let hooks = format!("{}\n{waiting}", hearers(&receiver.url()));
    let config = database.config(&format!("{BOOK_EVENTS}\n{hooks}\n{}", server("")));
    let api = Api::start(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'row-marker', 1), (2, 7, 1, 'other-marker', 1)")
        .await;
    database
        .sql("update book set title = 'row-marker again' where id = 1")
        .await;
    let kept = "select count(*) filter (where state = 'parked') = 18 and count(*) filter (where state = 'dead') = 3
                from rowhook.delivery";
    database.until("what is refused is kept", kept).await;
    let remembered = "select count(distinct hook) = 8 and count(*) filter (where hook = 'good') = 3 from rowhook.attempt";
    database.until("all are remembered", remembered).await;
    // Its first request is under way, so the update waits in memory.
    harness::until_within(harness::DEADLINE, "a request waits", async || {
        gate.waiting() == 2
    })
    .await;
    assert!(has(&dump(&database).await, "row-marker"));

    let ended = rowhook(&config, &["forget", "--row", "book", "1", "--json"]);

    assert_eq!(ended.code, 0, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["left_out"], 14, "{report}");
    let why = "select string_agg(distinct coalesce(reason, '-'), '; ' order by coalesce(reason, '-')) from rowhook.delivery";
    let why = database.ask(why).await;
    assert_eq!(
        why, "-; 500; the last of 1 attempts failed: 500",
        "they have no value of the row"
    );
    assert!(report["attempts"].as_u64() >= Some(9), "{report}");
    gate.open();
    let arrived = "select count(*) = 2 from rowhook.attempt where hook = 'waiting'";
    database
        .until("what was not forgotten is remembered", arrived)
        .await;
    let waited = "select string_agg(convert_from(request_body, 'UTF8'), '') from rowhook.attempt where hook = 'waiting'
                  and event = 'book.changed'";
    let waited: Value = serde_json::from_str(&database.ask(waited).await).unwrap();
    assert_eq!(waited["data"], json!({"id": 1}), "{waited}");
    assert_eq!(
        waited["left_out"],
        json!(["user_id", "shelf_id", "title", "price"])
    );
    assert!(!has(&dump(&database).await, "row-marker"));

    receiver.answer(|_, _| 200);
    let before = receiver.calls().len();
    let retried = rowhook(&config, &["deliveries", "retry", "--dead"]);
    assert_eq!(retried.code, 0, "{retried:?}");
    database
        .sql("update rowhook.delivery set next_attempt = now() where next_attempt is not null")
        .await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls().split_off(before);
    for (name, _) in HEARERS.iter().filter(|(name, _)| *name != "good") {
        let end = format!("/{name}");
        let to_hook = calls.iter().filter(|call| call.path.ends_with(&end));
        let bodies: Vec<String> = to_hook
            .map(|call| String::from_utf8(call.body.to_vec()).unwrap())
            .collect();
        let all = bodies.join("\n");
        assert!(!all.contains("row-marker"), "{name}: {all}");
        assert!(all.contains("other-marker"), "{name}: {all}");
        let left_out = all.matches("left_out").count() + all.matches("leftout").count();
        assert_eq!(left_out, 2, "{name}: {all}");
    }
    database.until_all_is_confirmed().await;
    assert!(api.rowhook.stop().success());
    let after = dump(&database).await;
    assert!(!has(&after, "row-marker") && has(&after, "other-marker"));
    // Another start reads nothing of it again.
    let api = Api::start(&config).await;
    database.until_all_is_confirmed().await;
    assert!(!api.rowhook.memory_has(&["row", "marker"].join("-")));
    assert!(!has(&dump(&database).await, "row-marker"));
}

#[tokio::test]
async fn rows_of_a_forgotten_owner_are_left_out_of_what_is_parked_for_others() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let events = BOOK_EVENTS.replace("book.created", "book.created+");
    let config = database.config(&format!(
        "{events}\n{}\n{}",
        hearers(&receiver.url()),
        server("")
    ));
    let api = Api::start(&config).await;
    hooks_of(&database, "8", &[&receiver.url()]).await;
    database
        .sql("insert into book values (1, 7, 1, 'title-marker-7', 1), (2, 8, 1, 'title-marker-8', 1)")
        .await;
    let kept = "select count(*) filter (where hook <> 'good') = 16 from rowhook.delivery";
    database.until("what is refused is kept", kept).await;

    let forgotten = api.post("/api/forget", ADMIN, json!({"owner": "7"})).await;

    assert_eq!(forgotten.status, 200, "{}", forgotten.text);
    assert!(
        forgotten.json()["left_out"].as_u64() >= Some(8),
        "{}",
        forgotten.text
    );
    database.until_all_is_confirmed().await;
    assert!(api.rowhook.stop().success());
    let after = dump(&database).await;
    assert!(!has(&after, "title-marker-7") && has(&after, "title-marker-8"));
    let bodies = "select string_agg(convert_from(body, 'UTF8'), E'\\n') from rowhook.delivery where hook = 'standard'";
    let bodies = database.ask(bodies).await;
    assert!(bodies.contains(r#""data":{"id":1},"old":null"#), "{bodies}");
    assert!(
        !bodies.contains(r#""owner":"7""#) && bodies.contains(r#""owner":"8""#),
        "{bodies}"
    );
}

#[tokio::test]
async fn a_row_is_found_by_any_key_and_a_wrong_key_is_refused() {
    let database = Database::new().await;
    database
        .sql("create table part (shop uuid, made date, ok boolean, note text, primary key (shop, made, ok))")
        .await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = database.config(&format!(
        "[events]\n\"part.made\" = \"part.created\"\n\"part.changed\" = \"part.updated\"\n{}\n{}",
        hearers(&receiver.url()),
        server("")
    ));
    let api = Api::start(&config).await;
    let shop = "8d7a9c5e-0f6b-4b61-9f3e-2c1d5a4b3c2d";
    database
        .sql(&format!(
            "insert into part values ('{shop}', '2024-02-29', true, 'part-marker'), ('{shop}', '2024-02-29', false, 'kept-marker')"
        ))
        .await;
    // It stands in the lanes of both keys.
    database
        .sql("update part set made = '2024-03-01' where ok")
        .await;
    let kept = "select count(*) filter (where hook <> 'good') = 21 from rowhook.delivery";
    database.until("what is refused is kept", kept).await;
    for (key, told) in [
        (json!("7"), "is no key of part, which is shop, made, ok"),
        (
            json!({"shop": shop, "made": "soon", "ok": true}),
            "invalid input syntax for type date",
        ),
    ] {
        let row = json!({"row": {"table": "part", "key": key}});
        let refused = api.post("/api/forget", ADMIN, row).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains(told), "{}", refused.text);
    }
    let both = json!({"owner": "7", "row": {"table": "part", "key": "7"}});
    for forget in [json!({}), both] {
        let refused = api.post("/api/forget", ADMIN, forget).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
    }
    // As somebody may write it.
    let key = json!({"ok": "yes", "made": "2024-03-01", "shop": shop.to_uppercase()}).to_string();
    let ended = rowhook(&config, &["forget", "--row", "part", &key]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.starts_with("left out the row of 8 deliveries"),
        "{ended:?}"
    );
    // What was told of the row under its former key is another matter.
    let ended = rowhook(
        &config,
        &[
            "forget",
            "--row",
            "public.part",
            &key.replace("03-01", "02-29"),
        ],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(api.rowhook.stop().success());
    let after = dump(&database).await;
    assert!(!has(&after, "part-marker") && has(&after, "kept-marker"));
}
