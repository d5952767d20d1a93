//! Spans of OpenTelemetry: what a collector gets, and that deliveries work without one.

use harness::{BOOK_EVENTS, Call, Database, Gate, Receiver, Rowhook};
use std::collections::HashMap;

use serde_json::{Value, json};

use crate::api::{Api, server};

fn tracing(collector: &str, more: &str) -> String {
    let collector = collector.trim_end_matches("/hook");
    format!("[tracing]\nendpoint = \"{collector}\"\n{more}\n")
}

/// The spans of all requests, by their start.
fn spans(calls: &[Call]) -> Vec<Value> {
    let mut spans = Vec::new();
    for call in calls {
        assert_eq!(call.path, "/v1/traces");
        assert_eq!(call.header("content-type"), "application/json");
        let body = call.json();
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
        {
            spans.push(span.clone());
        }
    }
    spans.sort_by_key(|span| number(&span["startTimeUnixNano"]));
    spans
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}

fn attributes(of: &Value) -> HashMap<&str, &Value> {
    let attributes = of["attributes"].as_array().unwrap().iter();
    attributes
        .map(|attribute| {
            let value = attribute["value"].as_object().unwrap().values().next();
            (attribute["key"].as_str().unwrap(), value.unwrap())
        })
        .collect()
}

fn traceparent(span: &Value) -> String {
    format!(
        "00-{}-{}-01",
        span["traceId"].as_str().unwrap(),
        span["spanId"].as_str().unwrap()
    )
}

#[tokio::test]
async fn attempts_of_a_delivery_are_spans_of_one_trace_that_the_receiver_is_told_of() {
    let database = Database::bookstore().await;
    let collector = Receiver::start().await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n[[hooks]]\nname = \"warehouse\"\nevents = [\"book.*\"]\ntarget = \"{}\"",
        tracing(&collector.url(), "service = \"shop hooks\""),
        receiver.url().replace("http://", "http://user:password@")
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(2).await;
    let sent = collector
        .until("two spans are there", |calls| spans(calls).len() == 2)
        .await;
    let resource = sent[0].json()["resourceSpans"][0]["resource"].clone();
    assert_eq!(attributes(&resource)["service.name"], &json!("shop hooks"));
    let spans = spans(&sent);
    assert_eq!(spans[0]["traceId"], spans[1]["traceId"]);
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    for (at, (span, call)) in spans.iter().zip(&calls).enumerate() {
        assert_eq!(call.header("traceparent"), traceparent(span));
        assert_eq!((&span["name"], &span["kind"]), (&json!("POST"), &json!(3)));
        assert!(number(&span["startTimeUnixNano"]) < number(&span["endTimeUnixNano"]));
        let told = attributes(span);
        for (name, value) in [
            ("http.request.method", "POST"),
            ("url.full", receiver.url().as_str()),
            ("http.response.status_code", ["500", "200"][at]),
            ("messaging.message.id", call.id()),
            ("rowhook.event", "book.added"),
            ("rowhook.hook", "warehouse"),
            ("rowhook.attempt", ["1", "2"][at]),
        ] {
            assert_eq!(told[name], &json!(value), "{name} of attempt {at}");
        }
    }
    assert_eq!(attributes(&spans[0])["error.type"], &json!("500"));
    assert_eq!(spans[0]["status"], json!({"code": 2}));
    assert!(!attributes(&spans[1]).contains_key("error.type"));
    assert_eq!(spans[1]["status"], Value::Null);
}

#[tokio::test]
async fn deliveries_go_on_when_the_collector_hangs_or_is_gone() {
    for gone in [false, true] {
        let database = Database::bookstore().await;
        let collector = Gate::closed().await;
        let receiver = Receiver::start().await;
        let endpoint = match gone {
            true => "http://127.0.0.1:1".to_owned(),
            false => collector.url(),
        };
        let config = database.config(&format!(
            "{BOOK_EVENTS}\n{}\n{}",
            tracing(&endpoint, ""),
            server("")
        ));
        let mut api = Api::start(&config).await;
        database
            .hook(Some("7"), "book.added", &receiver.url())
            .await;
        database
            .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 50) n")
            .await;
        receiver.expect(50).await;
        api.rowhook.until_log("spans were not sent").await;
        database
            .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(51, 60) n")
            .await;
        receiver.expect(60).await;
        database.until_all_has_arrived().await;
        let metrics = api.get("/metrics", "").await.text;
        let dropped = metrics
            .lines()
            .find_map(|line| line.strip_prefix("rowhook_spans_dropped_total "))
            .unwrap();
        assert!(dropped.parse::<u64>().unwrap() > 0, "{dropped}");
        assert!(api.rowhook.stop().success());
    }
}

#[tokio::test]
async fn a_batch_is_a_span_that_those_of_its_deliveries_link_to() {
    let database = Database::bookstore().await;
    let collector = Receiver::start().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n[[hooks]]\nname = \"warehouse\"\nevents = [\"book.*\"]\ntarget = \"{}\"\nbatch = {{ max = 2, wait = \"60s\" }}",
        tracing(&collector.url(), ""),
        receiver.url()
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 2) n")
        .await;
    let calls = receiver.expect(1).await;
    let sent = collector
        .until("three spans are there", |calls| spans(calls).len() == 3)
        .await;
    let spans = spans(&sent);
    let (requests, deliveries): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span["links"].is_null());
    assert_eq!(calls[0].header("traceparent"), traceparent(requests[0]));
    let told = attributes(requests[0]);
    assert_eq!(told["messaging.batch.message_count"], &json!("2"));
    assert_eq!(told["messaging.message.id"], &json!(calls[0].id()));
    let request = json!([{"traceId": requests[0]["traceId"], "spanId": requests[0]["spanId"]}]);
    for span in deliveries {
        assert_eq!(span["links"], request);
        let id = attributes(span)["messaging.message.id"].as_str().unwrap();
        assert!(calls[0].header("rowhook-batch").contains(id), "{id}");
        assert_ne!(span["traceId"], requests[0]["traceId"]);
    }
}

#[tokio::test]
async fn a_traceparent_of_the_hook_is_left_alone_and_without_the_section_there_is_none() {
    let database = Database::bookstore().await;
    let collector = Receiver::start().await;
    let receiver = Receiver::start().await;
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let hook = format!(
        "[[hooks]]\nname = \"warehouse\"\nevents = [\"book.*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    let traced = tracing(&collector.url(), "sample = 0");
    let with = format!("{BOOK_EVENTS}\n{traced}\n{hook}headers = {{ traceparent = \"{own}\" }}");
    let mut rowhook = Rowhook::start(&database.config(&with));
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    assert_eq!(receiver.expect(1).await[0].header("traceparent"), own);
    assert!(rowhook.stop().success());
    let unsampled = format!("{BOOK_EVENTS}\n{traced}\n{hook}");
    let mut rowhook = Rowhook::start(&database.config(&unsampled));
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let calls = receiver.expect(2).await;
    let told = calls.last().unwrap().header("traceparent").to_owned();
    assert!(told.starts_with("00-") && told.ends_with("-00"), "{told}");
    assert!(rowhook.stop().success());
    assert!(collector.calls().is_empty(), "nothing is sampled");
    let without = format!("{BOOK_EVENTS}\n{hook}");
    let mut rowhook = Rowhook::start(&database.config(&without));
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book values (3, 7, 1, 'Ulysses', 9)")
        .await;
    let calls = receiver.expect(3).await;
    assert!(!calls.last().unwrap().headers.contains_key("traceparent"));
}
