//! The documents of all events, held against the official validators, and the catalogue that is open to everyone.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use harness::{BOOK_EVENTS, Database, rowhook};
use serde_json::{Value, json};

use super::client::{Api, server};
use crate::browser::Browser;

/// Says `valid`, or what is wrong with the AsyncAPI document of the standard input.
const ASYNCAPI: &str = r#"
const { Parser } = require("@asyncapi/parser");
const text = require("fs").readFileSync(0, "utf8");
new Parser().parse(text).then(({ document, diagnostics }) => {
  const wrong = diagnostics.filter((one) => one.severity < 2).map((one) => `${one.path.join(".")}: ${one.message}`);
  console.log(document && !wrong.length ? "valid" : wrong.join("\n"));
});
"#;

/// The same for an OpenAPI document.
const OPENAPI: &str = r#"
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
wrong = [str(error) for error in OpenAPIV31SpecValidator(json.load(sys.stdin)).iter_errors()]
print("\n".join(wrong) or "valid")
"#;

/// What a validator says of a document.
fn judged(mut validator: Command, document: &str) -> String {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    let mut child = validator
        .env("NODE_PATH", peers.join("node/node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the validator; make peers brings it");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(document.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn judged_as_asyncapi(document: &str) -> String {
    let mut node = Command::new("node");
    node.args(["-e", ASYNCAPI]);
    judged(node, document)
}

fn judged_as_openapi(document: &str) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin/python");
    let mut python = Command::new(python);
    python.args(["-c", OPENAPI]);
    judged(python, document)
}

const EVENTS: &str = r#"
"user.logged_in" = { on = "custom", description = "Somebody came.", example = '{"from": "10.1.2.3"}' }
"odd:name" = "shelf.created"
"odd_name" = "shelf.deleted"
"#;

// The validators take their time, and connections are looked after meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_all_events_are_valid() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}{EVENTS}"));
    for payload in [
        "rest-hooks",
        "standard",
        "django",
        "cloudevents",
        "netbox",
        "row",
    ] {
        let document = |kind| {
            let made = rowhook(&config, &["schema", kind, "--payload", payload]);
            assert_eq!(made.code, 0, "{}", made.err);
            made.out
        };
        let asyncapi = document("--asyncapi");
        assert_eq!(judged_as_asyncapi(&asyncapi), "valid", "{payload}");
        let openapi = document("--openapi");
        assert_eq!(judged_as_openapi(&openapi), "valid", "{payload}");
        let openapi: Value = serde_json::from_str(&openapi).unwrap();
        let webhook = &openapi["webhooks"]["user.logged_in"]["post"];
        assert_eq!(webhook["description"], json!("Somebody came."));
        let asyncapi: Value = serde_json::from_str(&asyncapi).unwrap();
        let messages = asyncapi["components"]["messages"].as_object().unwrap();
        let odd = messages
            .values()
            .filter(|one| one["name"].as_str().unwrap().starts_with("odd"));
        assert_eq!(odd.count(), 2, "{messages:?}");
    }
    // The validators find what is wrong.
    assert_ne!(judged_as_asyncapi(r#"{"asyncapi": "3.0.0"}"#), "valid");
    assert_ne!(judged_as_openapi(r#"{"openapi": "3.1.0"}"#), "valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_sees_the_catalogue_where_hooks_toml_says_so() {
    let database = Database::bookstore().await;
    let closed = Api::start(&database.config(&format!("{BOOK_EVENTS}{}", server("")))).await;
    for path in [
        "/catalogue",
        "/catalogue/asyncapi.json",
        "/catalogue/openapi.json",
    ] {
        assert_eq!(closed.get(path, "").await.status, 404, "{path}");
    }
    drop(closed);

    database
        .sql("insert into book values (1, 7, 1, 'A secret title', 9)")
        .await;
    let config = format!("{BOOK_EVENTS}{EVENTS}{}", server("catalogue = true"));
    let api = Api::start(&database.config(&config)).await;
    let page = api.get("/catalogue", "").await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text.contains("A secret title"),
        "rows are nobody's business"
    );
    let asyncapi = api.get("/catalogue/asyncapi.json", "").await;
    let openapi = api.get("/catalogue/openapi.json", "").await;
    assert_eq!(judged_as_asyncapi(&asyncapi.text), "valid");
    assert_eq!(judged_as_openapi(&openapi.text), "valid");

    let browser = Browser::start().await;
    browser.open(&format!("{}/catalogue", api.base)).await;
    browser.see("//h1[.='Events']").await;
    browser
        .see("//article[@id='book.added']//pre[contains(., '\"title\": \"title\"')]")
        .await;
    browser
        .see("//article[@id='user.logged_in']//p[.='Somebody came.']")
        .await;
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}
