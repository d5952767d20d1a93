//! A backfill sends the rows that a table has already, among the changes that go on meanwhile, and never an older state
//! of a row after a newer one.

use harness::{BOOK_EVENTS, Call, Database, Receiver, Rowhook};
use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    api::{ADMIN, Api, server},
    browser::Browser,
    managing::{ask, refused},
};

/// Changes rows again and again, some of them several at once and in no order, until `stop` is true.
fn write(url: &str, seed: u64, mut stop: tokio::sync::watch::Receiver<bool>) -> JoinHandle<u64> {
    let url = url.to_owned();
    tokio::spawn(async move {
        let client = harness::connect(&url).await;
        let mut random = seed;
        let mut next = move |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut done = 0;
        while !*stop.borrow_and_update() {
            let ids: Vec<String> = (0..=next(4))
                .map(|_| (next(1000) + 1).to_string())
                .collect();
            let sql: String = ids
                .iter()
                .map(|id| format!("update book set price = price + 1 where id = {id};"))
                .collect();
            // Two writers that change the same rows in a different order may deadlock. Nothing follows from that.
            if client
                .batch_execute(&format!("begin; {sql} commit"))
                .await
                .is_err()
            {
                client.batch_execute("rollback").await.unwrap();
            }
            done += 1;
        }
        done
    })
}

fn prices(calls: &[Call]) -> HashMap<i64, Vec<f64>> {
    let mut prices: HashMap<i64, Vec<f64>> = HashMap::new();
    for call in calls {
        let data = call.data();
        let of_row = prices.entry(data["id"].as_i64().unwrap()).or_default();
        of_row.push(data["price"].as_f64().unwrap());
    }
    prices
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_never_sent_older_after_newer_while_writers_change_the_table() {
    let database = Database::bookstore().await;
    database
        .sql("insert into book select n, 7 + n % 2, 1, 'book', 0 from generate_series(1, 1000) n")
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(None, "book.*", &receiver.url()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (1..=3)
        .map(|seed| write(&database.url, seed, stopped.clone()))
        .collect();
    receiver.expect(100).await;
    let ended = ask(
        &config,
        &["backfill", "book.added", &hook, "--rate", "2000"],
    )
    .await;
    stop.send_replace(true);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
    assert_eq!(
        (&ended["state"], &ended["sent"]),
        (&json!("done"), &json!(1000)),
        "{ended}"
    );
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let filled = calls
        .iter()
        .filter(|call| call.event() == "book.added")
        .count();
    assert_eq!(filled, 1000, "each row once");
    let sent = prices(&calls);
    assert_eq!(sent.len(), 1000);
    for (id, prices) in &sent {
        assert!(prices.is_sorted(), "row {id} went back: {prices:?}");
    }
    let rows = database
        .ask("select jsonb_object_agg(id, price)::text from book")
        .await;
    let rows: HashMap<String, f64> = serde_json::from_str(&rows).unwrap();
    for (id, price) in rows {
        let last = sent[&id.parse::<i64>().unwrap()].last();
        assert_eq!(last, Some(&price), "row {id} is as the table has it");
    }
}

#[tokio::test]
async fn a_backfill_that_is_killed_goes_on_where_it_was() {
    let database = Database::bookstore().await;
    database
        .sql("insert into book select n, 7 + n % 2, 1, 'book', n from generate_series(1, 3000) n")
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    // Of Anna's 1500 books, only those that cost more than 1000.
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let args = [
        "backfill",
        "book.added",
        hook.as_str(),
        "--where",
        "price > 1000 -- dear",
        "--rate",
        "400",
    ];
    let killed = harness::Running::start(&config, &args);
    receiver.expect(1).await;
    drop(killed);
    let before: i64 = database
        .ask("select sent from rowhook.backfill")
        .await
        .parse()
        .unwrap();
    assert!(0 < before && before < 2000, "{before}");
    assert!(rowhook.stop().success());
    database
        .sql("update rowhook.backfill set rate = 100000")
        .await;
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let ended = ask(&config, &["backfill", "--resume", "1"]).await;
    assert_eq!(
        (&ended["state"], &ended["sent"]),
        (&json!("done"), &json!(2000))
    );
    database.until_all_has_arrived().await;
    let mut ids: Vec<i64> = receiver
        .calls()
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let expected: Vec<i64> = (1001..=3000).filter(|id| id % 2 == 0).collect();
    assert_eq!(ids, expected, "all of hers, and nobody else's");
    let listed = ask(&config, &["backfill", "--list"]).await;
    assert_eq!(listed[0]["where"], json!("price > 1000 -- dear"));
}

#[tokio::test]
async fn a_row_that_somebody_is_changing_is_waited_for_and_blocks_nobody() {
    let database = Database::bookstore().await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 10) n")
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(None, "book.*", &receiver.url()).await;
    let writer = harness::connect(&database.url).await;
    writer
        .batch_execute("begin; update book set price = 2 where id = 5")
        .await
        .unwrap();
    let filling = tokio::spawn({
        let (config, hook) = (config.clone(), hook.clone());
        async move { ask(&config, &["backfill", "book.added", &hook]).await }
    });
    let calls = receiver.expect(9).await;
    assert!(calls.iter().all(|call| call.data()["id"] != json!(5)));
    // The other rows can be changed meanwhile.
    database
        .sql("update book set price = 3 where id <> 5")
        .await;
    writer.batch_execute("commit").await.unwrap();
    let ended = filling.await.unwrap();
    assert_eq!(ended["sent"], json!(10));
    database.until_all_has_arrived().await;
    let of_five: Vec<Value> = receiver
        .calls()
        .iter()
        .filter(|call| call.data()["id"] == json!(5))
        .map(|call| json!([call.event(), call.data()["price"]]))
        .collect();
    assert_eq!(
        of_five,
        [json!(["book.changed", 2.0]), json!(["book.added", 2.0])]
    );
}

#[tokio::test]
async fn a_table_may_be_called_like_a_place_in_our_queries() {
    let database = Database::new().await;
    database
        .sql(
            r#"create table "{key}" ("{table}" int, "{condition}" text, primary key ("{table}", "{condition}"));
            insert into "{key}" select n, '{after}' from generate_series(1, 5) n"#,
        )
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(
        r#"
[events]
"thing.added" = '"{key}".created'
"#,
    );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(None, "*", &receiver.url()).await;
    let args = [
        "backfill",
        "thing.added",
        &hook,
        "--where",
        // Columns of the key, with no name of a table before them.
        r#""{condition}" = '{after}' and "{table}" > 0"#,
    ];
    assert_eq!(ask(&config, &args).await["sent"], json!(5));
    let mut rows: Vec<Value> = receiver.expect(5).await.iter().map(Call::data).collect();
    rows.sort_by_key(|row| row["{table}"].as_i64());
    assert_eq!(rows[4], json!({"{table}": 5, "{condition}": "{after}"}));
}

#[tokio::test]
async fn what_cannot_be_backfilled_says_why() {
    let database = Database::bookstore().await;
    database.sql("create table note (body text)").await;
    let config = database.config(
        r#"
[events]
"book.added" = "book.created"
"book.removed" = "book.deleted"
"note.added" = "note.created"
"user.logged_in" = "custom"
"#,
    );
    assert_eq!(harness::rowhook(&config, &["setup"]).code, 0);
    let all = database.hook(None, "*", "http://127.0.0.1:1/").await;
    let one = database
        .hook(None, "note.added", "http://127.0.0.1:1/")
        .await;
    for (args, part) in [
        (vec!["book.added", "77"], "there is no hook \"77\""),
        (vec!["book.added", one.as_str()], "does not hear book.added"),
        (
            vec!["nothing", all.as_str()],
            "there is no event \"nothing\"",
        ),
        (vec!["book.removed", all.as_str()], "made of deleted"),
        (vec!["note.added", all.as_str()], "note has no primary key"),
        (
            vec!["user.logged_in", all.as_str()],
            "is not of a table's rows",
        ),
        (
            vec!["book.added", all.as_str(), "--where", "nosuch > 1"],
            "nosuch",
        ),
        (
            vec!["book.added", all.as_str(), "--since", "1h"],
            "track_commit_timestamp",
        ),
    ] {
        let error = refused(&config, &[&["backfill"], &args[..]].concat()).await;
        assert!(error.contains(part), "{args:?}: {error}");
    }
    assert_eq!(
        database.ask("select count(*) from rowhook.backfill").await,
        "0"
    );
}

#[tokio::test]
async fn backfills_are_found_by_state_event_table_hook_owner_and_time() {
    let database = Database::bookstore().await;
    let events = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated"
"shelf.added" = "shelf.created"
"#;
    let config = database.config(&format!("{events}\n{}", server("")));
    let api = Api::start(&config).await;
    let hers = database.hook(Some("7"), "*", "http://127.0.0.1:1/").await;
    let all = database.hook(None, "*", "http://127.0.0.1:1/").await;
    for (event, hook, state, age) in [
        ("book.added", &hers, "done", "3 hours"),
        ("book.changed", &all, "cancelled", "2 hours"),
        ("shelf.added", &all, "done", "1 hour"),
        ("shelf.added", &hers, "cancelled", "0"),
    ] {
        database
            .sql(&format!(
                "insert into rowhook.backfill (event, hook, rate, state, created_at)
                 values ('{event}', '{hook}', 1, '{state}', now() - interval '{age}')"
            ))
            .await;
    }
    for (query, expected) in [
        ("", "4 3 2 1"),
        ("state=done", "3 1"),
        ("event=shelf.added", "4 3"),
        ("table=book", "2 1"),
        ("table=public.shelf", "4 3"),
        ("table=none", ""),
        ("hook=2", "3 2"),
        ("owner=7", "4 1"),
        ("owner=8", ""),
        ("since=90m", "4 3"),
        ("until=90m", "2 1"),
        ("owner=7&state=done&until=1m", "1"),
    ] {
        let answer = api.get(&format!("/api/backfills?{query}"), ADMIN).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let ids = |listed: &Value| {
            let listed = listed.as_array().unwrap().iter();
            let ids: Vec<String> = listed.map(|one| one["id"].to_string()).collect();
            ids.join(" ")
        };
        assert_eq!(ids(&answer.json()), expected, "{query}");
        // The command line has the same words.
        let mut args = vec!["backfill".to_owned(), "--list".to_owned()];
        for (name, text) in query.split('&').filter_map(|one| one.split_once('=')) {
            args.extend([format!("--{name}"), text.to_owned()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(ids(&ask(&config, &args).await), expected, "{args:?}");
    }
    for (query, status) in [
        ("state=over", 400),
        ("since=never", 400),
        ("table=a.b.c", 422),
    ] {
        let answer = api.get(&format!("/api/backfills?{query}"), ADMIN).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }

    let browser = Browser::start().await;
    browser.open(&format!("{}/backfills", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.click("//nav/a[.='Backfills']").await;
    browser.see("//tbody[count(tr) = 4]").await;
    browser
        .click("//form[@class='filters']//select[@name='state']/option[.='cancelled']")
        .await;
    browser
        .click("//form[@class='filters']//select[@name='table']/option[.='book']")
        .await;
    browser.click("//button[.='Show']").await;
    browser.see("//tbody[count(tr) = 1]/tr[td[1]='2']").await;
    browser.fill("//input[@name='owner']", "8").await;
    browser.click("//button[.='Show']").await;
    browser.see("//p[.='No backfill is like that.']").await;
    browser.click("//a[.='Show all']").await;
    browser.see("//tbody[count(tr) = 4]").await;
    // From a hook, the form that starts one is filled, and the list shows all.
    browser.open(&format!("{}/hooks/{hers}", api.base)).await;
    browser.click("//a[.='Send existing rows']").await;
    browser.see("//tbody[count(tr) = 4]").await;
    let hook = "return document.getElementById('hook').value";
    assert_eq!(browser.script(hook).await, json!(hers));
}
