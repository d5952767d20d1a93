//! Operators with roles.

use harness::{BOOK_EVENTS, DEADLINE, Database, Receiver, rowhook, until_within};
use reqwest::Method;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::api::{Api, server};

const ROLES: [&str; 4] = ["read", "support", "hooks", "all"];

fn token(role: &str) -> String {
    format!("the-token-of-{role}-{role}")
}

/// An operator for each role.
fn admins() -> String {
    ROLES
        .iter()
        .map(|role| {
            format!(
                "[[server.admins]]\nname = \"{role}er\"\nrole = \"{role}\"\ntoken = \"{}\"\n",
                token(role)
            )
        })
        .collect()
}

#[tokio::test]
async fn each_operator_does_what_is_of_their_role_and_a_refusal_names_the_one_that_is_needed() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n{}\n[portal]",
        server("requests_per_minute = 100000"),
        admins()
    ));
    let api = Api::start(&config).await;
    let target = receiver.url();
    let hook = database.hook(Some("7"), "book.*", &target).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    let kept = "select count(*) = 1 from rowhook.attempt";
    database.until("it is in history", kept).await;
    let delivery = database.ask("select delivery from rowhook.attempt").await;
    let none = Value::Null;
    let new = json!({"event": "book.added", "target": target});
    let since = json!({"hook": hook, "since": "2020-01-01T00:00:00Z"});
    let backfill = json!({"event": "book.added", "hook": hook, "where": "false"});
    // From which role on each is done, and how it is answered then.
    let matrix: &[(&str, String, &Value, &str, u16)] = &[
        ("GET", "/api/status".into(), &none, "read", 200),
        ("GET", "/api/events".into(), &none, "read", 200),
        ("GET", format!("/api/hooks/{hook}"), &none, "read", 200),
        (
            "GET",
            format!("/api/deliveries/{delivery}"),
            &none,
            "read",
            200,
        ),
        ("GET", "/api/backfills".into(), &none, "read", 200),
        ("GET", "/api/tokens".into(), &none, "read", 200),
        (
            "POST",
            format!("/api/hooks/{hook}/test"),
            &none,
            "support",
            200,
        ),
        (
            "POST",
            format!("/api/deliveries/{delivery}/retry"),
            &none,
            "support",
            202,
        ),
        ("POST", "/api/replay".into(), &since, "support", 202),
        ("POST", "/api/retry-dead".into(), &none, "support", 202),
        ("POST", "/api/hooks".into(), &new, "hooks", 201),
        (
            "PATCH",
            format!("/api/hooks/{hook}"),
            &json!({}),
            "hooks",
            200,
        ),
        (
            "POST",
            format!("/api/hooks/{hook}/rotate"),
            &none,
            "hooks",
            200,
        ),
        (
            "POST",
            format!("/api/hooks/{hook}/disable"),
            &none,
            "hooks",
            200,
        ),
        (
            "POST",
            format!("/api/hooks/{hook}/enable"),
            &none,
            "hooks",
            200,
        ),
        ("POST", "/api/backfills".into(), &backfill, "all", 202),
        (
            "POST",
            "/api/portal".into(),
            &json!({"owner": "7"}),
            "hooks",
            201,
        ),
        (
            "POST",
            "/api/tokens".into(),
            &json!({"owner": "7"}),
            "all",
            201,
        ),
        (
            "POST",
            "/api/forget".into(),
            &json!({"owner": "a stranger"}),
            "all",
            200,
        ),
        ("POST", "/api/ask/none".into(), &none, "support", 404),
        ("POST", "/api/reload".into(), &none, "all", 202),
    ];
    for (method, path, body, needed, done) in matrix {
        let method: Method = method.parse().unwrap();
        let body = Some(*body).filter(|body| !body.is_null());
        let first = ROLES.iter().position(|role| role == needed).unwrap();
        for (at, role) in ROLES.iter().enumerate() {
            let answer = api.ask(method.clone(), path, &token(role), body).await;
            if at >= first {
                assert_eq!(answer.status, *done, "{method} {path}: {}", answer.text);
                continue;
            }
            assert_eq!(answer.status, 403, "{method} {path} as {role}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let told = format!(
                "this needs the role {needed}, and {role}er has the role {role}; see role under [[server.admins]]"
            );
            assert_eq!(answer.json()["detail"], json!(told));
        }
    }
}

#[tokio::test]
async fn the_hash_of_a_token_opens_nothing_and_a_token_ends_when_its_hash_is_taken_out() {
    let database = Database::bookstore().await;
    let ended = rowhook(&database.config(BOOK_EVENTS), &["tokens", "hash", "--json"]);
    let made: Value = serde_json::from_str(&ended.out).unwrap();
    let (token, hash) = (
        made["token"].as_str().unwrap(),
        made["token_sha256"].as_str().unwrap(),
    );
    let config =
        |admins: &str| database.config(&format!("{BOOK_EVENTS}\n{}\n{admins}", server("")));
    let ci =
        format!("[[server.admins]]\nname = \"ci\"\nrole = \"read\"\ntoken_sha256 = \"{hash}\"");
    let api = Api::start(&config(&ci)).await;
    assert_eq!(api.get("/api/status", token).await.status, 200);
    assert_eq!(api.get("/api/status", hash).await.status, 401);
    let visit = Visit::with(&api.base, token).await;
    let page = visit.text("/").await;
    assert!(page.contains("<span>ci "), "{page}");
    api.rowhook.write_config(&config(""));
    api.rowhook.signal(nix::sys::signal::Signal::SIGHUP);
    let refused = async || api.get("/api/status", token).await.status == 401;
    until_within(DEADLINE, "the token is refused", refused).await;
    assert_eq!(visit.status("/").await, 303, "its session has ended, too");
}

#[tokio::test]
async fn the_page_has_the_buttons_of_a_role_and_takes_no_others() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{}", server(""), admins()));
    let api = Api::start(&config).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let page = format!("/hooks/{hook}");
    for (role, shown, status) in [
        ("read", [false, false, false, false], [403, 403, 403, 403]),
        ("support", [true, true, false, false], [200, 303, 403, 403]),
        ("hooks", [true, true, true, false], [200, 303, 303, 403]),
        ("all", [true, true, true, true], [200, 303, 303, 200]),
    ] {
        let visit = Visit::with(&api.base, &token(role)).await;
        let (of_hook, of_tokens) = (visit.text(&page).await, visit.text("/tokens").await);
        let found = [
            of_hook.contains(&format!("{page}/test\"")),
            of_hook.contains(&format!("{page}/replay\"")),
            of_hook.contains(&format!("{page}/remove\"")),
            of_tokens.contains("Issue the token"),
        ];
        assert_eq!(found, shown, "{role}");
        let makes = visit.text("/hooks").await.contains("Make the hook");
        assert_eq!(makes, shown[2], "{role}");
        let answers = [
            visit.press(&format!("{page}/test"), "").await,
            visit.press(&format!("{page}/replay"), "").await,
            visit.press(&format!("{page}/enable"), "").await,
            visit.press("/tokens", "&owner=7").await,
        ];
        assert_eq!(
            answers.map(|answer| answer.status().as_u16()),
            status,
            "{role}"
        );
    }
}

#[tokio::test]
async fn the_console_does_what_is_of_its_role() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[console]\nlisten = \"127.0.0.1:0\"\npassword = \"correct horse\"\nrole = \"support\""
    ));
    let mut rowhook = harness::Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let log = rowhook.log();
    let address = log.split("console=").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let ask = async |sql: &str| {
        let mut psql = std::process::Command::new("psql");
        psql.args([
            "-h", host, "-p", port, "-U", "anyone", "-XAt", "-c", sql, "rowhook",
        ])
        .env("PGPASSWORD", "correct horse");
        let ended = tokio::task::spawn_blocking(move || psql.output().unwrap()).await;
        let ended = ended.unwrap();
        String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap()
    };
    assert!(ask("SHOW LAG").await.contains("state|attached"));
    let told = ask("RETRY msg_1").await;
    assert!(told.contains("there is no delivery"), "{told}");
    for (command, needed) in [("PAUSE", "all"), ("DISABLE 1", "hooks")] {
        let told = ask(command).await;
        let refusal = format!(
            "ERROR:  this needs the role {needed}, and console has the role support; see role under [console]"
        );
        assert!(told.contains(&refusal), "{told}");
    }
    assert!(ask("SHOW LAG").await.contains("paused|false"));
}
