//! Before the commit: an endpoint is asked, and may refuse.

use std::sync::{Arc, Mutex};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use harness::{
    BOOK_EVENTS, BOOKSTORE, Cluster, DEADLINE, Database, Gate, Receiver, Rowhook, SECRET, Stop,
    connect, until_within,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_postgres::{Client, Error, error::SqlState};

use crate::api::{ADMIN, Api, server};

const JSON: &str = "application/json";

/// What an endpoint answers: a status, a content type, and a body.
type Said = (u16, &'static str, String);

/// An endpoint that keeps what it is asked, and answers what the test says.
struct Judge {
    url: String,
    asked: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Judge {
    async fn saying(answer: impl Fn(&Value) -> Said + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            async move {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let (status, content_type, text) = answer(&body);
                kept.lock().unwrap().push((headers, body));
                let status = StatusCode::from_u16(status).unwrap();
                let response: Response =
                    (status, [(CONTENT_TYPE, content_type)], text).into_response();
                response
            }
        });
        // Questions may be larger than axum takes by default.
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ask", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, server }
    }

    /// Refuses what has this title, and allows all else.
    async fn refusing(title: &'static str) -> Self {
        Self::saying(move |body| match title_of(body) == title {
            true => (409, JSON, json!({"reason": "it is on loan"}).to_string()),
            false => (200, "text/plain", "fine".into()),
        })
        .await
    }

    fn bodies(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn title_of(body: &Value) -> &str {
    body["data"]["title"].as_str().unwrap_or_default()
}

/// `[events."book.removing"]` with these other keys, beside the usual events.
fn removing(keys: &str) -> String {
    format!("{BOOK_EVENTS}\n[events.\"book.removing\"]\nbefore = \"book.deleted\"\n{keys}\n")
}

/// A hook that is asked.
fn asks(name: &str, events: &[&str], url: &str) -> String {
    format!(
        "\n[[hooks]]\nname = \"{name}\"\nevents = {events:?}\npayload = \"standard\"\ntarget = \"{url}\"\nsecret = \"{}\"\n",
        SECRET
    )
}

async fn ready(database: &Database, config: &str) -> Rowhook {
    let mut rowhook = database.rowhook(config).await;
    rowhook
        .until_log("questions before commits are answered")
        .await;
    rowhook
}

/// The message, SQLSTATE and detail of an error.
fn told(error: &Error) -> (String, String, String) {
    let error = error.as_db_error().unwrap();
    (
        error.message().to_owned(),
        error.code().code().to_owned(),
        error.detail().unwrap_or_default().to_owned(),
    )
}

async fn refused(client: &Client, sql: &str) -> (String, String, String) {
    let error = client.batch_execute(sql).await.unwrap_err();
    told(&error)
}

/// A session of a role that may change books, and has no right on anything of rowhook's.
async fn application(database: &Database) -> Client {
    let role = format!("app_{}", database.ask("select current_database()").await);
    database
        .sql(&format!(
            "create role {role} login; grant select, insert, update, delete on book, shelf to {role}"
        ))
        .await;
    let session = connect(&database.url).await;
    session
        .batch_execute(&format!("set session authorization {role}"))
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn an_endpoint_refuses_a_deletion_and_nothing_is_left_of_it() {
    let database = Database::bookstore().await;
    let judge = Judge::refusing("Dune").await;
    let receiver = Receiver::start().await;
    let config = removing("") + &asks("audit", &["book.removing"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    database.hook(None, "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9.50), (2, 7, 1, 'Emma', 5)")
        .await;
    let application = application(&database).await;
    let (message, code, detail) = refused(
        &application,
        "begin; update book set price = 1 where id = 2; delete from book where id = 1; commit",
    )
    .await;
    assert_eq!(
        message,
        "book.removing was refused by hook audit: it is on loan"
    );
    assert_eq!(code, "RH001");
    assert_eq!(detail, "Hook: audit. Reason: it is on loan");
    application
        .batch_execute("rollback; delete from book where id = 2")
        .await
        .unwrap();
    let calls = receiver
        .until("Emma is gone", |calls| {
            calls.iter().any(|call| call.event() == "book.removed")
        })
        .await;
    let removed = calls.iter().filter(|call| call.event() == "book.removed");
    assert_eq!(removed.count(), 1);
    assert!(!calls.iter().any(|call| call.event() == "book.changed"));
    let left = database
        .ask("select string_agg(title || price, ',') from book")
        .await;
    assert_eq!(left, "Dune9.50");
    // It was asked as webhooks are sent: signed, with an id of its own.
    let asked = judge.asked.lock().unwrap().clone();
    let [(headers, first), (others, second)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(first["type"], "book.removing");
    assert_eq!(first["op"], "delete");
    assert_eq!(first["data"]["price"], json!(9.5));
    assert_eq!(title_of(second), "Emma");
    assert_ne!(headers["webhook-id"], others["webhook-id"]);
    assert!(headers.contains_key("webhook-signature"));
    assert_eq!(
        database.ask("select count(*) from rowhook.asking").await,
        "0"
    );
}

#[tokio::test]
async fn an_answer_is_seen_in_every_isolation_level_with_its_reason() {
    let database = Database::bookstore().await;
    let judge = Judge::refusing("Dune").await;
    let config = removing("silence = \"refuse\"") + &asks("audit", &["book.removing"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    let application = application(&database).await;
    for (number, level) in [
        "read uncommitted",
        "read committed",
        "repeatable read",
        "serializable",
    ]
    .into_iter()
    .enumerate()
    {
        let (refused_id, allowed_id) = (2 * number + 1, 2 * number + 2);
        database
            .sql(&format!(
                "insert into book values ({refused_id}, 7, 1, 'Dune', 9), ({allowed_id}, 7, 1, 'Emma', 5)"
            ))
            .await;
        // The snapshot is older than the question.
        let begin = format!("begin isolation level {level}; select count(*) from shelf");
        let (message, ..) = refused(
            &application,
            &format!("{begin}; delete from book where id = {refused_id}; commit"),
        )
        .await;
        assert_eq!(
            message, "book.removing was refused by hook audit: it is on loan",
            "{level}"
        );
        application
            .batch_execute(&format!(
                "rollback; {begin}; delete from book where id = {allowed_id}; commit"
            ))
            .await
            .unwrap();
    }
    assert_eq!(database.ask("select count(*) from book").await, "4");
    assert_eq!(judge.bodies().len(), 8);
}

#[tokio::test]
async fn many_serializable_transactions_that_ask_at_once_have_no_conflict() {
    let database = Database::bookstore().await;
    let gate = Gate::closed().await;
    let config = removing("timeout = \"10s\"\nsilence = \"refuse\"")
        + &asks("audit", &["book.removing"], &gate.url());
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book select i, 7, 1, 'Emma', 5 from generate_series(1, 40) as i")
        .await;
    // Connected before, because the first would wait for the last.
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(connect(&database.url).await);
    }
    let deleting = |(client, id): (Client, usize)| {
        tokio::spawn(async move {
            client
                .batch_execute(&format!(
                    "begin isolation level serializable; delete from book where id = {id}; commit"
                ))
                .await
        })
    };
    let sessions: Vec<_> = clients.into_iter().zip(1..).map(deleting).collect();
    // All of them wait at the same time.
    until_within(DEADLINE, "40 questions are open", async || {
        gate.waiting() == 40
    })
    .await;
    gate.open();
    for session in sessions {
        session.await.unwrap().unwrap();
    }
    assert_eq!(database.ask("select count(*) from book").await, "0");
}

#[tokio::test]
async fn a_hundred_sessions_that_ask_at_once_do_not_wait_for_each_other() {
    let cluster = Cluster::start(&["max_connections=200"]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let gate = Gate::closed().await;
    let config = removing("timeout = \"10s\"\nsilence = \"refuse\"")
        + &asks("audit", &["book.removing"], &gate.url());
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book select i, 7, 1, 'Emma', 5 from generate_series(1, 100) as i")
        .await;
    // Connected before, because the first would wait for the last.
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(connect(&database.url).await);
    }
    let deleting = |(client, id): (Client, usize)| {
        tokio::spawn(async move {
            client
                .batch_execute(&format!("delete from book where id = {id}"))
                .await
        })
    };
    let sessions: Vec<_> = clients.into_iter().zip(1..).map(deleting).collect();
    until_within(DEADLINE, "100 questions are open", async || {
        gate.waiting() == 100
    })
    .await;
    gate.open();
    for session in sessions {
        session.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_row_is_asked_about_as_it_is_in_the_end() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|_| (200, JSON, "{}".into())).await;
    let events = "[events]\n\"book.added\" = \"book.created\"\n\
        [events.\"book.adding\"]\nbefore = \"book.created\"\n\
        [events.\"book.rising\"]\nbefore = \"book.updated\"\nchanged = [\"price\"]\nwhen = \"new.price > old.price\"\n";
    let config = events.to_owned() + &asks("audit", &["book.adding", "book.rising"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    let application = application(&database).await;
    application
        .batch_execute(
            "begin;
             insert into book values (1, 7, 1, 'Dune', 1), (2, 7, 1, 'Gone', 1);
             update book set price = 2 where id = 1;
             savepoint one; update book set title = 'Never' where id = 1; rollback to one;
             savepoint two; update book set price = 3 where id = 1; release two;
             delete from book where id = 2;
             commit",
        )
        .await
        .unwrap();
    let bodies = judge.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert_eq!(bodies[0]["type"], "book.adding");
    assert_eq!(bodies[0]["data"]["price"].as_f64(), Some(3.0));
    assert_eq!(title_of(&bodies[0]), "Dune");
    // Of an update, the whole old row is known, whatever the replica identity.
    application
        .batch_execute(
            "begin; update book set price = 9 where id = 1; update book set price = 5 where id = 1; commit;
             update book set price = 1 where id = 1; update book set title = 'Dune II' where id = 1",
        )
        .await
        .unwrap();
    let bodies = judge.bodies();
    assert_eq!(bodies.len(), 2, "{bodies:#?}");
    assert_eq!(bodies[1]["type"], "book.rising");
    let prices = ["old", "data"].map(|row| bodies[1][row]["price"].as_f64());
    assert_eq!(prices, [Some(3.0), Some(5.0)]);
    assert_eq!(bodies[1]["changed"], json!(["price"]));
}

#[tokio::test]
async fn ten_thousand_rows_are_one_question() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|body| match body.as_array() {
        Some(rows) if rows.len() == 10_000 => {
            (403, JSON, json!({"reason": "too many"}).to_string())
        }
        _ => (200, JSON, "{}".into()),
    })
    .await;
    let config = removing("timeout = \"10s\"") + &asks("audit", &["book.removing"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book select i, 7, 1, 'Book ' || i, 5 from generate_series(1, 10000) as i")
        .await;
    let (message, ..) = refused(&application(&database).await, "delete from book").await;
    assert_eq!(message, "book.removing was refused by hook audit: too many");
    let bodies = judge.bodies();
    assert_eq!(bodies.len(), 1);
    let titles: std::collections::HashSet<&str> =
        bodies[0].as_array().unwrap().iter().map(title_of).collect();
    assert_eq!(titles.len(), 10_000);
    assert_eq!(database.ask("select count(*) from book").await, "10000");
}

#[tokio::test]
async fn a_question_that_is_larger_than_max_body_has_the_keys_alone() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|_| (200, JSON, "{}".into())).await;
    let config = removing("timeout = \"10s\"\nsilence = \"refuse\"")
        + &asks("audit", &["book.removing"], &judge.url)
        + "max_body = \"64KiB\"\n";
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book select i, 7, 1, repeat('x', 1000), 5 from generate_series(1, 100) as i")
        .await;
    database.sql("delete from book where id <= 100").await;
    let bodies = judge.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0][99]["data"], json!({"id": 100}));
    // With so many that not even their keys fit, nobody can be asked.
    database
        .sql("insert into book select i, 7, 1, 'x', 5 from generate_series(1, 2000) as i")
        .await;
    let (message, code, _) = refused(&database.client, "delete from book").await;
    assert_eq!(
        message,
        "book.removing was refused, because hook audit has not answered: the keys of 2000 rows are more than its max_body"
    );
    assert_eq!(code, "RH002");
}

#[tokio::test]
async fn silence_allows_or_refuses_as_the_file_says() {
    for (silence, goes) in [("allow", true), ("refuse", false)] {
        let database = Database::bookstore().await;
        let gate = Gate::closed().await;
        let liar = Judge::saying(|body| match title_of(body) {
            "Broken" => (200, JSON, "{\"cancel\": tr".into()),
            "Lost" => (404, JSON, "{}".into()),
            "Elsewhere" => (302, JSON, "{}".into()),
            _ => (500, JSON, "{\"cancel\": true}".into()),
        })
        .await;
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nowhere = format!("http://{}/", dead.local_addr().unwrap());
        drop(dead);
        let event = |name: &str, when: &str| {
            format!(
                "[events.\"{name}\"]\nbefore = \"book.deleted\"\nwhen = \"{when}\"\ntimeout = \"300ms\"\nsilence = \"{silence}\"\n"
            )
        };
        let config = [
            BOOK_EVENTS.to_owned(),
            event("asked.slow", "old.title == 'Slow'"),
            event("asked.dead", "old.title == 'Dead'"),
            event("asked.liar", "old.title != 'Slow' && old.title != 'Dead'"),
            asks("slow", &["asked.slow"], &gate.url()),
            asks("dead", &["asked.dead"], &nowhere),
            asks("liar", &["asked.liar"], &liar.url),
        ]
        .concat();
        let _rowhook = ready(&database, &config).await;
        for (id, (title, expected)) in [
            (
                "Slow",
                "asked.slow was refused, because hook slow has not answered: timed out after 300ms",
            ),
            (
                "Dead",
                "asked.dead was refused, because hook dead has not answered",
            ),
            (
                "Broken",
                "asked.liar was refused, because hook liar has not answered: 200, with JSON that breaks off",
            ),
            (
                "Lost",
                "asked.liar was refused, because hook liar has not answered: 404",
            ),
            (
                "Elsewhere",
                "asked.liar was refused, because hook liar has not answered: 302",
            ),
            (
                "Failing",
                "asked.liar was refused, because hook liar has not answered: 500",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            database
                .sql(&format!("insert into book values ({id}, 7, 1, '{title}', 1)"))
                .await;
            let delete = format!("delete from book where id = {id}");
            let ended = database.client.batch_execute(&delete).await;
            match goes {
                true => ended.unwrap(),
                false => {
                    let (message, code, _) = told(&ended.unwrap_err());
                    assert!(message.starts_with(expected), "{message}");
                    assert_eq!(code, "RH002");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_cancels_in_each_of_the_ways_that_there_are() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|body| {
        let reason = json!({"reason": "no\nway"}).to_string();
        match title_of(body) {
            "403" => (403, JSON, reason),
            "409" => (409, "text/plain", "no way\n".into()),
            "422" => (422, JSON, "{}".into()),
            "cancel" => (
                200,
                JSON,
                json!({"cancel": true, "reason": "no way"}).to_string(),
            ),
            "servo" => (
                200,
                "application/vnd.opsani.servo.errors.CancelEventError+json",
                reason,
            ),
            _ => (202, JSON, json!({"cancel": false}).to_string()),
        }
    })
    .await;
    let config = removing("") + &asks("audit", &["book.removing"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    for (id, title) in ["403", "409", "422", "cancel", "servo", "fine"]
        .into_iter()
        .enumerate()
    {
        database
            .sql(&format!(
                "insert into book values ({id}, 7, 1, '{title}', 1)"
            ))
            .await;
        let delete = format!("delete from book where id = {id}");
        let ended = database.client.batch_execute(&delete).await;
        match title {
            "fine" => ended.unwrap(),
            "422" => assert_eq!(
                told(&ended.unwrap_err()).0,
                "book.removing was refused by hook audit"
            ),
            _ => assert_eq!(
                told(&ended.unwrap_err()).0,
                "book.removing was refused by hook audit: no way",
                "{title}"
            ),
        }
    }
}

#[tokio::test]
async fn a_two_phase_transaction_asks_when_it_is_prepared() {
    let cluster = Cluster::start(&["max_prepared_transactions=5"]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let judge = Judge::refusing("Dune").await;
    let config = removing("silence = \"refuse\"") + &asks("audit", &["book.removing"], &judge.url);
    let rowhook = ready(&database, &config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 5)")
        .await;
    let prepare = "begin; delete from book where id = 1; prepare transaction 'one'";
    let (message, ..) = refused(&database.client, prepare).await;
    assert_eq!(
        message,
        "book.removing was refused by hook audit: it is on loan"
    );
    database
        .sql("rollback; begin; delete from book where id = 2; prepare transaction 'two'")
        .await;
    assert_eq!(judge.bodies().len(), 2);
    // What is prepared has been allowed, and is not asked about again.
    rowhook.kill();
    database.sql("commit prepared 'two'").await;
    assert_eq!(database.ask("select title from book").await, "Dune");
}

#[tokio::test]
async fn what_is_replicated_into_the_table_is_not_asked_about() {
    let database = Database::bookstore().await;
    let judge = Judge::refusing("Dune").await;
    let config = removing("") + &asks("audit", &["book.removing"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             set session_replication_role = replica; delete from book; set session_replication_role = origin",
        )
        .await;
    assert!(judge.bodies().is_empty());
    assert_eq!(database.ask("select count(*) from book").await, "0");
}

#[tokio::test]
async fn where_nobody_is_there_silence_counts_at_once() {
    let database = Database::bookstore().await;
    let gate = Gate::closed().await;
    let config = |silence: &str| {
        removing(&format!("timeout = \"10s\"\nsilence = \"{silence}\""))
            + &asks("audit", &["book.removing"], &gate.url())
    };
    ready(&database, &config("refuse")).await.kill();
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    database
        .until(
            "the server has noticed that rowhook is gone",
            "select count(*) = 0 from pg_locks where locktype = 'advisory'",
        )
        .await;
    let (message, code, _) = refused(&database.client, "delete from book").await;
    assert_eq!(
        message,
        "the change of book was refused, because nobody has answered: no rowhook is there to ask the endpoints"
    );
    assert_eq!(code, "RH002");
    ready(&database, &config("allow")).await.kill();
    database
        .until(
            "the server has noticed that rowhook is gone",
            "select count(*) = 0 from pg_locks where locktype = 'advisory'",
        )
        .await;
    database.sql("delete from book").await;
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn a_rowhook_that_is_killed_between_question_and_answer_lets_the_transaction_go_on() {
    for (silence, left) in [("allow", "0"), ("refuse", "1")] {
        let database = Database::bookstore().await;
        let gate = Gate::closed().await;
        let config = removing(&format!("timeout = \"10s\"\nsilence = \"{silence}\""))
            + &asks("audit", &["book.removing"], &gate.url());
        let rowhook = ready(&database, &config).await;
        database
            .sql("insert into book values (1, 7, 1, 'Dune', 9)")
            .await;
        let session = connect(&database.url).await;
        let deleting = tokio::spawn(async move { session.batch_execute("delete from book").await });
        until_within(DEADLINE, "it is asked", async || gate.waiting() == 1).await;
        rowhook.kill();
        let ended = deleting.await.unwrap();
        assert_eq!(ended.is_ok(), silence == "allow", "{ended:?}");
        assert_eq!(database.ask("select count(*) from book").await, left);
    }
}

#[tokio::test]
async fn a_crash_of_postgres_between_question_and_answer_leaves_nothing() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let gate = Gate::closed().await;
    let config = removing("timeout = \"10s\"") + &asks("audit", &["book.removing"], &gate.url());
    let mut rowhook = ready(&database, &config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let session = connect(&database.url).await;
    let deleting = tokio::spawn(async move { session.batch_execute("delete from book").await });
    until_within(DEADLINE, "it is asked", async || gate.waiting() == 1).await;
    cluster.stop(Stop::Immediate).unwrap();
    deleting.await.unwrap().unwrap_err();
    cluster.start_again().unwrap();
    gate.open();
    let log = rowhook.log();
    let before = log.matches("questions before commits are answered").count();
    until_within(DEADLINE, "questions are answered again", async || {
        let log = rowhook.log();
        log.matches("questions before commits are answered").count() > before
    })
    .await;
    rowhook.until_log("attached slot=").await;
    let client = connect(&database.url).await;
    let count = client.query_one("select count(*) from book", &[]).await;
    assert_eq!(count.unwrap().get::<_, i64>(0), 1);
    client.batch_execute("delete from book").await.unwrap();
}

#[tokio::test]
async fn a_timeout_or_a_cancel_of_the_application_ends_the_waiting() {
    let database = Database::bookstore().await;
    let gate = Gate::closed().await;
    let config = removing("timeout = \"10s\"\nsilence = \"refuse\"")
        + &asks("audit", &["book.removing"], &gate.url());
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    for (setting, code) in [
        ("lock_timeout", SqlState::LOCK_NOT_AVAILABLE),
        ("statement_timeout", SqlState::QUERY_CANCELED),
    ] {
        let session = connect(&database.url).await;
        session
            .batch_execute(&format!("set {setting} = '200ms'"))
            .await
            .unwrap();
        let error = session.batch_execute("delete from book").await.unwrap_err();
        assert_eq!(error.code(), Some(&code), "{setting}: {error:?}");
    }
    let waiting = gate.waiting();
    let session = connect(&database.url).await;
    let cancel = session.cancel_token();
    let deleting = tokio::spawn(async move { session.batch_execute("delete from book").await });
    until_within(DEADLINE, "it is asked", async || {
        gate.waiting() == waiting + 1
    })
    .await;
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let error = deleting.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!(database.ask("select count(*) from book").await, "1");
}

#[tokio::test]
async fn only_tables_of_such_events_have_a_trigger_and_only_for_as_long() {
    let database = Database::bookstore().await;
    let judge = Judge::refusing("Dune").await;
    let config = removing("") + &asks("audit", &["book.removing"], &judge.url);
    let triggers = "select coalesce(string_agg(tgrelid::regclass || ' ' || tgname, ', '), 'none') from pg_trigger where not tgisinternal and tgrelid in ('book'::regclass, 'shelf'::regclass)";
    ready(&database, &config).await.stop();
    assert_eq!(database.ask(triggers).await, "book rowhook_before");
    let without = format!("{BOOK_EVENTS}{}", asks("audit", &["book.*"], &judge.url));
    let checked = harness::rowhook(&database.config(&without), &["check"]);
    assert!(
        checked
            .out
            .contains("the trigger rowhook_before of book is left over"),
        "{}",
        checked.out
    );
    database.rowhook(&without).await.stop();
    assert_eq!(database.ask(triggers).await, "none");
    ready(&database, &config).await.stop();
    assert_eq!(database.ask(triggers).await, "book rowhook_before");
    let torn = harness::rowhook(&database.config(&config), &["teardown", "--yes"]);
    assert!(
        torn.out
            .contains("dropped the trigger rowhook_before of book"),
        "{}",
        torn.out
    );
    assert_eq!(database.ask(triggers).await, "none");
}

#[tokio::test]
async fn rows_of_several_tables_and_of_partitions_are_one_question() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table sale (id int, region text, primary key (id, region)) partition by list (region);
             create table sale_a partition of sale for values in ('a');
             create table sale_b (region text, id int, primary key (id, region));
             alter table sale attach partition sale_b for values in ('b')",
        )
        .await;
    let judge = Judge::saying(|_| (200, JSON, "{}".into())).await;
    let config = removing("")
        + "[events.\"sale.making\"]\nbefore = \"sale.created\"\nsilence = \"refuse\"\n"
        + &asks("audit", &["book.removing", "sale.making"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9);
             begin; delete from book where id = 1; insert into sale values (1, 'a'), (2, 'b'); commit",
        )
        .await;
    let bodies = judge.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    let told = |body: &Value| {
        let rows = body.as_array().unwrap().iter();
        let rows = rows.map(|row| format!("{} {}", row["type"], row["data"]["id"]));
        rows.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        told(&bodies[0]),
        "\"book.removing\" 1, \"sale.making\" 1, \"sale.making\" 2"
    );
    assert_eq!(bodies[0][2]["data"], json!({"id": 2, "region": "b"}));
    assert_eq!(bodies[0][2]["table"], "public.sale");
    // Each statement asks for itself, and what is rolled back to a savepoint does not come again.
    database
        .sql(
            "begin; set constraints all immediate; insert into sale values (3, 'a');
             savepoint one; insert into sale values (4, 'a'); rollback to one;
             insert into sale values (5, 'a'); commit",
        )
        .await;
    let ids: Vec<Value> = judge
        .bodies()
        .iter()
        .skip(1)
        .map(|body| body["data"]["id"].clone())
        .collect();
    assert_eq!(ids, [json!(3), json!(4), json!(5)]);
    assert_eq!(
        database.ask("select count(*) from rowhook.asking").await,
        "0"
    );
}

#[tokio::test]
async fn a_hook_that_hears_everything_is_not_asked() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|_| (409, JSON, "{}".into())).await;
    let config = removing("") + &asks("all", &["*", "book.*"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); delete from book")
        .await;
    assert_eq!(database.ask("select count(*) from book").await, "0");
}

#[tokio::test]
async fn nobody_forges_a_question_or_an_answer() {
    let database = Database::bookstore().await;
    let gate = Gate::closed().await;
    let config = removing("timeout = \"1s\"\nsilence = \"refuse\"")
        + &asks("audit", &["book.removing"], &gate.url());
    let mut rowhook = ready(&database, &config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let application = application(&database).await;
    let role = application
        .query_one("select current_user::text", &[])
        .await;
    let role: String = role.unwrap().get(0);
    database
        .sql(&format!(
            "grant usage on schema rowhook to {role}; create schema theirs authorization {role}"
        ))
        .await;
    let question =
        r#"{"ask": "x", "asked": 1, "question": {"event": "book.removing", "payload": null}}"#;
    for message in [
        question.to_owned(),
        format!("v1 {} {question}", "0".repeat(64)),
    ] {
        application
            .batch_execute(&format!(
                "select pg_logical_emit_message(false, 'rowhook.before', '{message}')"
            ))
            .await
            .unwrap();
    }
    database
        .sql("select pg_logical_emit_message(true, 'any', '')")
        .await;
    rowhook
        .until_log("no function of rowhook's has written it")
        .await;
    for (sql, expected) in [
        (
            "select rowhook.question_lock('ready')",
            "permission denied for function question_lock",
        ),
        (
            "select rowhook.write_question('{}', true)",
            "permission denied for function write_question",
        ),
        (
            "select rowhook.put_question('{}', 1)",
            "permission denied for function put_question",
        ),
        (
            "create table theirs.book (id int); create constraint trigger t after insert on theirs.book for each row execute function rowhook.ask_row('public', 'book', 'd', '1', 'false')",
            "permission denied for function rowhook.ask_row",
        ),
        (
            "insert into rowhook.asking values ('1', 1, 1, false)",
            "permission denied for table asking",
        ),
    ] {
        let (message, ..) = refused(&application, sql).await;
        assert_eq!(message, expected, "{sql}");
    }
    // Whoever sees a lock of a question can take it and others, and says nothing with that.
    let deleter = connect(&database.url).await;
    let deleting = tokio::spawn(async move { deleter.batch_execute("delete from book").await });
    until_within(DEADLINE, "it is asked", async || gate.waiting() == 1).await;
    application
        .batch_execute(
            "select pg_try_advisory_lock((l.classid::bigint << 32) | l.objid::bigint), pg_try_advisory_lock(((l.classid::bigint << 32) | l.objid::bigint) + 1)
             from pg_locks as l where l.locktype = 'advisory'; select pg_advisory_unlock_all()",
        )
        .await
        .unwrap();
    let (message, code, _) = told(&deleting.await.unwrap().unwrap_err());
    assert_eq!(code, "RH002", "{message}");
    assert_eq!(gate.waiting(), 1);
    // Nor does a lock of theirs say that a rowhook is there.
    let ready = database.ask("select rowhook.question_lock('ready')").await;
    rowhook.kill();
    let logged_in = connect(&database.url.replace("postgres@", &format!("{role}@"))).await;
    let locked = format!("select pg_advisory_lock({ready})");
    logged_in.batch_execute(&locked).await.unwrap();
    let (message, ..) = refused(&database.client, "delete from book").await;
    assert!(
        message.ends_with("no rowhook is there to ask the endpoints"),
        "{message}"
    );
}

#[tokio::test]
async fn sql_asks_about_what_is_no_row() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|body| match body["data"]["to"].as_str() {
        Some("everyone") => (403, JSON, json!({"reason": "too many"}).to_string()),
        _ => (200, JSON, "{}".into()),
    })
    .await;
    let events = format!("{BOOK_EVENTS}\n[events.\"report.sending\"]\nbefore = \"custom\"\n");
    let config = events + &asks("audit", &["report.sending"], &judge.url);
    let _rowhook = ready(&database, &config).await;
    for (to, expected) in [
        ("anna", "true null null"),
        ("everyone", "false audit too many"),
    ] {
        let ask = format!(
            "select allowed || ' ' || coalesce(hook, 'null') || ' ' || coalesce(reason, 'null') from rowhook.ask('report.sending', '{{\"to\": \"{to}\"}}')"
        );
        assert_eq!(database.ask(&ask).await, expected);
    }
    let (message, ..) = refused(&database.client, "select rowhook.ask('report.sent')").await;
    assert_eq!(message, "there is no event report.sent to ask about");
    let asked = judge.bodies();
    assert_eq!(asked[0]["type"], "report.sending");
    database
        .until(
            "history has both",
            "select count(*) = 2 from rowhook.attempt where event = 'report.sending' and delivery like 'msg_ask_%'",
        )
        .await;
}

#[tokio::test]
async fn a_program_asks_through_the_api_and_all_of_it_is_counted_and_explained() {
    let database = Database::bookstore().await;
    let judge = Judge::saying(|body| match body["data"]["to"].as_str() {
        Some("everyone") => (403, JSON, json!({"reason": "too many"}).to_string()),
        Some("nobody") => (500, JSON, "{}".into()),
        _ => (200, JSON, "{}".into()),
    })
    .await;
    let events = removing("when = \"old.price > 5\"")
        + "[events.\"report.sending\"]\nbefore = \"custom\"\nsilence = \"refuse\"\n";
    let config = events
        + &asks("audit", &["report.sending", "book.removing"], &judge.url)
        + &asks("all", &["*"], &judge.url)
        + &server("");
    let config = database.config(&config);
    let api = Api::start(&config).await;
    for (to, expected) in [
        (
            "anna",
            json!({"allowed": true, "silent": false, "hook": null, "reason": null}),
        ),
        (
            "everyone",
            json!({"allowed": false, "silent": false, "hook": "audit", "reason": "too many"}),
        ),
        (
            "nobody",
            json!({"allowed": false, "silent": true, "hook": "audit", "reason": "500"}),
        ),
    ] {
        let answer = api
            .post("/api/ask/report.sending", ADMIN, json!({"to": to}))
            .await;
        assert_eq!((answer.status, answer.json()), (200, expected), "{to}");
    }
    for event in ["report.sent", "book.removing", "book.removed"] {
        let answer = api
            .post(&format!("/api/ask/{event}"), ADMIN, json!(null))
            .await;
        assert_eq!(answer.status, 404, "{event}");
    }
    let metrics = api.get("/metrics", "").await;
    for line in [
        "rowhook_questions_total{outcome=\"allowed\"} 1",
        "rowhook_questions_total{outcome=\"refused\"} 1",
        "rowhook_questions_total{outcome=\"silent\"} 1",
        "rowhook_question_duration_seconds_count 3",
    ] {
        assert!(metrics.text.contains(line), "{line}");
    }
    let deliveries = async || {
        let answer = api.get("/api/hooks/audit/deliveries", ADMIN).await;
        answer.json()["data"].as_array().map_or(0, Vec::len) == 2
    };
    until_within(DEADLINE, "both that were answered are listed", deliveries).await;
    let failed = "select count(*) = 1 from rowhook.attempt where hook = 'audit' and not delivered";
    database.until("the third is in the history", failed).await;
    let explain = |row: &str| {
        let args = ["explain", "book", "deleted", "--row", row];
        let ended = harness::rowhook(&config, &args);
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out
    };
    let told = explain(r#"{"id": 1, "price": 9}"#);
    assert!(told.contains("is asked about before the commit"), "{told}");
    assert_eq!(told.matches("is asked\n").count(), 1, "{told}");
    let told = explain(r#"{"id": 1, "price": 1}"#);
    assert!(told.contains("when: old.price > 5 is false"), "{told}");
}
