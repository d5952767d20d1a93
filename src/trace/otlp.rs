//! Spans in the JSON encoding of OTLP. Attributes are named by OpenTelemetry's semantic conventions for HTTP clients
//! and messaging, and by names of rowhook's own where those have none.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::span::{Of, Span};

/// The kind of a span that a client makes.
const CLIENT: u8 = 3;
/// The status code of a span that went wrong.
const ERROR: u8 = 2;

/// The body of a request to the collector with these spans.
pub(super) fn request(service: &str, spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        text("service.name", service),
        text("service.version", version),
    ];
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "rowhook", "version": version}, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Value {
    let method = span.hook.target.method().as_str();
    let ended_at = span.started_at + span.took;
    let mut object = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "name": method,
        "kind": CLIENT,
        "startTimeUnixNano": nanoseconds(span.started_at),
        "endTimeUnixNano": nanoseconds(ended_at),
        "attributes": attributes(span, method),
    });
    if let Some(request) = &span.request {
        object["links"] = json!([{
            "traceId": format!("{:032x}", request.trace),
            "spanId": format!("{:016x}", request.span),
        }]);
    }
    if span.error.is_some() {
        object["status"] = json!({"code": ERROR});
    }
    object
}

fn attributes(span: &Span, method: &str) -> Vec<Value> {
    let mut all = vec![
        text("http.request.method", method),
        text("url.full", span.hook.target.display()),
        text("messaging.system", "rowhook"),
        text("messaging.operation.type", "send"),
        text("messaging.message.id", &span.id),
        text("rowhook.hook", span.hook.id.as_str()),
    ];
    match &span.of {
        Of::Delivery { event, number } => {
            all.push(text("rowhook.event", event));
            all.push(number_of("rowhook.attempt", u64::from(*number)));
        }
        Of::Array(members) => {
            all.push(number_of("messaging.batch.message_count", *members as u64));
        }
    }
    if let Some(status) = span.status {
        all.push(number_of("http.response.status_code", u64::from(status)));
    }
    if let Some(error) = &span.error {
        all.push(text("error.type", error));
    }
    all
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A number as an attribute. Numbers of 64 bits are strings in this encoding.
fn number_of(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanoseconds(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_nanos().to_string()
}
