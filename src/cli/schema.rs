//! `rowhook schema`: what a receiver of an event may rely on.

use anyhow::Result;
use serde_json::{Map, json};

use super::preview::{Stage, print_json};
use crate::{
    config::{Config, EventSource, PayloadFormat},
    preview::schema::{About, Subject, schema},
};

/// Prints the schema of one payload, for a file, or those of all of them.
pub(super) async fn print(
    config: &Config,
    event: &str,
    payload: Option<&str>,
    json: bool,
) -> Result<()> {
    let stage = Stage::open(config).await?;
    let wanted = payload.map(super::payload).transpose()?;
    let relation = match stage.rule(event)?.map(|rule| &rule.source) {
        Some(EventSource::Row { table, action, .. }) => {
            Some((stage.relation(table).await?, table, action))
        }
        Some(EventSource::Custom) | None => None,
    };
    let plain = Default::default();
    let about = match &relation {
        Some((relation, table, action)) => About::Row {
            relation,
            action,
            shape: match stage.events.of_table(table) {
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
        let told = payloads.iter().map(|(name, format)| {
            let told =
                json!({"content_type": format.content_type(), "schema": schema(subject, *format)});
            ((*name).to_owned(), told)
        });
        let payloads: Map<_, _> = told.collect();
        return print_json(&json!({"event": event, "payloads": payloads}));
    }
    for (name, format) in payloads {
        let head = format!("{event} as {name}, content-type: {}", format.content_type());
        if wanted.is_some() {
            // Standard output is the schema and nothing else.
            eprintln!("{head}");
        } else {
            println!("{head}");
        }
        print_json(&schema(subject, format))?;
    }
    Ok(())
}
