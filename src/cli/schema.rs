//! `rowhook schema`: the JSON Schema of what the receivers of an event get.

use anyhow::{Context, Result};
use serde_json::{Map, json};

use super::{output, preview::Preview};
use crate::{
    config::{Config, EventSource, PayloadFormat},
    event::shape::Shape,
    preview::schema::{About, Subject, schema},
};

/// Prints the schemas of an event. With `payload`, standard output is that one schema and nothing else, ready for a
/// file; without, it is the schemas of all payloads.
pub(super) async fn print(
    config: &Config,
    event: &str,
    payload: Option<&str>,
    json: bool,
) -> Result<()> {
    let preview = Preview::open(config).await?;
    let wanted = payload.map(format_named).transpose()?;
    let relation = match preview.rule(event)?.map(|rule| &rule.source) {
        Some(EventSource::Row { table, action, .. }) => {
            Some((preview.relation(table).await?, table, action))
        }
        Some(EventSource::Custom) | None => None,
    };
    let plain = Shape::default();
    let about = match &relation {
        Some((relation, table, action)) => About::Row {
            relation,
            action,
            shape: match preview.events.of_table(table) {
                Some(events) => &events.shape,
                None => &plain,
            },
        },
        None => About::Anything,
    };
    let subject = Subject { event, about };
    let payloads: Vec<_> = PayloadFormat::all()
        .filter(|(_, format)| wanted.is_none_or(|wanted| wanted == *format))
        .collect();
    if json {
        let payloads = payloads.iter().map(|(name, format)| {
            let described =
                json!({"content_type": format.content_type(), "schema": schema(subject, *format)});
            ((*name).to_owned(), described)
        });
        let payloads: Map<_, _> = payloads.collect();
        return output::json(&json!({"event": event, "payloads": payloads}));
    }
    for (name, format) in payloads {
        let head = format!("{event} as {name}, content-type: {}", format.content_type());
        match wanted {
            Some(_) => eprintln!("{head}"),
            None => output::line(&head)?,
        }
        output::json(&schema(subject, format))?;
    }
    Ok(())
}

/// The payload of this name.
fn format_named(name: &str) -> Result<PayloadFormat> {
    let names: Vec<&str> = PayloadFormat::all().map(|(name, _)| name).collect();
    PayloadFormat::parse(name).with_context(|| {
        format!(
            "there is no payload {name:?}; there are {}",
            names.join(", ")
        )
    })
}
