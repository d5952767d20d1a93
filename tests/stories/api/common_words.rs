//! The words that other senders of webhooks and their subscribers have for the same things.

use harness::{BOOK_EVENTS, Database, Receiver, rowhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, server};

async fn bookstore() -> (Database, Receiver, Api) {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    (database, receiver, Api::start(&config).await)
}

#[tokio::test]
async fn a_target_is_taken_under_each_of_its_common_names() {
    let (_database, receiver, api) = bookstore().await;
    for name in ["target", "target_url", "targetUrl", "hookUrl", "url"] {
        let hook = json!({"event": "book.added", name: receiver.url()});
        let made = api.post("/api/hooks", ADMIN, hook).await;
        assert_eq!(made.status, 201, "{name}: {}", made.text);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        let change = json!({name: format!("{}changed", receiver.url())});
        let path = format!("/api/hooks/{id}");
        let changed = api.ask(Method::PATCH, &path, ADMIN, Some(&change)).await;
        assert!(changed.text.contains("changed\""), "{}", changed.text);
    }
    let both = json!({"event": "book.added", "url": receiver.url(), "target": receiver.url()});
    let refused = api.post("/api/hooks", ADMIN, both).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn a_hook_is_made_by_a_form_and_hears() {
    let (database, receiver, api) = bookstore().await;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("event", "book.added")
        .append_pair("target_url", &receiver.url())
        .append_pair("description", "")
        .append_pair("headers[x-shop]", "a & b")
        .finish();
    let made = api.form(Method::POST, "/api/hooks/", ADMIN, &form).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["description"], Value::Null);
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    assert_eq!(receiver.expect(1).await[0].header("x-shop"), "a & b");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/hooks/{id}");
    let changed = api
        .form(Method::PATCH, &path, ADMIN, "description=mine")
        .await;
    assert_eq!(changed.json()["description"], json!("mine"));
    let plain = [("content-type", "text/plain")];
    let refused = api
        .ask_with(Method::POST, "/api/hooks", ADMIN, None, &plain)
        .await;
    assert_eq!(refused.status, 415);
}

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference() {
    let (_database, receiver, api) = bookstore().await;
    let hook = json!({"event": "book.added", "target": receiver.url()});
    let made = api.post("/api/hooks/", ADMIN, hook).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let listed = api.get("/api/hooks/?limit=1", ADMIN).await.json();
    assert_eq!(listed["data"][0]["id"], json!(id));
    for path in [format!("/api/hooks/{id}/"), "/health/live/".into()] {
        assert_eq!(api.get(&path, ADMIN).await.status, 200, "{path}");
    }
    // A token is never kept with an idempotency key, with a slash neither.
    let key = [("idempotency-key", "once")];
    let wanted = json!({"owner": "7"});
    let token = async || {
        let path = "/api/tokens/";
        let made = api
            .ask_with(Method::POST, path, ADMIN, Some(&wanted), &key)
            .await;
        made.json()["token"].as_str().unwrap().to_owned()
    };
    assert_ne!(token().await, token().await);
}

#[tokio::test]
async fn put_replaces_a_hook_and_leaves_its_owner_and_its_secret() {
    let (_database, receiver, api) = bookstore().await;
    let anna = api.token("7", "write").await;
    let hook = json!({
        "event": "book.added", "target": receiver.url(), "description": "first", "filter": "new.id > 1"
    });
    let made = api.post("/api/hooks", &anna, hook).await.json();
    let path = format!("/api/hooks/{}", made["id"].as_str().unwrap());
    let next = json!({"event": "book.*", "url": receiver.url(), "headers": {"x-a": "1"}});
    let replaced = api.ask(Method::PUT, &path, &anna, Some(&next)).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    let replaced = replaced.json();
    assert_eq!(
        (
            &replaced["event"],
            &replaced["description"],
            &replaced["filter"],
            &replaced["headers"]
        ),
        (
            &json!("book.*"),
            &Value::Null,
            &Value::Null,
            &json!(["x-a"])
        )
    );
    assert_eq!(
        (&replaced["owner"], &replaced["signed"]),
        (&json!("7"), &json!(true))
    );
    for more in [json!({"owner": "8"}), json!({"secret": "whsec_AAAA"})] {
        let mut wanted = next.clone();
        wanted
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let refused = api.ask(Method::PUT, &path, &anna, Some(&wanted)).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
    }
    let bertas = api.token("8", "write").await;
    let refused = api.ask(Method::PUT, &path, &bertas, Some(&next)).await;
    assert_eq!(refused.status, 404, "{}", refused.text);
}

#[tokio::test]
async fn a_hook_of_the_file_is_shown_with_all_that_it_says() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let hook = format!(
        "[[hooks]]\nname = \"warehouse\"\nevents = \"book.*\"\ntarget = \"{}\"\n\
         description = \"stock <b>\"\npayload = \"netbox\"\nversion = \"4.4\"\nuser_agent = \"shop/1\"\n",
        receiver.url()
    );
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{hook}", server("")));
    let api = Api::start(&config).await;
    let shown = api.get("/api/hooks/warehouse", ADMIN).await.json();
    assert_eq!(
        (
            &shown["description"],
            &shown["payload"],
            &shown["user_agent"]
        ),
        (&json!("stock <b>"), &json!("netbox-4.4"), &json!("shop/1"))
    );
    let listed = rowhook(&config, &["--json", "hooks", "list"]);
    assert!(listed.out.contains("stock <b>"), "{}", listed.out);
    let printed = rowhook(&config, &["hooks", "show", "warehouse"]);
    assert!(printed.out.contains("netbox-4.4"), "{}", printed.out);
}
