//! Secrets of hooks that are sealed where they are stored.

use std::process::Command;

use harness::{BOOK_EVENTS, Call, Database, Ended, Receiver, Rowhook, SECRET, rowhook};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, server};

/// The base64 of 32 bytes, each.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// The secret of a hook before [`SECRET`].
const FORMER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// `[events]`, and `[secrets]` with this key.
fn sealed(key: &str) -> String {
    format!("{BOOK_EVENTS}\n[secrets]\nkey = \"{key}\"\n")
}

/// All that pg_dump writes of this schema.
async fn dump(database: &Database, schema: &str) -> String {
    let major = database.version().await;
    let dumped = Command::new(harness::bin_of(major).join("pg_dump"))
        .args(["--dbname", &database.url, "--schema", schema])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&dumped.stderr);
    assert!(dumped.status.success(), "{error}");
    String::from_utf8(dumped.stdout).unwrap()
}

/// What a command has answered in JSON.
fn answer(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Waits until every secret of rowhook's own table is sealed.
async fn until_sealed(database: &Database) {
    let sql = "select bool_and(secret like 'rowhook-sealed.1.%') from rowhook.hook where secret is not null";
    database.until("all secrets are sealed", sql).await;
}

fn of_path<'a>(calls: &'a [Call], path: &str) -> Vec<&'a Call> {
    calls.iter().filter(|call| call.path == path).collect()
}

#[tokio::test]
async fn what_is_secret_in_a_hook_is_used_and_found_nowhere() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{}\n{}", sealed(KEY), server("")));
    let api = Api::of(Rowhook::start_logging(&config, "trace")).await;
    let target = |path: &str, password: &str| {
        let credentials = format!("://reader:{password}@");
        format!("{}{path}", receiver.url().replace("://", &credentials))
    };
    let hook = json!({
        "owner": "7",
        "event": "book.added",
        "target": target("/api", "api-target-marker"),
        "secret": SECRET,
        "headers": {"x-key": "api-header-marker"},
    });
    let made = api.post("/api/hooks", ADMIN, hook).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["secret"], SECRET);
    // One that the application has made, with all that it may write.
    let by_sql = database
        .ask(&format!(
            "insert into rowhook.hook (owner, event, target, secret, previous_secret, headers) values
                ('7', 'book.added', '{}', '{SECRET}', '{FORMER}', '{{\"x-key\": \"sql-header-marker\"}}')
             returning id",
            target("/sql", "sql-target-marker")
        ))
        .await;
    until_sealed(&database).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    let calls = receiver.expect(2).await;
    for (path, header) in [
        ("/hook/api", "api-header-marker"),
        ("/hook/sql", "sql-header-marker"),
    ] {
        let calls = of_path(&calls, path);
        assert_eq!(calls.len(), 1, "{path}");
        calls[0].verify();
        assert_eq!(calls[0].header("x-key"), header);
        assert!(
            calls[0].header("authorization").starts_with("Basic "),
            "{path}"
        );
    }
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let rotated = api
        .post(&format!("/api/hooks/{id}/rotate"), ADMIN, json!({}))
        .await;
    let remembered = "select count(*) = 2 from rowhook.attempt";
    database.until("both are remembered", remembered).await;

    let mut places = vec![
        ("the dump", dump(&database, "rowhook").await),
        ("the list", api.get("/api/hooks", ADMIN).await.text),
        ("the history", api.get("/api/deliveries", ADMIN).await.text),
        ("the metrics", api.get("/metrics", ADMIN).await.text),
        ("the page", api.get("/", ADMIN).await.text),
        (
            "hooks list",
            rowhook(&config, &["hooks", "list", "--json"]).out,
        ),
        (
            "hooks show",
            rowhook(&config, &["hooks", "show", &by_sql, "--json"]).out,
        ),
        ("the log", api.rowhook.kill_and_log()),
    ];
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert!(places.iter().all(|(_, text)| !text.contains(&new)));
    places.push(("the answer to rotation", rotated.text));
    for (place, text) in &places {
        for secret in [
            &SECRET["whsec_".len()..],
            "api-target-marker",
            "api-header-marker",
            &FORMER["whsec_".len()..],
            "sql-header-marker",
            "sql-target-marker",
            KEY,
        ] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in {place}");
        }
    }
}

#[tokio::test]
async fn sealing_does_not_change_a_hook() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let before_there_was_a_key = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database.until_all_is_confirmed().await;
    before_there_was_a_key.stop();
    let times = "select created_at || ' ' || updated_at || ' ' || xmin from rowhook.hook";
    let when = "select created_at || ' ' || updated_at from rowhook.hook";
    let (before, row) = (database.ask(when).await, database.ask(times).await);
    let config = database.config(&sealed(KEY));
    let rowhook_ = database.rowhook(&sealed(KEY)).await;
    // What was there before is used as it is, and left as it is.
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    receiver.expect(1).await[0].verify();
    assert_eq!(database.ask(times).await, row);
    let status = rowhook(&config, &["secrets", "status", "--json"]);
    assert_eq!(answer(&status)["plain"], 1, "{status:?}");

    let ended = rowhook(&config, &["secrets", "seal"]);

    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.starts_with("sealed 1 hooks with the key "),
        "{ended:?}"
    );
    until_sealed(&database).await;
    assert_eq!(database.ask(when).await, before);
    let again = rowhook(&config, &["secrets", "seal", "--json"]);
    assert_eq!(answer(&again)["sealed"], 0, "{again:?}");
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 1)")
        .await;
    receiver.expect(2).await[1].verify();
    // And after a restart.
    rowhook_.stop();
    let _rowhook = database.rowhook(&sealed(KEY)).await;
    database
        .sql("insert into book values (3, 7, 1, 'Ulysses', 1)")
        .await;
    receiver.expect(3).await[2].verify();
    let invalid = format!("select coalesce(invalid, 'none') from rowhook.hook where id = {hook}");
    assert_eq!(database.ask(&invalid).await, "none");
}

#[tokio::test]
async fn with_another_key_only_what_is_sealed_waits_and_nothing_is_lost() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let running = database.rowhook(&sealed(KEY)).await;
    let url = receiver.url();
    let hook = database
        .hook(Some("7"), "book.added", &format!("{url}/sealed"))
        .await;
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target) values ('7', 'book.added', '{url}/open')"
        ))
        .await;
    until_sealed(&database).await;
    running.stop();
    let invalid = format!("select coalesce(invalid, 'none') from rowhook.hook where id = {hook}");
    for (number, (rest, reason)) in [
        (
            sealed(OTHER_KEY),
            "which [secrets] does not have; add that key there, under previous",
        ),
        (
            BOOK_EVENTS.to_owned(),
            "and hooks.toml has none; give it in [secrets]",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let running = database.rowhook(&rest).await;
        let book = number + 1;
        database
            .sql(&format!(
                "insert into book values ({book}, 7, 1, 'Dune', 1)"
            ))
            .await;
        receiver.expect(book).await;
        assert_eq!(of_path(&receiver.calls(), "/hook/open").len(), book);
        let kept = format!(
            "select count(*) = {book} from rowhook.delivery where hook = '{hook}' and state = 'parked'"
        );
        database.until("what it hears is kept", &kept).await;
        let said = format!("select ({invalid}) like 'its secret is sealed with the key %'");
        database.until("it says why it waits", &said).await;
        let said = database.ask(&invalid).await;
        assert!(said.ends_with(reason), "{said}");
        running.stop();
    }
    let _running = database.rowhook(&sealed(KEY)).await;
    let calls = receiver.expect(4).await;
    let late = of_path(&calls, "/hook/sealed");
    assert_eq!(late.len(), 2);
    late.iter().for_each(|call| call.verify());
    let usable = format!("select ({invalid}) = 'none'");
    database.until("it is usable again", &usable).await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn a_key_that_a_command_prints_may_come_later() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let rest = format!(
        "{BOOK_EVENTS}\n[secrets]\nkey_command = [\"cat\", \"{}\"]\n",
        file.display()
    );
    std::fs::write(&file, KEY).unwrap();
    let running = database.rowhook(&rest).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    until_sealed(&database).await;
    running.stop();
    std::fs::remove_file(&file).unwrap();
    let mut running = database.rowhook(&rest).await;
    running
        .until_log("secrets.key_command brought no key")
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    let kept = "select count(*) = 1 from rowhook.delivery where state = 'parked'";
    database.until("what it hears is kept", kept).await;

    std::fs::write(&file, KEY).unwrap();

    receiver.expect(1).await[0].verify();
    database.until_all_has_arrived().await;
    // The newest key stands first, and those before it behind it.
    std::fs::write(&file, format!("{OTHER_KEY} {KEY}")).unwrap();
    let ended = rowhook(&database.config(&rest), &["secrets", "rotate"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 1)")
        .await;
    // The running one meets a key that it does not have, and fetches it.
    receiver.expect(2).await[1].verify();
    std::fs::write(&file, OTHER_KEY).unwrap();
    let status = rowhook(&database.config(&rest), &["secrets", "status", "--json"]);
    let counts = answer(&status);
    assert_eq!(counts["plain"], 0, "{counts}");
    assert_eq!(
        counts["sealed"][counts["key"].as_str().unwrap()],
        1,
        "{counts}"
    );
}

#[tokio::test]
async fn the_key_is_changed_while_hooks_are_used() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let running = database.rowhook(&sealed(KEY)).await;
    for number in 0..3 {
        database
            .hook(
                Some("7"),
                "book.added",
                &format!("{}/{number}", receiver.url()),
            )
            .await;
    }
    until_sealed(&database).await;
    let both = format!("{}previous = [\"{KEY}\"]\n", sealed(OTHER_KEY));
    running.write_config(&database.config(&both));
    running.signal(nix::sys::signal::Signal::SIGHUP);
    let mut running = running;
    running.until_log("reloaded").await;

    let ended = rowhook(&database.config(&both), &["secrets", "rotate", "--json"]);

    assert_eq!(
        (ended.code, &answer(&ended)["sealed"]),
        (0, &json!(3)),
        "{ended:?}"
    );
    // The earlier key is not needed any more.
    running.stop();
    let _running = database.rowhook(&sealed(OTHER_KEY)).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1)")
        .await;
    let calls = receiver.expect(3).await;
    calls.iter().for_each(Call::verify);
}

#[tokio::test]
async fn a_table_of_the_application_is_sealed_where_it_says_so() {
    for (names, is_sealed) in [("", "f"), ("sealed = [\"secret\"]", "t")] {
        let database = Database::bookstore().await;
        let receiver = Receiver::start().await;
        database
            .sql(
                "create table webhook (
                    id uuid primary key default gen_random_uuid(), user_id bigint, event text not null,
                    target text not null, token varchar(120)
                )",
            )
            .await;
        let table = "[hook_table]\ntable = \"webhook\"\nsecret = \"token\"\n";
        let _rowhook = database
            .rowhook(&format!("{}{table}{names}\n", sealed(KEY)))
            .await;
        database
            .sql(&format!(
                "insert into webhook (user_id, event, target, token) values (7, 'book.added', '{}', '{SECRET}')",
                receiver.url()
            ))
            .await;
        database
            .sql("insert into book values (1, 7, 1, 'Dune', 1)")
            .await;
        receiver.expect(1).await[0].verify();
        if is_sealed == "t" {
            let sealed = "select token like 'rowhook-sealed.1.%' from webhook";
            database.until("it is sealed", sealed).await;
        }
        database
            .sql("insert into book values (2, 7, 1, 'Emma', 1)")
            .await;
        receiver.expect(2).await[1].verify();
        database.until_all_is_confirmed().await;
        let stored = "select token like 'rowhook-sealed.1.%' from webhook";
        assert_eq!(database.ask(stored).await, is_sealed, "{names}");
    }
}

#[tokio::test]
async fn what_is_sealed_for_one_hook_is_of_no_use_to_another() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{}\n{}", sealed(KEY), server("")));
    let api = Api::start(&config).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    until_sealed(&database).await;
    let token = database
        .ask(&format!(
            "select secret from rowhook.hook where id = {hook}"
        ))
        .await;
    let copied = database
        .ask(&format!(
            "insert into rowhook.hook (owner, event, target, secret) values ('8', 'book.added', '{}', '{token}') returning id",
            receiver.url()
        ))
        .await;
    let said = format!(
        "select invalid = 'its secret was sealed for another hook, or is damaged; give the hook a new one' \
         from rowhook.hook where id = {copied}"
    );
    database.until("the copy says so", &said).await;
    let given =
        json!({"owner": "8", "event": "book.added", "target": receiver.url(), "secret": token});
    let refused = api.post("/api/hooks", ADMIN, given).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    // A new secret mends it.
    let mended = rowhook(&config, &["hooks", "rotate", &copied]);
    assert_eq!(mended.code, 0, "{mended:?}");
    let usable = format!("select invalid is null from rowhook.hook where id = {copied}");
    database.until("it is usable", &usable).await;
}
