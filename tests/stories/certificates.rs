//! Hooks of the hook table that present a client certificate of hooks.toml.

use std::path::Path;

use axum::Router;
use harness::{BOOK_EVENTS, Database, Http2, Manners, certify};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::api::{ADMIN, Api, server};

async fn demanding(client: &Path) -> Http2 {
    let app = Router::new().fallback(async || "");
    Http2::demanding(Some(client), app, |_| Manners::Answers).await
}

#[tokio::test]
async fn a_hook_presents_the_certificate_that_it_names_if_it_may_have_that() {
    let database = Database::bookstore().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    certify(folder.path(), "partner.pem", "partner.key");
    let endpoint = demanding(&file("partner.pem")).await;
    let certificates = format!(
        "[[certificates]]\nname = \"partner\"\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\nowners = [\"7\"]\n",
        file("partner.pem").display(),
        file("partner.key").display(),
        endpoint.authority_file(),
    );
    let config = database.config(&format!("{BOOK_EVENTS}\n{certificates}\n{}", server("")));
    let api = Api::start(&config).await;
    let url = endpoint.url.clone();
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, certificate) values
                ('7', 'book.added', '{url}', 'partner'),
                ('8', 'book.added', '{url}', 'partner'),
                ('7', 'book.added', '{url}', 'stranger'),
                ('7', 'book.added', 'http://127.0.0.1:1/', 'partner'),
                (null, 'book.added', '{url}', 'partner')"
        ))
        .await;
    let invalid = "select string_agg(id::text, ',' order by id) = '2,3,4' and bool_and(invalid like '%certificate%')
                   from rowhook.hook where invalid is not null";
    database
        .until("those that may not have it say so", invalid)
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 8, 1, 'Emma', 9)")
        .await;
    harness::until_within(harness::DEADLINE, "two hooks are believed", async || {
        endpoint.answered() == 3
    })
    .await;
    database.until_all_has_arrived().await;

    // The same through the API, where the owner changes only what they may have.
    let token = api.token("8", "write").await;
    let new = json!({"event": "book.added", "target": url, "certificate": "partner"});
    let refused = api.post("/api/hooks", &token, new.clone()).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(
        refused.text.contains("none that it may use") && !refused.text.contains(".pem"),
        "{}",
        refused.text
    );
    let made = api.post("/api/hooks", ADMIN, new).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["certificate"], "partner");
}

#[tokio::test]
async fn a_certificate_is_read_again_at_sighup() {
    let database = Database::bookstore().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    certify(folder.path(), "partner.pem", "partner.key");
    certify(folder.path(), "next.pem", "next.key");
    let endpoint = demanding(&file("next.pem")).await;
    let certificates = format!(
        "[[certificates]]\nname = \"partner\"\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\nowners = [\"*\"]\n",
        file("partner.pem").display(),
        file("partner.key").display(),
        endpoint.authority_file(),
    );
    let mut rowhook = database
        .rowhook(&format!("{BOOK_EVENTS}\n{certificates}"))
        .await;
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, certificate)
             values ('7', 'book.added', '{}', 'partner')",
            endpoint.url
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let refused = "select count(*) > 0 from rowhook.attempt where error like 'no TLS%'";
    database
        .until("the endpoint believes another certificate", refused)
        .await;
    for kind in ["pem", "key"] {
        std::fs::copy(
            file(&format!("next.{kind}")),
            file(&format!("partner.{kind}")),
        )
        .unwrap();
    }
    rowhook.signal(Signal::SIGHUP);
    rowhook.until_log("reloaded").await;
    database
        .sql("update rowhook.delivery set state = 'parked', attempts = 0, next_attempt = now() where state = 'dead'")
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(endpoint.answered(), 1);
}
