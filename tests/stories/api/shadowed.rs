//! A row of the application's hook table that has the name of a hook of hooks.toml.

use harness::{BOOK_EVENTS, Database, Receiver, rowhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, server};

const TABLE: &str =
    "create table webhook (id text primary key, user_id integer, event text, target text);
    alter table webhook replica identity full;";

#[tokio::test]
async fn its_owner_neither_reads_nor_tests_nor_replays_the_hook_of_the_operator() {
    let database = Database::bookstore().await;
    database.sql(TABLE).await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = database
        .config(&format!(
            "{BOOK_EVENTS}\n{}\n[hook_table]\ntable = \"webhook\"\n\n[[hooks]]\nname = \"warehouse\"\n\
             events = [\"book.added\"]\ntarget = \"{}\"\nheaders = {{ authorization = \"Bearer of-the-operator\" }}\n",
            server(""),
            receiver.url()
        ))
        .replace(
            "retries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]",
            "retries = false",
        );
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    database
        .sql("insert into webhook values ('warehouse', 7, 'book.added', 'http://127.0.0.1:1/hers')")
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead'";
    database.until("it is dead", dead).await;
    database
        .until("history has it", "select count(*) = 1 from rowhook.attempt")
        .await;
    // As a version that did not note whose deliveries are has left them.
    database
        .sql("update rowhook.delivery set owner = null, everyones = false")
        .await;
    database
        .sql("update rowhook.attempt set owner = null, everyones = false")
        .await;
    let noted = "select count(*) = 1 from rowhook.invalid_hook where hook = 'warehouse'";
    database.until("the row is invalid", noted).await;

    let hers = api.get("/api/hooks/warehouse", &anna).await.json();
    assert_eq!(
        (&hers["origin"], &hers["state"], &hers["target"]),
        (
            &json!("table"),
            &json!("invalid"),
            &json!("http://127.0.0.1:1/hers")
        )
    );
    assert_eq!(
        (&hers["dead"], &hers["last"], &hers["failing_since"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
    for path in ["/api/deliveries", "/api/hooks/warehouse/deliveries"] {
        let listed = api.get(path, &anna).await.json();
        assert_eq!(listed["data"], json!([]), "{path}");
    }
    for (path, body) in [
        ("/api/hooks/warehouse/test", json!({})),
        (
            "/api/replay",
            json!({"hook": "warehouse", "since": "2020-01-01T00:00:00Z"}),
        ),
        ("/api/retry-dead", json!({"hook": "warehouse"})),
    ] {
        let refused = api.post(path, &anna, body).await;
        assert_eq!(refused.status, 409, "{path}: {}", refused.text);
    }
    let id = database.ask("select id from rowhook.delivery").await;
    let path = format!("/api/deliveries/{id}");
    assert_eq!(api.get(&path, &anna).await.status, 404);
    let retried = api.post(&format!("{path}/retry"), &anna, json!({})).await;
    assert_eq!(retried.status, 404, "{}", retried.text);
    assert_eq!(
        receiver.calls().len(),
        1,
        "nothing went with the operator's credentials"
    );

    let theirs = api.get("/api/hooks/warehouse", ADMIN).await.json();
    assert_eq!(
        (&theirs["origin"], &theirs["invalid"], &theirs["dead"]),
        (&json!("file"), &Value::Null, &json!(1))
    );
    let shown = rowhook(&config, &["hooks", "show", "warehouse"]);
    assert!(shown.out.contains("hooks.toml"), "{}", shown.out);
    let removed = api
        .ask(Method::DELETE, "/api/hooks/warehouse", &anna, None)
        .await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    assert_eq!(api.get("/api/hooks/warehouse", ADMIN).await.status, 200);
    assert_eq!(api.get("/api/hooks/warehouse", &anna).await.status, 404);
}
