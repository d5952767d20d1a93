//! An owner who is forgotten.

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
