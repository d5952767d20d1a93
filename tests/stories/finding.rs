//! Finding deliveries, hearing why they wait, and sending many of them again.

use std::collections::{BTreeMap, BTreeSet};

use harness::{BOOK_EVENTS, Call, DEADLINE, Database, Receiver, until_within};
use serde_json::{Value, json};

use crate::{
    api::{ADMIN, Api, server},
    managing::{ask, refused},
};

/// A bookstore with these pauses between attempts, and what else stands under `[delivery]`.
async fn bookstore(retries: &str) -> (Database, String, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let (before, rest) = config.split_once("retries = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let config = format!("{before}retries = {retries}\n{after}");
    let api = Api::start(&config).await;
    (database, config, api)
}

/// What is listed at this address, in order, as `event state`.
async fn listed(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/api/deliveries?{query}"), ADMIN).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    told(&answer.json()["data"])
}

fn told(deliveries: &Value) -> Vec<String> {
    let all = deliveries.as_array().unwrap().iter();
    all.map(|one| {
        format!(
            "{} {}",
            one["event"].as_str().unwrap(),
            one["state"].as_str().unwrap()
        )
    })
    .collect()
}

#[tokio::test]
async fn deliveries_are_found_by_hook_event_state_time_row_and_id() {
    let (database, config, api) = bookstore("false").await;
    let receiver = Receiver::answering(|call, _| match call.event().as_str() {
        "book.removed" => 500,
        _ => 200,
    })
    .await;
    let hook = database.hook(None, "book.*", &receiver.url()).await;
    let other = database.hook(None, "book.added", &receiver.url()).await;
    database
        .sql(
            "alter table book replica identity full;
             insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9);
             update book set price = 8 where id = 1;
             update book set id = 3 where id = 1;
             delete from book where id = 3",
        )
        .await;
    receiver.expect(7).await;
    let all = "select (select count(*) from rowhook.attempt) = 7 and (select count(*) from rowhook.delivery) = 1";
    database.until("all is on record", all).await;

    let of_one = listed(&api, &format!("hook={other}")).await;
    assert_eq!(of_one, ["book.added delivered"; 2]);
    let removed = listed(&api, "event=book.removed").await;
    assert_eq!(removed, ["book.removed dead"]);
    assert_eq!(listed(&api, "state=dead").await, removed);
    let sorted = async |query: &str| {
        let mut all = listed(&api, query).await;
        all.sort();
        all
    };
    let of_first = [
        "book.added delivered",
        "book.added delivered",
        "book.changed delivered",
        "book.changed delivered",
    ];
    assert_eq!(sorted("table=book&key=1").await, of_first);
    assert_eq!(
        sorted("table=public.book&key=%7B%22id%22%3A3%7D").await,
        ["book.changed delivered", "book.removed dead"],
        "the row has another key now"
    );
    assert_eq!(sorted("table=book&key=99").await, [""; 0]);
    let of_hook = format!("/api/hooks/{hook}/deliveries?table=book&key=2");
    let of_hook = api.get(&of_hook, ADMIN).await.json();
    assert_eq!(told(&of_hook["data"]), ["book.added delivered"]);
    assert_eq!(listed(&api, "since=1h").await.len(), 7);
    assert_eq!(listed(&api, "until=1h").await.len(), 0);
    let now = database.ask("select to_char(clock_timestamp() at time zone 'UTC' + '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')").await;
    assert_eq!(listed(&api, &format!("since={now}")).await.len(), 0);
    assert_eq!(listed(&api, &format!("until={now}")).await.len(), 7);
    let id = database.ask("select id from rowhook.delivery").await;
    assert_eq!(listed(&api, &format!("id={id}")).await, removed);
    assert_eq!(listed(&api, "id=msg_none").await, [""; 0]);

    for (query, status, detail) in [
        ("table=book", 400, "a row is named by table and key"),
        ("table=shelf&key=1", 422, "no event is of the table"),
        ("table=book&key=%7B%22x%22%3A1%7D", 422, "no key of book"),
        ("since=yesterday", 400, "since is no time"),
    ] {
        let answer = api.get(&format!("/api/deliveries?{query}"), ADMIN).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{query}: {told}");
    }

    // The command line has the same words.
    let list = ["deliveries", "list", "--table", "book", "--key", "3"];
    let mut found = told(&ask(&config, &list).await);
    found.sort();
    assert_eq!(found, ["book.changed delivered", "book.removed dead"]);
    let list = ["deliveries", "list", "--since", "1h", "--state", "dead"];
    assert_eq!(told(&ask(&config, &list).await), removed);
    let list = ["deliveries", "list", "--table", "shelf", "--key", "1"];
    let message = refused(&config, &list).await;
    assert!(message.contains("those with events are book"), "{message}");
}

#[tokio::test]
async fn the_pages_of_a_list_have_each_delivery_once_while_others_come_and_few_are_looked_at() {
    let (database, _, api) = bookstore("false").await;
    // Much history, in which one in a hundred is of another event, and one is alone.
    database
        .sql(
            "insert into rowhook.attempt (
                 delivery, hook, event, number, started_at, took_ms, delivered, status, url, request_headers, everyones
             )
             select
                 'msg_' || n, '1',
                 case when n = 1 then 'book.removed' when n % 1000 = 0 then 'book.changed' else 'book.added' end,
                 1, now() - (200000 - n) * interval '1 ms', 1, true, 200, 'http://127.0.0.1/', '{}', true
             from generate_series(1, 150000) n;
             analyze rowhook.attempt",
        )
        .await;
    let mut found = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let at = format!("/api/deliveries?event=book.changed&limit=20{cursor}");
        let page = api.get(&at, ADMIN).await.json();
        for one in page["data"].as_array().unwrap() {
            found.push(one["id"].as_str().unwrap().to_owned());
        }
        next = page["next"].as_str().map(|next| format!("&cursor={next}"));
        // What comes meanwhile is before the first page.
        database
            .sql(&format!(
                "insert into rowhook.attempt (
                     delivery, hook, event, number, started_at, took_ms, delivered, status, url, request_headers, everyones
                 ) values ('msg_new_{}', '1', 'book.changed', 1, now(), 1, true, 200, 'http://127.0.0.1/', '{{}}', true)",
                found.len()
            ))
            .await;
    }
    let expected: Vec<String> = (1..=150).rev().map(|n| format!("msg_{}000", n)).collect();
    assert_eq!(found, expected);
    // The first page has looked at a hundred thousand, and says where it goes on.
    let first = api
        .get("/api/deliveries?event=book.removed", ADMIN)
        .await
        .json();
    assert_eq!(first["data"], json!([]));
    let cursor = first["next"].as_str().unwrap();
    let at = format!("/api/deliveries?event=book.removed&cursor={cursor}");
    let second = api.get(&at, ADMIN).await.json();
    assert_eq!(second["data"][0]["id"], json!("msg_1"));
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_delivery_says_why_it_waits_and_a_hook_how_it_fares() {
    let (database, config, api) = bookstore("[\"1h\"]").await;
    let receiver = Receiver::answering(|_, _| 404).await;
    let hook = database.hook(None, "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let parked = |count: u32| {
        format!("select count(*) = {count} from rowhook.delivery where state = 'parked'")
    };
    database.until("it is parked", &parked(1)).await;
    database.sql("update book set price = 8").await;
    database.until("so is the other", &parked(2)).await;
    let path = format!("/api/hooks/{hook}/deliveries");
    let deliveries = async || api.get(&path, ADMIN).await.json()["data"].clone();
    let listed = deliveries().await;
    let (second, first) = (&listed[0], &listed[1]);
    assert_eq!(first["waits_for"], json!("schedule"));
    let why = first["why"].as_str().unwrap();
    let begin =
        "Attempt 1 failed, because the endpoint answered 404 (Not Found); it is tried again at ";
    assert!(why.starts_with(begin) && why.contains(", in "), "{why}");
    let id = first["id"].as_str().unwrap();
    assert_eq!(second["waits_for"], json!("lane"));
    let why = second["why"].as_str().unwrap();
    assert!(why.starts_with(&format!("It waits behind {id}, ")), "{why}");
    let shown = ask(&config, &["deliveries", "show", id]).await;
    assert_eq!(shown["waits_for"], json!("schedule"));
    assert!(shown["why"].as_str().unwrap().starts_with(begin));

    let of_hook = format!("/api/hooks/{hook}");
    let fares = async || {
        let hook = api.get(&of_hook, ADMIN).await.json();
        hook["why"].as_str().unwrap().to_owned()
    };
    let why = fares().await;
    assert!(why.starts_with("It has failed since "), "{why}");
    assert!(
        why.contains("404 (Not Found); 2 deliveries wait; it is tried again at "),
        "{why}"
    );
    let failing = api.get("/api/hooks?state=failing", ADMIN).await.json();
    assert_eq!(failing["data"][0]["id"], json!(hook));
    let active = api.get("/api/hooks?state=active", ADMIN).await.json();
    assert_eq!(active["data"], json!([]));
    let listed = ask(&config, &["hooks", "list", "--state", "failing"]).await;
    assert_eq!(listed[0]["id"], json!(hook));

    let disable = format!("/api/hooks/{hook}/disable");
    api.post(&disable, ADMIN, json!({"reason": "too loud"}))
        .await;
    let waits = deliveries().await[0]["why"].as_str().unwrap().to_owned();
    assert!(
        waits.starts_with("Its hook is disabled (too loud); "),
        "{waits}"
    );
    let why = fares().await;
    assert!(
        why.contains(", because too loud; 2 deliveries wait"),
        "{why}"
    );
}

#[tokio::test]
async fn what_waits_for_a_rate_says_so() {
    let (database, _, api) = bookstore("[\"1h\"]\ntimeout = \"3s\"").await;
    let receiver = Receiver::start().await;
    let hook = database.hook(None, "book.added", &receiver.url()).await;
    let limit = format!("update rowhook.hook set rate = '1/m' where id = {hook}");
    database.sql(&limit).await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 3) n")
        .await;
    receiver.expect(1).await;
    let path = format!("/api/hooks/{hook}/deliveries?state=parked");
    let waits = async || {
        let listed = api.get(&path, ADMIN).await.json()["data"].clone();
        let listed = listed.as_array().unwrap();
        !listed.is_empty() && listed.iter().all(|one| one["waits_for"] == json!("rate"))
    };
    until_within(DEADLINE, "what is parked waits for the rate", waits).await;
    let listed = api.get(&path, ADMIN).await.json();
    let why = listed["data"][0]["why"].as_str().unwrap();
    assert!(why.contains("(its hook has 1/m)"), "{why}");
}

#[tokio::test]
async fn many_are_counted_first_and_then_sent_again_in_order() {
    let (database, config, api) = bookstore("false").await;
    let receiver = Receiver::start().await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let other = database
        .hook(Some("8"), "book.added", &receiver.url())
        .await;
    let hooks = "select count(*) = 2 from rowhook.hook";
    database.until("there are two hooks", hooks).await;
    database.until_all_is_confirmed().await;
    // More than a step takes: 1,200 dead ones of the first hook in 100 lanes, and three of the second.
    let dead = |hook: &str, owner: u32, count: u32| {
        format!(
            "insert into rowhook.delivery (
                 id, hook, event, owner, state, reason, attempts, lane, commit_lsn, event_index, commit_time, body,
                 content_type
             )
             select
                 'msg_{hook}_' || n, '{hook}', 'book.added', '{owner}', 'dead', 'the last of 1 attempts failed: 500',
                 1, n % 100, '0/1', n, now(),
                 convert_to(jsonb_build_object(
                     'hook', jsonb_build_object('id', {hook}, 'event', 'book.added', 'target', '{}'),
                     'data', jsonb_build_object('id', n, 'user_id', 7, 'shelf_id', 1, 'title', 'Dune', 'price', 9)
                 )::text, 'UTF8'),
                 'application/json'
             from generate_series(1, {count}) n",
            receiver.url()
        )
    };
    database.sql(&dead(&hook, 7, 1200)).await;
    database.sql(&dead(&other, 8, 3)).await;

    let wanted = json!({"hook": hook, "state": "dead", "dry_run": true});
    let counted = api.post("/api/deliveries/retry", ADMIN, wanted).await;
    assert_eq!(counted.status, 200, "{}", counted.text);
    assert_eq!(
        counted.json(),
        json!({"parked": 0, "dead": 1200, "dry_run": true})
    );
    let all = json!({"dry_run": true});
    let counted = api.post("/api/deliveries/retry", ADMIN, all).await.json();
    assert_eq!(counted["dead"], json!(1203));
    let retry = [
        "deliveries",
        "retry",
        "--state",
        "dead",
        "--hook",
        &other,
        "--dry-run",
    ];
    let counted = ask(&config, &retry).await;
    assert_eq!(counted, json!({"parked": 0, "dead": 3, "dry_run": true}));
    assert_eq!(receiver.calls().len(), 0, "they were only counted");
    let delivered = json!({"state": "delivered"});
    let answer = api.post("/api/deliveries/retry", ADMIN, delivered).await;
    assert_eq!(answer.status, 422, "{}", answer.text);

    let wanted = json!({"hook": hook, "since": "1h"});
    let sent = api.post("/api/deliveries/retry", ADMIN, wanted).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    assert_eq!(
        sent.json(),
        json!({"parked": 0, "dead": 1200, "dry_run": false})
    );
    let calls = receiver.expect(1200).await;
    assert_in_order(&calls);
    let others = format!(
        "select count(*) = 3 from rowhook.delivery where hook = '{other}' and state = 'dead'"
    );
    database.until("the others are dead", &others).await;
    let record = "select concat_ws(' ', what, hook, owner, after ->> 'deliveries') from rowhook.audit \
                  where what = 'delivery.retried'";
    let expected = format!("delivery.retried {hook} 7 1200");
    assert_eq!(database.ask(record).await, expected);

    let retry = [
        "deliveries",
        "retry",
        "--state",
        "any",
        "--event",
        "book.added",
    ];
    let sent = ask(&config, &retry).await;
    assert_eq!(sent, json!({"parked": 0, "dead": 3, "dry_run": false}));
    receiver.expect(1203).await;
    database.until_all_has_arrived().await;
}

/// Each delivery has arrived once, and those of a lane in order.
fn assert_in_order(calls: &[Call]) {
    let mut lanes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for call in calls {
        let number = call.data()["id"].as_u64().unwrap();
        lanes.entry(number % 100).or_default().push(number);
    }
    for (lane, numbers) in &lanes {
        assert!(numbers.is_sorted(), "lane {lane}: {numbers:?}");
    }
    let all: BTreeSet<u64> = lanes.into_values().flatten().collect();
    assert_eq!(all.len(), calls.len());
}

#[tokio::test]
async fn what_waits_for_its_next_time_goes_at_once_when_many_are_retried() {
    let (database, _, api) = bookstore("[\"1h\"]").await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let hook = database.hook(None, "book.*", &receiver.url()).await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 3) n")
        .await;
    let parked =
        "select count(*) = 3 from rowhook.delivery where attempts = 1 and next_attempt is not null";
    database.until("all three wait", parked).await;
    receiver.answer(|_, _| 200);
    let of_row = json!({"hook": hook, "table": "book", "key": "2", "dry_run": true});
    let counted = api
        .post("/api/deliveries/retry", ADMIN, of_row)
        .await
        .json();
    assert_eq!(counted, json!({"parked": 1, "dead": 0, "dry_run": true}));
    let wanted = json!({"hook": hook, "state": "parked"});
    let sent = api
        .post("/api/deliveries/retry", ADMIN, wanted)
        .await
        .json();
    assert_eq!(sent["parked"], json!(3));
    receiver.expect(6).await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn hooks_are_listed_from_their_index_however_many_there_are() {
    let database = Database::bookstore().await;
    let hook =
        "[[hooks]]\nname = \"warehouse\"\nevents = \"*\"\ntarget = \"http://127.0.0.1:1/\"\n";
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{hook}", server("")));
    assert_eq!(harness::rowhook(&config, &["setup"]).code, 0);
    let many = "set session_replication_role = replica;
        insert into rowhook.hook (owner, event, target)
        select (n % 20000)::text, 'book.added', 'http://127.0.0.1:1/' || n from generate_series(1, 100000) n;
        insert into rowhook.failing (hook, since) values ('77777', now());
        set session_replication_role = origin;
        analyze rowhook.hook";
    database.sql(many).await;
    let api = Api::start(&config).await;
    let loaded = "select seq_tup_read >= 100000 from pg_stat_user_tables
        where schemaname = 'rowhook' and relname = 'hook'";
    database
        .until("what the start has read is counted", loaded)
        .await;
    let reset = "select pg_stat_reset_single_table_counters('rowhook.hook'::regclass)";
    database.ask(reset).await;
    let listed = async |query: &str| {
        let answer = api.get(&format!("/api/hooks?{query}"), ADMIN).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let listed = answer.json();
        let hooks = listed["data"].as_array().unwrap().iter();
        let ids: Vec<String> = hooks
            .map(|hook| hook["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, listed["next"].as_str().unwrap_or_default().to_owned())
    };
    let (first, next) = listed("limit=60").await;
    let expected: Vec<String> = (1..60).map(|n| n.to_string()).collect();
    assert_eq!(first[0], "warehouse");
    assert_eq!(first[1..], expected);
    let (second, _) = listed(&format!("limit=2&cursor={next}")).await;
    assert_eq!(second, ["60", "61"]);
    let (hers, _) = listed("owner=7").await;
    assert_eq!(hers, ["7", "20007", "40007", "60007", "80007"]);
    let (failing, _) = listed("state=failing").await;
    assert_eq!(failing, ["77777"]);
    let one = api.get("/api/hooks/99999", ADMIN).await.json();
    assert_eq!(one["target"], json!("http://127.0.0.1:1/99999"));
    let change = json!({"description": "found"});
    let changed = api
        .ask(
            reqwest::Method::PATCH,
            "/api/hooks/99999",
            ADMIN,
            Some(&change),
        )
        .await;
    assert_eq!(changed.json()["description"], json!("found"));
    // Sessions tell how many rows they have read when they end.
    assert!(api.rowhook.stop().success());
    let counted = "select coalesce(idx_tup_fetch, 0) >= 70 from pg_stat_user_tables
        where schemaname = 'rowhook' and relname = 'hook'";
    database.until("what was read is counted", counted).await;
    let rows = "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables
        where schemaname = 'rowhook' and relname = 'hook'";
    let rows: i64 = database.ask(rows).await.parse().unwrap();
    assert!(rows < 1000, "{rows} rows were read");
}

#[tokio::test]
async fn pages_of_hooks_begin_with_those_of_the_file_and_have_each_hook_once() {
    let database = Database::bookstore().await;
    let hooks = ["long", "b", "a"].map(|name| {
        format!("[[hooks]]\nname = \"{name}\"\nevents = \"*\"\ntarget = \"http://127.0.0.1:1/\"\n")
    });
    let config = format!("{BOOK_EVENTS}\n{}\n{}", server(""), hooks.join("\n"));
    let api = Api::start(&database.config(&config)).await;
    for _ in 0..11 {
        database
            .hook(None, "book.added", "http://127.0.0.1:1/")
            .await;
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/hooks?limit=2{cursor}"), ADMIN).await;
        let page = page.json();
        let hooks = page["data"].as_array().unwrap().iter();
        listed.extend(hooks.map(|hook| format!("{} {}", hook["origin"], hook["id"])));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let listed: Vec<String> = listed.iter().map(|hook| hook.replace('"', "")).collect();
    let of_table = (1..=11).map(|id| format!("table {id}"));
    let expected: Vec<String> = ["file a", "file b", "file long"]
        .map(str::to_owned)
        .into_iter()
        .chain(of_table)
        .collect();
    assert_eq!(listed, expected);
    // A cursor that is no id of the table is refused, and none for one that is text alone.
    let odd = "InNldmVuIg";
    let refused = api.get(&format!("/api/hooks?cursor={odd}"), ADMIN).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    for id in ["none", "-", "99999999999999999999", "1e3", "01"] {
        let none = api.get(&format!("/api/hooks/{id}"), ADMIN).await;
        assert_eq!(none.status, 404, "{id}: {}", none.text);
    }
}
