//! What an operator does on the command line, while rowhook runs and while it does not.

use harness::{self, BOOK_EVENTS, Database, Ended, Receiver, Rowhook};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// Runs a command in another thread, so that receivers can answer meanwhile.
async fn run(config: &str, args: &[&str]) -> Ended {
    let config = config.to_owned();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        harness::rowhook(&config, &args)
    })
    .await
    .unwrap()
}

/// Runs a command that has to succeed, and returns its JSON.
pub async fn ask(config: &str, args: &[&str]) -> Value {
    let ended = run(config, &[args, &["--json"]].concat()).await;
    assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out))
}

/// Runs a command that has to fail, and returns its message.
pub async fn refused(config: &str, args: &[&str]) -> String {
    let ended = run(config, args).await;
    assert_eq!(ended.code, 1, "{args:?}: {}", ended.out);
    ended.err
}

fn told(call: &harness::Call) -> String {
    format!("{} {} {}", call.data()["id"], call.event(), call.status)
}

#[tokio::test]
async fn hooks_are_made_switched_and_removed_from_the_command_line() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let url = receiver.url().replace("http://", "http://me:hunter2@");
    let made = ask(
        &config,
        &[
            "hooks",
            "add",
            "book.added",
            &url,
            "--owner",
            "7",
            "--header",
            "x-team=books",
            "--filter",
            "new.id < 100",
        ],
    )
    .await;
    let (id, secret) = (
        made["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    assert_eq!(made["target"], json!(receiver.url()));
    assert_eq!(made["headers"], json!(["x-team"]));
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (200, 7, 1, 'filtered', 9)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].header("x-team"), "books");
    let verifier = Webhook::new(secret).unwrap();
    verifier.verify(&calls[0].body, &calls[0].headers).unwrap();

    let disabled = ask(&config, &["hooks", "disable", id, "--reason", "too loud"]).await;
    assert_eq!(disabled["disabled_reason"], json!("too loud"));
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    assert_eq!(
        ask(&config, &["hooks", "enable", id]).await["active"],
        json!(true)
    );
    let rotated = ask(&config, &["hooks", "rotate", id]).await;
    assert_ne!(rotated["secret"], made["secret"]);
    database
        .sql("insert into book values (3, 7, 1, 'Ulysses', 9)")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(
        told(&calls[1]),
        "3 book.added 200",
        "while it was off, it heard nothing"
    );
    let verifier = Webhook::new(rotated["secret"].as_str().unwrap()).unwrap();
    verifier.verify(&calls[1].body, &calls[1].headers).unwrap();

    let tested = ask(&config, &["hooks", "test", id]).await;
    assert_eq!(tested["status"], json!(200));
    let calls = receiver.expect(3).await;
    assert_eq!(calls[2].event(), "hook.test");
    verifier.verify(&calls[2].body, &calls[2].headers).unwrap();
    receiver.answer(|_, _| 503);
    let ended = run(&config, &["hooks", "test", id]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("503") && ended.err.contains("not accepted"),
        "{}",
        ended.err
    );

    let listed = run(&config, &["hooks", "list"]).await.out;
    assert!(!listed.contains("hunter2"), "{listed}");
    assert!(
        listed.starts_with("id  owner  event       state"),
        "{listed}"
    );
    run(&config, &["hooks", "remove", id]).await;
    assert_eq!(ask(&config, &["hooks", "list"]).await, json!([]));
    assert!(
        refused(&config, &["hooks", "show", id])
            .await
            .contains("there is no hook")
    );
}

#[tokio::test]
async fn a_hook_that_could_never_be_used_is_refused_and_leaves_nothing() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"mine\"\nevents = [\"*\"]\ntarget = \"http://127.0.0.1:1/\""
    ));
    assert!(
        refused(&config, &["hooks", "list"])
            .await
            .contains("run: rowhook setup"),
        "before there are tables"
    );
    assert_eq!(run(&config, &["setup"]).await.code, 0);
    for (event, target, more, expected) in [
        (
            "book.aded",
            "http://127.0.0.1:1/",
            [""; 2],
            "there is no event book.aded",
        ),
        ("book.added", "nonsense", [""; 2], "the target is not a URL"),
        (
            "book.added",
            "ftp://example.com/",
            [""; 2],
            "the target's scheme is \"ftp\"",
        ),
        (
            "book.added",
            "https://10.0.0.1/",
            [""; 2],
            "10.0.0.1 is not public",
        ),
        (
            "book.added",
            "https://169.254.169.254/",
            [""; 2],
            "metadata",
        ),
        (
            "book.added",
            "http://127.0.0.1:1/",
            ["--filter", "new.id <"],
            "filter",
        ),
        (
            "book.added",
            "http://127.0.0.1:1/",
            ["--header", "webhook-id=x"],
            "webhook-id",
        ),
        (
            "book.added",
            "http://127.0.0.1:1/",
            ["--secret", "short"],
            "whsec_",
        ),
        (
            "book.added",
            "http://127.0.0.1:1/",
            ["--payload", "odd"],
            "no payload is called",
        ),
    ] {
        let mut args = vec!["hooks", "add", event, target];
        args.extend(more.iter().filter(|arg| !arg.is_empty()));
        let error = refused(&config, &args).await;
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let listed = ask(&config, &["hooks", "list"]).await;
    assert_eq!(
        listed.as_array().unwrap().len(),
        1,
        "only that of the file: {listed}"
    );
    let error = refused(&config, &["hooks", "disable", "mine"]).await;
    assert!(error.contains("hook mine stands in"), "{error}");
}

#[tokio::test]
async fn dead_deliveries_are_sent_again_with_their_ids_and_in_their_order() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = database.config(BOOK_EVENTS).replace(
        "retries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]",
        "retries = false",
    );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    for price in 1..=5 {
        database
            .sql(&format!("update book set price = {price}"))
            .await;
    }
    let dead = "select count(*) = 12 from rowhook.delivery where state = 'dead'";
    database.until("all of them are dead", dead).await;
    database.until_all_is_confirmed().await;
    let status = ask(&config, &["status"]).await;
    assert_eq!(status["deliveries"]["dead"], json!(12));
    assert_eq!(status["slot"]["attached"], json!(true));
    assert_eq!(status["hooks"]["failing"], json!(1));
    assert!(rowhook.stop().success());
    let given_up: Vec<String> = receiver
        .calls()
        .iter()
        .map(|call| call.id().to_owned())
        .collect();

    // No rowhook runs, so the table decides which delivery of each row goes first.
    let replayed = ask(&config, &["deliveries", "retry", "--dead", "--hook", &hook]).await;
    assert_eq!(
        replayed,
        json!({"revived": 12, "repeated": 0, "unrecorded": 0})
    );
    let first = "select count(*) from rowhook.delivery where next_attempt is not null";
    assert_eq!(database.ask(first).await, "2", "one of each row");
    receiver.answer(|_, _| 200);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database.until_all_has_arrived().await;
    let arrived: Vec<_> = receiver
        .calls()
        .into_iter()
        .filter(|call| call.status == 200)
        .collect();
    assert_eq!(arrived.len(), 12);
    for row in [1, 2] {
        let prices: Vec<String> = arrived
            .iter()
            .filter(|call| call.data()["id"] == json!(row))
            .map(|call| call.data()["price"].to_string())
            .collect();
        assert_eq!(prices, ["9.0", "1.0", "2.0", "3.0", "4.0", "5.0"]);
    }
    let mut again: Vec<String> = arrived.iter().map(|call| call.id().to_owned()).collect();
    let mut before = given_up;
    again.sort();
    before.sort();
    assert_eq!(again, before);
}

#[tokio::test]
async fn what_has_arrived_is_replayed_as_it_was_and_a_running_rowhook_does_it_at_once() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); update book set price = 1; update book set price = 2")
        .await;
    receiver.expect(3).await;
    let noted = "select count(*) = 3 from rowhook.attempt";
    database.until("history has them", noted).await;
    let listed = ask(&config, &["deliveries", "list", "--state", "delivered"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let id = listed[2]["id"].as_str().unwrap().to_owned();
    let shown = ask(&config, &["deliveries", "show", &id]).await;
    assert_eq!(shown["attempt_list"][0]["status"], json!(200));
    assert_eq!(shown["event"], json!("book.added"));
    assert!(shown["body"]["text"].as_str().unwrap().contains("Dune"));

    let replayed = ask(
        &config,
        &["deliveries", "replay", "--hook", &hook, "--since", "1h"],
    )
    .await;
    assert_eq!(replayed["repeated"], json!(3), "{replayed}");
    let calls = receiver.expect(6).await;
    let facts = |calls: &[harness::Call]| -> Vec<_> {
        calls
            .iter()
            .map(|call| (call.id().to_owned(), call.body.clone()))
            .collect()
    };
    assert_eq!(facts(&calls[..3]), facts(&calls[3..]));
    database.until_all_has_arrived().await;
    ask(&config, &["deliveries", "retry", &id]).await;
    let calls = receiver.expect(7).await;
    assert_eq!(calls[6].id(), id);
    let error = refused(&config, &["deliveries", "retry", "msg_none"]).await;
    assert!(
        error.contains("there is no delivery \"msg_none\""),
        "{error}"
    );
}

#[tokio::test]
async fn hooks_of_the_applications_own_table_are_managed_too() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table rest_hooks_hook (
                id serial primary key, created timestamptz not null, updated timestamptz not null,
                event varchar(64) not null, target varchar(255) not null, user_id integer not null, is_active boolean not null
            )",
        )
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[hook_table]\ntable = \"rest_hooks_hook\"\nactive = \"is_active\""
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let made = ask(
        &config,
        &[
            "hooks",
            "add",
            "book.added",
            &receiver.url(),
            "--owner",
            "7",
        ],
    )
    .await;
    assert_eq!((&made["id"], &made["secret"]), (&json!("1"), &Value::Null));
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    ask(&config, &["hooks", "disable", "1"]).await;
    assert_eq!(
        database.ask("select is_active from rest_hooks_hook").await,
        "f"
    );
    let error = refused(&config, &["hooks", "rotate", "1"]).await;
    assert!(error.contains("has no column for secret"), "{error}");
    let error = refused(
        &config,
        &[
            "hooks",
            "add",
            "book.added",
            &receiver.url(),
            "--owner",
            "anna",
        ],
    )
    .await;
    assert!(error.contains("integer"), "{error}");
}

#[tokio::test]
async fn tail_tells_what_happens_and_tokens_are_shown_once() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &receiver.url()).await;
    let tail = tokio::spawn({
        let config = config.clone();
        async move { run(&config, &["tail", "--count", "1", "--json"]).await }
    });
    let listening = "select count(*) > 0 from pg_stat_activity where application_name = 'rowhook tail' and query like 'with all_hooks%'";
    database.until("tail listens", listening).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let ended = tail.await.unwrap();
    let news: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (&news["hook"], &news["answer"]),
        (&json!(hook), &json!("200"))
    );

    let made = ask(
        &config,
        &[
            "tokens",
            "add",
            "7",
            "--name",
            "laptop",
            "--expires-in",
            "1day",
        ],
    )
    .await;
    let token = made["token"].as_str().unwrap();
    assert!(
        token.starts_with("rowhook_") && token.len() == 51,
        "{token}"
    );
    let kept = database
        .ask("select string_agg(t::text, ' ') from rowhook.token t")
        .await;
    assert!(!kept.contains(token), "{kept}");
    let listed = run(&config, &["tokens", "list"]).await.out;
    assert!(
        listed.contains("laptop") && !listed.contains(token),
        "{listed}"
    );
    let revoked = ask(&config, &["tokens", "revoke", "1"]).await;
    assert!(revoked["revoked_at"].is_string());
}

#[tokio::test]
async fn shells_and_man_are_told_of_every_command() {
    let script = run("", &["completions", "bash"]).await;
    assert!(
        script.code == 0 && script.out.contains("deliveries"),
        "{}",
        script.err
    );
    let page = run("", &["man"]).await;
    assert!(page.out.contains(".TH rowhook 1"), "{}", page.out);
    let help = run("", &["hooks", "add", "--help"]).await.out;
    assert!(help.contains("Examples:"), "{help}");
}
