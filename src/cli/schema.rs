//! `rowhook schema`: what a receiver of an event may rely on.

use anyhow::Result;
use serde_json::{Map, json};

use super::stage::{Stage, print_json};
use crate::{
    config::{Config, EventSource, PayloadFormat},
    schema::{About, Shape, content_type, schema},
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
    let about = match &relation {
        Some((relation, table, action)) => About::Row {
            relation,
            action,
            columns: match stage.events.of_table(table) {
                Some(events) => &events.columns,
                None => &crate::config::Columns::All,
            },
        },
        None => About::Anything,
    };
    let shape = Shape { event, about };
    let payloads: Vec<_> = PayloadFormat::all()
        .filter(|(_, format)| wanted.is_none_or(|wanted| wanted == *format))
        .collect();
    if json {
        let told = payloads.iter().map(|(name, format)| {
            let told =
                json!({"content_type": content_type(*format), "schema": schema(shape, *format)});
            ((*name).to_owned(), told)
        });
        let payloads: Map<_, _> = told.collect();
        return print_json(&json!({"event": event, "payloads": payloads}));
    }
    for (name, format) in payloads {
        let head = format!("{event} as {name}, content-type: {}", content_type(format));
        if wanted.is_some() {
            // Standard output is the schema and nothing else.
            eprintln!("{head}");
        } else {
            println!("{head}");
        }
        print_json(&schema(shape, format))?;
    }
    Ok(())
}
