//! Hooks as the book shows them: what a receiver of another system gets from them.

use harness::{Database, Receiver};
use serde_json::{Value, json};

const PEERS: &str = include_str!("../../docs/book/peers.md");
const SLACK: &str = include_str!("../../docs/book/recipes/slack.md");

/// The `[[hooks]]` of a page that is for this one, with the receiver as its target.
fn shown(page: &str, name: &str, receiver: &Receiver) -> String {
    let mut blocks = page.split("```toml\n").skip(1);
    let block = blocks.find(|block| {
        let first = block.lines().nth(1).unwrap_or_default();
        block.starts_with("[[hooks]]") && first.ends_with(&format!("= \"{name}\""))
    });
    let block = block.unwrap().split("```").next().unwrap();
    let lines = block.lines().map(|line| match line.split_once('=') {
        Some((key, _)) if key.trim() == "target" => format!("target = \"{}\"\n", receiver.url()),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

const EVENTS: &str = "[events]\n\"order.placed\" = \"orders.created\"\n\
    \"order.paid\" = { on = \"orders.updated\", changed = [\"status\"], when = \"new.status == 1\" }\n\
    [tables.orders]\nidentity = \"full\"\n";

/// What arrives at the hook of this name for an order that is placed and then paid.
async fn heard(page: &str, name: &str, calls: usize) -> Vec<Value> {
    let database = Database::new().await;
    database
        .sql("create table orders (id bigint primary key, status integer not null, total_cents integer not null)")
        .await;
    let receiver = Receiver::start().await;
    let hook = shown(page, name, &receiver);
    let _rowhook = database.rowhook(&format!("{EVENTS}{hook}")).await;
    database
        .sql("insert into orders values (7, 0, 1999); update orders set status = 1")
        .await;
    let calls = receiver.expect(calls).await;
    calls.iter().map(|call| call.json()).collect()
}

#[tokio::test]
async fn receivers_of_other_systems_get_the_bodies_that_they_know() {
    let (placed, paid) = (
        json!({"id": 7, "status": 0, "total_cents": 1999}),
        json!({"id": 7, "status": 1, "total_cents": 1999}),
    );
    assert_eq!(
        heard(PEERS, "supabase", 2).await,
        [
            json!({"type": "INSERT", "schema": "public", "table": "orders", "record": placed, "old_record": null}),
            json!({"type": "UPDATE", "schema": "public", "table": "orders", "record": paid, "old_record": placed}),
        ]
    );
    let mut events = heard(PEERS, "hasura", 2).await;
    for event in &mut events {
        assert!(event["created_at"].take().is_string());
    }
    let event = |name: &str, op: &str, old: &Value, new: &Value| {
        json!({
            "table": {"schema": "public", "name": "orders"},
            "trigger": {"name": name},
            "created_at": null,
            "event": {"op": op, "data": {"old": old, "new": new}},
        })
    };
    assert_eq!(
        events,
        [
            event("order.placed", "INSERT", &Value::Null, &placed),
            event("order.paid", "UPDATE", &placed, &paid),
        ]
    );
}

#[tokio::test]
async fn slack_gets_the_text_of_a_message() {
    assert_eq!(
        heard(SLACK, "slack", 1).await,
        [json!({"text": "Order 7 is paid: 19.99 EUR"})]
    );
}
