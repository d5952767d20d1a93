//! `[tracing]`: where spans are sent.

use url::Url;

use super::reader::{Keys, Table, Value};

/// `[tracing]`: where spans of attempts are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The URL of a collector that takes traces by OTLP over HTTP: `endpoint` with `/v1/traces` appended.
    pub endpoint: Url,
    /// The fraction of all traces that is sent, from 0 to 1. Default 1.
    pub sample: f64,
    /// The name that rowhook has in traces. Default `rowhook`.
    pub service: String,
}

pub(super) const KEYS: Keys = Keys {
    known: &["endpoint", "sample", "service"],
    later: &[],
};

const EXAMPLE: &str = "\"http://127.0.0.1:4318\"";
const SERVICE: &str = "rowhook";

pub(super) fn read(section: &Table<'_>) -> Option<Tracing> {
    let remedy = format!("endpoint = {EXAMPLE}, or remove [tracing]");
    let endpoint = section.need("endpoint", &remedy).and_then(endpoint);
    let sample = section.find("sample").and_then(Value::share);
    let service = section.string("service");
    Some(Tracing {
        endpoint: endpoint?,
        sample: sample.unwrap_or(1.0),
        service: service.unwrap_or_else(|| SERVICE.to_owned()),
    })
}

/// The URL of a collector, with the path for traces of OTLP over HTTP.
fn endpoint(value: &Value<'_>) -> Option<Url> {
    let text = value.string()?;
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    let Some(mut url) = url else {
        value.wrong(format!(
            "{} is no address of a collector; write one such as {EXAMPLE}",
            value.quote(&text)
        ));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        value.wrong(format!(
            "{} has credentials; write it without them, and have a collector beside rowhook that knows them",
            value.key
        ));
        return None;
    }
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}
