//! Rows of the hook table that say how they are sent, as hooks of hooks.toml do.

use harness::{
    BOOK_EVENTS, BOOKSTORE, Call, Cluster, Database, Gate, Receiver, Rowhook, SECRET, connect,
    rowhook, shared_cluster,
};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, server};

/// The bookstore, where the stream says of a book that is removed whose it was.
async fn bookstore() -> Database {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    database
}

fn book(id: i32) -> String {
    format!("insert into book values ({id}, 7, 1, 'book', 1);")
}

/// Adds a hook of owner 7 on new books, with these columns and values, and returns its id.
async fn add(database: &Database, target: &str, columns: &str, values: &str) -> String {
    database
        .ask(&format!(
            "insert into rowhook.hook (owner, event, target, {columns}) values ('7', 'book.added', '{target}', {values})
             returning id"
        ))
        .await
}

fn of_path<'a>(calls: &'a [Call], name: &str) -> Vec<&'a Call> {
    let calls = calls.iter();
    calls
        .filter(|call| call.path == format!("/hook/{name}"))
        .collect()
}

#[tokio::test]
async fn each_setting_of_a_row_is_on_the_wire() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let url = receiver.url();
    for (name, columns, values) in [
        ("plain", "filter", "null"),
        ("method", "method", "'PUT'"),
        ("bearer", "auth", r#"'{"bearer": "t0ken ${HOME}"}'"#),
        ("basic", "auth", r#"'{"user": "anna", "password": "pass"}'"#),
        ("small", "max_body", "'40B'"),
        (
            "signed",
            "secret, signature",
            r#"'key', '{"header": "X-Sig", "algorithm": "sha512", "prefix": "sha512="}'"#,
        ),
        ("batch", "batch", r#"'{"max": 2, "wait": "10s"}'"#),
        ("many", "events", "'{book.*,book.removed}'"),
    ] {
        add(&database, &format!("{url}/{name}"), columns, values).await;
    }
    database
        .sql(&format!("{} {} delete from book", book(1), book(2)))
        .await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let only = |name: &str| of_path(&calls, name)[0].clone();
    assert_eq!(
        (of_path(&calls, "plain").len(), &*only("plain").method),
        (2, "POST")
    );
    assert_eq!(only("plain").header("authorization"), "");
    assert_eq!(only("method").method, "PUT");
    // A row knows nothing of the environment.
    assert_eq!(
        only("bearer").header("authorization"),
        "Bearer t0ken ${HOME}"
    );
    assert_eq!(only("basic").header("authorization"), "Basic YW5uYTpwYXNz");
    let small = only("small").json();
    assert!(small["data"].get("title").is_none(), "{small}");
    assert!(
        small.to_string().contains("title"),
        "what is left out is named: {small}"
    );
    assert!(only("signed").header("x-sig").starts_with("sha512="));
    let batch = of_path(&calls, "batch");
    assert_eq!(batch.len(), 1, "both in one request");
    assert_eq!(batch[0].json().as_array().unwrap().len(), 2);
    let mut events: Vec<String> = of_path(&calls, "many")
        .iter()
        .map(|call| call.event())
        .collect();
    events.sort();
    let [added, removed] = ["book.added", "book.removed"].map(str::to_owned);
    assert_eq!(
        events,
        [added.clone(), added, removed.clone(), removed],
        "each once"
    );
}

#[tokio::test]
async fn a_time_out_retries_and_the_end_of_a_hook_are_those_of_its_row() {
    let database = bookstore().await;
    let gate = Gate::closed().await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let slow = add(
        &database,
        &gate.url(),
        "timeout, retries",
        "'200ms', 'false'",
    )
    .await;
    let twice = add(
        &database,
        &receiver.url(),
        "retries",
        r#"'{"max_tries": 2, "first": "10ms"}'"#,
    )
    .await;
    let ended = add(&database, &receiver.url(), "disable_after", "'3'").await;
    database.sql(&book(1)).await;
    let dead = format!(
        "select count(*) = 1 from rowhook.delivery where hook = '{slow}' and state = 'dead' and reason like '%200ms%'"
    );
    database.until("one attempt, of this time-out", &dead).await;
    let dead = format!(
        "select count(*) = 1 from rowhook.delivery where hook = '{twice}' and state = 'dead' and attempts = 2"
    );
    database.until("two attempts", &dead).await;
    let disabled = format!("select not active from rowhook.hook where id = {ended}");
    database
        .until("disabled after three failures", &disabled)
        .await;
    let disabled = "select count(*) from rowhook.hook where not active";
    assert_eq!(database.ask(disabled).await, "1");
}

/// In what order rows and events have arrived, without those that were refused.
fn arrived(calls: &[Call]) -> Vec<String> {
    let calls = calls.iter().filter(|call| call.status == 200);
    calls
        .map(|call| format!("{} {}", call.event(), call.data()["id"]))
        .collect()
}

#[tokio::test]
async fn a_hook_has_the_order_of_its_row_and_that_of_each_row_stays_when_it_changes() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    let is_first = |call: &Call| call.data()["id"] == json!(1);
    receiver.answer(move |call, _| if is_first(call) { 500 } else { 200 });
    let hook = database
        .ask(&format!(
            "insert into rowhook.hook (owner, events, target, retries, disable_after)
             values ('7', '{{book.*}}', '{}', '[\"100ms\", \"30d\"]', '30d') returning id",
            receiver.url()
        ))
        .await;
    // Another book does not wait for the first.
    database.sql(&format!("{} {}", book(1), book(2))).await;
    receiver
        .until("the second book", |calls| !arrived(calls).is_empty())
        .await;
    let parked =
        "select count(*) = 1 from rowhook.delivery where state = 'parked' and attempts > 0";
    database.until("the first is parked", parked).await;
    // From here on everything waits for what is before it, and the first book's events for what was parked of it.
    database
        .sql(&format!(
            "update rowhook.hook set \"order\" = 'hook' where id = {hook};
             update book set price = 2 where id = 1; update book set price = 3 where id = 2;"
        ))
        .await;
    database.until_all_is_confirmed().await;
    assert_eq!(arrived(&receiver.calls()), ["book.added 2"]);
    assert!(rowhook.stop().success());
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    // And back: what waits of a row is still before what comes.
    database
        .sql(&format!(
            "update rowhook.hook set \"order\" = null where id = {hook};
             update book set price = 4 where id = 1; delete from book where id = 2; {}",
            book(3)
        ))
        .await;
    receiver
        .until("a third book waits for nobody", |calls| {
            arrived(calls).contains(&"book.added 3".to_owned())
        })
        .await;
    assert_eq!(arrived(&receiver.calls()), ["book.added 2", "book.added 3"]);
    receiver.answer(|_, _| 200);
    database
        .sql("update rowhook.delivery set next_attempt = now() where next_attempt is not null")
        .await;
    database.until_all_has_arrived().await;
    let of_book = |id: i32| -> Vec<String> {
        let calls = arrived(&receiver.calls()).into_iter();
        calls
            .filter(|call| call.ends_with(&format!(" {id}")))
            .collect()
    };
    assert_eq!(
        of_book(1),
        ["book.added 1", "book.changed 1", "book.changed 1"]
    );
    assert_eq!(
        of_book(2),
        ["book.added 2", "book.changed 2", "book.removed 2"]
    );
    let calls = receiver.calls();
    let prices: Vec<Value> = calls
        .iter()
        .filter(|call| call.status == 200 && call.event() == "book.changed" && is_first(call))
        .map(|call| call.data()["price"].clone())
        .collect();
    assert_eq!(prices, [json!(2.0), json!(4.0)]);
}

#[tokio::test]
async fn a_setting_is_in_force_from_its_commit_on_also_where_rowhook_was_away() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let mut running: Option<Rowhook> = Some(database.rowhook(BOOK_EVENTS).await);
    let hook = add(&database, &receiver.url(), "method", "'PUT'").await;
    let set = |columns: &str| format!("update rowhook.hook set {columns} where id = {hook};");
    let changes = |first: i32| {
        format!(
            "begin; {} {} {} commit; {} {} {} {}",
            book(first),
            set("method = null, events = '{book.removed}'"),
            book(first + 1),
            format_args!("delete from book where id = {};", first + 1),
            set("method = 'PATCH', events = null, auth = '{\"bearer\": \"later\"}'"),
            book(first + 2),
            set("method = 'PUT', auth = null"),
        )
    };
    for round in 0..3 {
        let first = round * 10;
        if round > 0 {
            database.until_all_is_confirmed().await;
            let rowhook = running.take().unwrap();
            match round {
                1 => assert!(rowhook.stop().success()),
                _ => rowhook.kill(),
            }
        }
        database.sql(&changes(first)).await;
        if running.is_none() {
            running = Some(database.rowhook(BOOK_EVENTS).await);
        }
        database.until_all_has_arrived().await;
        let calls = receiver.calls();
        let of_round: Vec<String> = calls
            .iter()
            .filter(|call| call.data()["id"].as_i64().unwrap() / 10 == i64::from(round))
            .map(|call| {
                let credentials = call.header("authorization");
                format!(
                    "{} {} {}{credentials}",
                    call.event(),
                    call.method,
                    call.data()["id"]
                )
            })
            .collect();
        let mut sorted = of_round.clone();
        sorted.sort();
        let expected = [
            format!("book.added PATCH {}Bearer later", first + 2),
            format!("book.added POST {}", first + 1),
            format!("book.added PUT {first}"),
            format!("book.removed POST {}", first + 1),
        ];
        assert_eq!(sorted, expected, "round {round}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_stops_its_own_hook_alone_and_says_why_until_it_is_mended() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let url = receiver.url();
    let with_credentials = url.replace("://", "://anna:pass@");
    add(&database, &format!("{url}/good"), "timeout", "'5s'").await;
    let mut bad = Vec::new();
    for (target, columns, values, reason) in [
        (&url, "timeout", "'0s'", "its timeout is zero"),
        (
            &url,
            "timeout",
            "'2m'",
            "its timeout is 120s, and may be 60s here; lower it, or raise timeout in [limits]",
        ),
        (
            &url,
            "retries",
            "'\"soon\"'",
            "its retries: \"soon\" is not a duration",
        ),
        (&url, "concurrency", "0", "its concurrency is 0"),
        (
            &url,
            "concurrency",
            "65",
            "its concurrency is 65, and may be 64 here",
        ),
        (&url, "batch", "'{\"max\": 500}'", "its batch.max is 500"),
        (
            &url,
            "batch",
            "'{\"wait\": \"30s\"}'",
            "its batch.wait is 30s, and may be 10s here",
        ),
        (
            &url,
            "max_body",
            "'1GB'",
            "its max_body is 1000000000 bytes",
        ),
        (
            &url,
            "disable_after",
            "'never'",
            "its disable_after: \"never\" is not a duration",
        ),
        (&url, "auth", "'\"marker\"'", "its auth is a string"),
        (
            &url,
            "auth",
            "'{\"bearer\": \"marker\", \"user\": \"x\"}'",
            "its auth is none of the three",
        ),
        (
            &url,
            "auth",
            "'{\"oauth2\": {\"token_url\": \"http://169.254.169.254/\", \"client_id\": \"a\", \"client_secret\": \"marker\"}}'",
            "its auth.oauth2.token_url",
        ),
        (
            &with_credentials,
            "auth",
            "'{\"bearer\": \"marker\"}'",
            "its auth stands beside the credentials",
        ),
    ] {
        let id = add(&database, &format!("{target}/bad"), columns, values).await;
        bad.push((id, columns, reason));
    }
    for (id, _, reason) in &bad {
        let invalid = format!("select invalid is not null from rowhook.hook where id = {id}");
        database.until(reason, &invalid).await;
        let told = database
            .ask(&format!("select invalid from rowhook.hook where id = {id}"))
            .await;
        assert!(
            told.starts_with(reason) && !told.contains("marker"),
            "{told}"
        );
    }
    database.sql(&book(1)).await;
    database.until_all_is_confirmed().await;
    assert_eq!(of_path(&receiver.calls(), "good").len(), 1);
    assert_eq!(receiver.calls().len(), 1);
    for (id, columns, _) in &bad {
        database
            .sql(&format!(
                "update rowhook.hook set {columns} = null where id = {id}"
            ))
            .await;
    }
    database.sql(&book(2)).await;
    database.until_all_has_arrived().await;
    assert_eq!(of_path(&receiver.calls(), "bad").len(), bad.len());
    let invalid = "select count(*) = 0 from rowhook.hook where invalid is not null";
    database.until("none is invalid any more", invalid).await;
    // What is beyond the limits of users is not beyond those of the operator.
    database
        .sql(&format!(
            "insert into rowhook.hook (event, target, timeout, concurrency, max_body)
             values ('book.added', '{url}/operator', '5m', 500, '1GB')"
        ))
        .await;
    database.sql(&book(3)).await;
    database.until_all_has_arrived().await;
    assert_eq!(of_path(&receiver.calls(), "operator").len(), 1);
}

#[tokio::test]
async fn a_row_names_at_least_one_event_and_none_that_there_is_not() {
    let database = bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let client = connect(&database.url).await;
    for (event, events, reason) in [
        ("null", "null", "a_hook_names_an_event"),
        ("null", "'{}'", "a_hook_names_an_event"),
        (
            "'book.added'",
            "'{book.aded}'",
            "there is no event book.aded",
        ),
        ("null", "'{book.*,pet.*}'", "there is no event pet.*"),
    ] {
        let sql = format!(
            "insert into rowhook.hook (event, events, target) values ({event}, {events}, 'http://127.0.0.1:1/')"
        );
        let refused = client.batch_execute(&sql).await.unwrap_err();
        let told = refused.as_db_error().unwrap().message().to_owned();
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test]
async fn owners_choose_what_limits_leaves_to_them() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let limits = "[limits]\nowner_settings = [\"timeout\", \"method\", \"batch\"]\ntimeout = \"20s\"\nevents = 2\n";
    let config = database.config(&format!("{BOOK_EVENTS}\n{limits}\n{}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let with = |key: &str, value: Value| {
        let mut hook = json!({"event": "book.added", "target": receiver.url()});
        hook[key] = value;
        hook
    };
    for (key, value, status, told) in [
        ("order", json!("none"), 403, "order is not yours to set"),
        (
            "auth",
            json!({"bearer": "marker"}),
            403,
            "auth is not yours to set",
        ),
        (
            "timeout",
            json!("30s"),
            422,
            "its timeout is 30s, and may be 20s here",
        ),
        (
            "timeout",
            json!("soon"),
            422,
            "its timeout: \"soon\" is not a duration",
        ),
        (
            "batch",
            json!({"max": 10, "wait": "20s"}),
            422,
            "its batch.wait is 20s, and may be 10s here",
        ),
        (
            "events",
            json!(["book.changed", "book.removed"]),
            422,
            "it names 3 events, and may name 2 here",
        ),
        ("events", json!([7]), 400, "a list of events"),
    ] {
        let refused = api.post("/api/hooks", &anna, with(key, value)).await;
        assert_eq!(refused.status, status, "{key}: {}", refused.text);
        assert!(
            refused.text.replace("\\\"", "\"").contains(told) && !refused.text.contains("marker"),
            "{}",
            refused.text
        );
    }
    let mut hook = with("timeout", json!("10s"));
    hook["events"] = json!(["book.removed"]);
    hook["method"] = json!("PUT");
    hook["batch"] = json!({"max": 10, "wait": "10ms"});
    let made = api.post("/api/hooks", &anna, hook.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/hooks/{id}");
    let set = |change: Value| (reqwest::Method::PATCH, change);
    let ask = async |token: &str, (method, body): (reqwest::Method, Value)| {
        let answer = api.ask(method, &path, token, Some(&body)).await;
        (answer.status, answer.json())
    };
    // What the operator has chosen for them, they cannot take away, not even by replacing the hook.
    let (status, shown) = ask(
        ADMIN,
        set(json!({"order": "none", "retries": ["1s"], "disable_after": 50})),
    )
    .await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(ask(&anna, set(json!({"order": null}))).await.0, 403);
    assert_eq!(
        ask(&anna, set(json!({"timeout": null, "events": null})))
            .await
            .0,
        200
    );
    let (status, shown) = ask(&anna, (reqwest::Method::PUT, hook)).await;
    assert_eq!(status, 200, "{shown}");
    let expected = json!({
        "event": "book.added, book.removed",
        "events": ["book.added", "book.removed"],
        "method": "PUT",
        "timeout": "10s",
        "retries": ["1s"],
        "order": "none",
        "disable_after": 50,
        "concurrency": null,
        "auth": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(shown[key], *value, "{key}");
    }
    // They are found by each of their events.
    let found = api.get("/api/hooks?event=book.removed", &anna).await.json();
    assert_eq!(found["data"][0]["id"], json!(id));
    assert_eq!(
        api.get("/api/hooks?event=book.changed", &anna).await.json()["data"],
        json!([])
    );
    database.sql(&book(1)).await;
    assert_eq!(receiver.expect(1).await[0].method, "PUT");
    // By SQL the application chooses everything.
    database
        .sql(&format!(
            "update rowhook.hook set auth = '{{\"bearer\": \"theirs\"}}' where id = {id}"
        ))
        .await;
    database.sql(&book(2)).await;
    assert_eq!(
        receiver.expect(2).await[1].header("authorization"),
        "Bearer theirs"
    );
    let shown = api.get(&path, &anna).await;
    assert_eq!(shown.json()["auth"], json!("bearer"));
    assert!(!shown.text.contains("theirs"), "{}", shown.text);
}

#[tokio::test]
async fn the_command_line_makes_changes_and_shows_all_of_it() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let config = database.config(BOOK_EVENTS);
    let made = rowhook(
        &config,
        &[
            "hooks",
            "add",
            "book.added",
            &receiver.url(),
            "--event",
            "book.removed",
            "--method",
            "PATCH",
            "--auth",
            r#"{"bearer": "marker"}"#,
            "--timeout",
            "5s",
            "--retries",
            "false",
            "--order",
            "none",
            "--concurrency",
            "3",
            "--batch",
            r#"{"max": 5, "wait": "10ms"}"#,
            "--max-body",
            "1MiB",
            "--disable-after",
            "7d",
            "--json",
        ],
    );
    assert_eq!(made.code, 0, "{made:?}");
    let shown: Value = serde_json::from_str(&made.out).unwrap();
    let id = shown["id"].as_str().unwrap();
    assert_eq!(shown["retries"], json!(false));
    assert_eq!(shown["concurrency"], json!(3));
    database.sql(&book(1)).await;
    let call = receiver.expect(1).await.remove(0);
    assert_eq!(
        (&*call.method, call.header("authorization")),
        ("PATCH", "Bearer marker")
    );
    let changed = rowhook(
        &config,
        &[
            "hooks",
            "set",
            id,
            "--event",
            "book.removed",
            "--clear",
            "method",
            "--clear",
            "auth",
            "--batch",
            "false",
            "--timeout",
            "7s",
        ],
    );
    assert_eq!(changed.code, 0, "{changed:?}");
    let text = rowhook(&config, &["hooks", "show", id]).out;
    for line in [
        "event",
        "timeout",
        "retries",
        "order",
        "concurrency",
        "batch",
        "max body",
        "disable after",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        text.contains("7s") && !text.contains("marker") && !text.contains("PATCH"),
        "{text}"
    );
    database
        .sql(&format!("{} delete from book where id = 1", book(2)))
        .await;
    let call = receiver.expect(2).await.remove(1);
    assert_eq!((&*call.event(), &*call.method), ("book.removed", "POST"));
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 2);
    let refused = rowhook(&config, &["hooks", "set", id, "--clear", "tiemout"]);
    assert!(
        refused.code == 1 && refused.err.contains("is no setting; write one of method"),
        "{refused:?}"
    );
    // What was done is on record, without the credentials.
    let record = "select string_agg(coalesce(before, '{}')::text || coalesce(after, '{}')::text, ' ' order by id)
                  from rowhook.audit where what like 'hook.%'";
    let record = database.ask(record).await;
    assert!(
        record.contains("\"timeout\": \"7s\"") && record.contains("\"auth\": \"set\""),
        "{record}"
    );
    assert!(!record.contains("marker"), "{record}");
}

/// A table of the application, with columns of whatever types it likes.
const WEBHOOK: &str = "
    create table webhook (
        id bigint generated by default as identity primary key,
        owner text,
        topics jsonb,
        target text not null,
        verb varchar(10),
        credentials text,
        patience text,
        attempts text,
        lined_up text,
        at_once text,
        gathered json,
        largest text,
        gives_up_after integer
    );
    alter table webhook replica identity full;
";

const WEBHOOK_TABLE: &str = r#"
[hook_table]
table = "webhook"
owner = "owner"
events = "topics"
method = "verb"
auth = "credentials"
timeout = "patience"
retries = "attempts"
order = "lined_up"
concurrency = "at_once"
batch = "gathered"
max_body = "largest"
disable_after = "gives_up_after"
"#;

#[tokio::test]
async fn a_table_of_the_application_says_it_in_columns_of_its_own() {
    let database = bookstore().await;
    database.sql(WEBHOOK).await;
    let receiver = Receiver::start().await;
    let config = format!("{BOOK_EVENTS}\n{WEBHOOK_TABLE}\n{}", server(""));
    let api = Api::start(&database.config(&config)).await;
    database
        .sql(&format!(
            "insert into webhook (owner, topics, target, verb, credentials, patience, attempts, lined_up, at_once, gathered,
                 largest, gives_up_after)
             values ('7', '[\"book.added\", \"book.removed\"]', '{url}/all', 'PUT', '{{\"bearer\": \"t\"}}', '5s',
                 '[\"1s\"]', 'none', '2', '{{\"max\": 3, \"wait\": \"10ms\"}}', '1MiB', 100);
             insert into webhook (owner, topics, target, patience) values ('7', '[\"book.added\"]', '{url}/bad', 'ever');
             insert into webhook (owner, topics, target) values ('7', '\"book.added\"', '{url}/plain')",
            url = receiver.url()
        ))
        .await;
    database.sql(&format!("{} delete from book", book(1))).await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let all = of_path(&calls, "all");
    assert_eq!(
        (&*all[0].method, all[0].header("authorization")),
        ("PUT", "Bearer t")
    );
    let bodies = all.iter().map(|call| call.json().as_array().unwrap().len());
    assert_eq!(bodies.sum::<usize>(), 2);
    assert_eq!(
        (of_path(&calls, "plain").len(), of_path(&calls, "bad").len()),
        (1, 0)
    );
    let noted = "select reason from rowhook.invalid_hook";
    database
        .until("the bad one says so", &format!("select exists ({noted})"))
        .await;
    assert!(
        database
            .ask(noted)
            .await
            .starts_with("its timeout: \"ever\"")
    );
    // The API writes to the same columns.
    let new = json!({
        "owner": "7", "event": "book.added", "events": ["book.changed"], "target": format!("{}/api", receiver.url()),
        "auth": {"user": "anna", "password": "pass"}, "retries": false, "concurrency": 4, "disable_after": 9,
    });
    let made = api.post("/api/hooks", ADMIN, new).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["events"], json!(["book.added", "book.changed"]));
    assert_eq!(made.json()["auth"], json!("basic"));
    let shown = (
        made.json()["retries"].clone(),
        made.json()["disable_after"].clone(),
    );
    assert_eq!(shown, (json!(false), json!(9)));
    database
        .sql(&format!("{} update book set price = 2", book(2)))
        .await;
    let to_api = |calls: &[Call]| of_path(calls, "api").len() == 2;
    let calls = receiver.until("both events", to_api).await;
    assert_eq!(
        of_path(&calls, "api")[0].header("authorization"),
        "Basic YW5uYTpwYXNz"
    );
}

#[tokio::test]
async fn credentials_of_a_row_are_sealed_and_used() {
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let keys = [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
    ];
    let with = |secrets: &str| format!("{BOOK_EVENTS}\n[secrets]\n{secrets}\n{}", server(""));
    let config = database.config(&with(&format!("key = \"{}\"", keys[0])));
    let api = Api::start(&config).await;
    let by_sql = add(
        &database,
        &format!("{}/sql", receiver.url()),
        "auth",
        "'{\"bearer\": \"sql-marker\"}'",
    )
    .await;
    let new = json!({
        "owner": "7", "event": "book.added", "target": format!("{}/api", receiver.url()),
        "auth": {"user": "anna", "password": "api-marker"},
    });
    let made = api.post("/api/hooks", ADMIN, new).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let sealed = "select bool_and(auth::text like '%rowhook-sealed.1.%') from rowhook.hook";
    database.until("both are sealed", sealed).await;
    let plain = "select count(*) from rowhook.hook as hook where hook::text like '%marker%'";
    assert_eq!(database.ask(plain).await, "0");
    database.sql(&book(1)).await;
    let calls = receiver.expect(2).await;
    assert_eq!(
        of_path(&calls, "sql")[0].header("authorization"),
        "Bearer sql-marker"
    );
    assert_eq!(
        of_path(&calls, "api")[0].header("authorization"),
        "Basic YW5uYTphcGktbWFya2Vy"
    );
    // Sealing is no change of the hook.
    let touched = format!("select updated_at = created_at from rowhook.hook where id = {by_sql}");
    assert_eq!(database.ask(&touched).await, "t");
    let both = format!("key = \"{}\"\nprevious = [\"{}\"]", keys[1], keys[0]);
    let before = database
        .ask("select string_agg(auth::text, ' ' order by id) from rowhook.hook")
        .await;
    let rotated = rowhook(&database.config(&with(&both)), &["secrets", "rotate"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let after = database
        .ask("select string_agg(auth::text, ' ' order by id) from rowhook.hook")
        .await;
    assert_ne!(before, after);
    drop(api);
    let _rowhook = database
        .rowhook(&with(&format!("key = \"{}\"", keys[1])))
        .await;
    database.sql(&book(2)).await;
    let calls = receiver.expect(4).await;
    assert_eq!(
        of_path(&calls, "sql")[1].header("authorization"),
        "Bearer sql-marker"
    );
}

/// Its credentials cannot be opened while it hears of a row, and can be a moment later.
#[tokio::test]
async fn nothing_is_sent_without_the_credentials_that_a_hook_waits_for() {
    const LOCKED: &str = r#"'{"bearer": "rowhook-sealed.1.0badc0de.AAAA"}'"#;
    const OPEN: &str = r#"'{"bearer": "t0ken"}'"#;
    let database = bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = add(&database, &receiver.url(), "auth", OPEN).await;
    let change = |auth: &str| format!("update rowhook.hook set auth = {auth} where id = {hook};");
    for number in 1..=50 {
        let (lock, open) = (change(LOCKED), change(OPEN));
        let sql = format!("begin; {lock} {}; {open} commit", book(number));
        database.sql(&sql).await;
    }
    let calls = receiver.expect(50).await;
    for call in calls {
        assert_eq!(call.header("authorization"), "Bearer t0ken");
    }
}

/// Makes rowhook's tables as they were before rows had settings.
async fn earlier_tables(database: &Database) {
    let mut sql = "create schema rowhook; set search_path to rowhook, pg_temp;".to_owned();
    sql.push_str("comment on schema rowhook is 'rowhook''s own tables; made by rowhook setup';");
    let migrations = rowhook::setup::migration::MIGRATIONS.iter();
    for migration in migrations.filter(|migration| migration.version < 44) {
        sql.push_str(&migration.sql.replace("{schema}", "\"rowhook\""));
        sql.push_str(&format!(
            "\ninsert into migration (version, name) values ({}, '{}');\n",
            migration.version, migration.name
        ));
    }
    sql.push_str("reset search_path;");
    connect(&database.url)
        .await
        .batch_execute(&sql)
        .await
        .unwrap();
}

#[tokio::test]
async fn hooks_that_were_there_before_stay_what_they_were_and_their_table_is_not_written_anew() {
    let cluster: &Cluster = shared_cluster();
    let database = Database::on(cluster).await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::start().await;
    earlier_tables(&database).await;
    database
        .sql(&format!(
            "insert into rowhook.event (name, source, all_owners)
                 values ('book.added', 'book.created', false) on conflict do nothing;
             insert into rowhook.hook (owner, event, target, secret)
                 select (n % 100)::text, 'book.added', '{url}', '{SECRET}' from generate_series(1, 1000) n",
            url = receiver.url()
        ))
        .await;
    let file = "select pg_relation_filenode('rowhook.hook')";
    let before = database.ask(file).await;
    let rows =
        "select md5(string_agg(xmin::text || ctid::text, ' ' order by id)) from rowhook.hook";
    let written = database.ask(rows).await;
    // A session of the application that has changed a hook, and has not committed yet.
    let mut application = connect(&database.url).await;
    let open = application.transaction().await.unwrap();
    open.batch_execute("update rowhook.hook set description = 'busy' where id = 1")
        .await
        .unwrap();
    let config = database.config(BOOK_EVENTS);
    let setup = tokio::task::spawn_blocking(move || rowhook(&config, &["setup"]));
    let tried = "select count(*) > 0 from pg_stat_activity
                 where application_name like 'rowhook setup%' and wait_event_type = 'Lock'";
    database.until("setup waits for the table", tried).await;
    // Setup gives way again and again, so that others get at the table meanwhile.
    for _ in 0..3 {
        database.sql("insert into rowhook.hook (owner, event, target) values ('x', 'book.added', 'http://127.0.0.1:1/')").await;
    }
    open.rollback().await.unwrap();
    let ended = setup.await.unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        database.ask(file).await,
        before,
        "the table has not been written anew"
    );
    let same = format!("{rows} where id <= 1000");
    assert_eq!(
        database.ask(&same).await,
        written,
        "no row has been written"
    );
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.sql(&book(1)).await;
    let calls = receiver.expect(10).await;
    assert!(calls.iter().all(|call| call.method == "POST"));
    calls.iter().for_each(Call::verify);
}
