//! `/api/events`: the events that hooks may subscribe to.

use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use crate::server::{
    access::Caller,
    problem::Problem,
    request::{Json, Path, Query},
};
use crate::{
    config::PayloadFormat,
    manage::{PageRequest, deliveries::DeliveryQuery},
    preview::catalogue::{self, Described, Listed},
};

/// How many bodies the samples of an event have, at most.
const SAMPLES: u32 = 3;

/// List the events.
#[utoipa::path(get, path = "/api/events", tag = "events", operation_id = "listEvents",
    responses((status = 200, body = [Listed])))]
pub(super) async fn list(caller: Caller) -> Json<Vec<Listed>> {
    Json(catalogue::list(&caller.generation.config).collect())
}

/// Show an event, with the JSON Schema of its body and an example in each payload format.
#[utoipa::path(get, path = "/api/events/{name}", tag = "events", operation_id = "showEvent",
    params(("name" = String, Path, description = "The event's name")),
    responses((status = 200, body = Described)))]
pub(super) async fn show(caller: Caller, Path(name): Path) -> Result<Json<Described>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.describe_event(&name).await?))
}

/// Of which payload format the samples are.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleQuery {
    /// The payload format of the made-up sample; that of `[delivery]` if left out.
    payload: Option<String>,
}

fn payload_named(name: &str) -> Result<PayloadFormat, Problem> {
    let format = PayloadFormat::parse(name);
    format.ok_or_else(|| Problem::bad_request(format!("there is no payload format {name:?}")))
}

/// List samples of an event's bodies: what was last sent to hooks of the caller, the newest first, or else one with
/// made-up values. Zapier's performList takes them.
#[utoipa::path(get, path = "/api/events/{name}/samples", tag = "events", operation_id = "listSamples",
    params(("name" = String, Path, description = "The event's name"), SampleQuery),
    responses((status = 200, body = [Object])))]
pub(super) async fn samples(
    caller: Caller,
    Path(name): Path,
    Query(query): Query<SampleQuery>,
) -> Result<Json<Vec<Value>>, Problem> {
    let format = match &query.payload {
        Some(name) => payload_named(name)?,
        None => caller.generation.config.delivery.payload,
    };
    let admin = caller.admin().await?;
    let described = admin.describe_event(&name).await?;
    let query_of_event = DeliveryQuery {
        event: Some(name),
        ..DeliveryQuery::default()
    };
    let page = PageRequest {
        limit: Some(SAMPLES),
        cursor: None,
    };
    let mut samples: Vec<Value> = Vec::new();
    if query.payload.is_none() {
        let sent = admin
            .deliveries(caller.actor(), &query_of_event, &page)
            .await?;
        for delivery in sent.data {
            let detail = admin.delivery(caller.actor(), &delivery.id).await?;
            let whole = detail.body.filter(|body| !body.cut);
            let body = whole.and_then(|body| serde_json::from_str(&body.text).ok());
            samples.extend(body.filter(Value::is_object));
        }
    }
    if samples.is_empty() {
        let sent = described.payloads.into_iter();
        let mut sent = sent.filter(|(name, _)| *name == format.name());
        samples.extend(sent.next().map(|(_, sent)| sent.example));
    }
    Ok(Json(samples))
}
