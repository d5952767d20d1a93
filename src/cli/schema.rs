//! `rowhook schema`: the JSON Schema of what the receivers of an event get, or a document of all events or of the API.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{output, preview::Preview};
use crate::{
    config::{Config, PayloadFormat},
    preview::{asyncapi, catalogue, openapi},
    server::api,
};

/// The arguments of `rowhook schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An event of hooks.toml.
    #[arg(required_unless_present_any = ["asyncapi", "openapi", "api"])]
    event: Option<String>,
    /// Print the schema of this payload alone; default: of each. Of a document: its payload; default: the usual one of
    /// hooks.toml.
    #[arg(long, value_name = "NAME")]
    payload: Option<String>,
    /// Print an AsyncAPI 3.0 document of all events.
    #[arg(long, conflicts_with_all = ["event", "openapi"])]
    asyncapi: bool,
    /// Print an OpenAPI 3.1 document with all events as its webhooks.
    #[arg(long, conflicts_with = "event")]
    openapi: bool,
    /// Print the OpenAPI 3.1 document of rowhook's own API, which clients are generated from. Needs no hooks.toml.
    #[arg(long, conflicts_with_all = ["event", "payload", "asyncapi", "openapi"])]
    pub(super) api: bool,
}

/// Prints the document of rowhook's own API.
pub(super) fn print_api() -> Result<()> {
    output::json(&api::document())
}

/// Prints what is asked for. With a payload, standard output is that one schema and nothing else, ready for a file;
/// without, it is the schemas of all payloads.
pub(super) async fn print(config: &Config, args: &Args, json: bool) -> Result<()> {
    let preview = Preview::open(config).await?;
    let wanted = args.payload.as_deref().map(name_of_format).transpose()?;
    let Some(event) = &args.event else {
        let format = wanted.unwrap_or_else(|| config.delivery.payload.name());
        let document = match args.asyncapi {
            true => asyncapi::document,
            false => openapi::document,
        };
        let described = catalogue::describe_all(&preview.client, config, &preview.events).await?;
        return output::json(&document("Webhooks", &described, &format));
    };
    preview.rule(event)?;
    let described = catalogue::describe(&preview.client, config, &preview.events, event).await?;
    let described = described.with_context(|| format!("there is no event {event:?}"))?;
    let payloads = described.payloads.iter();
    let payloads =
        payloads.filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    if json {
        let payloads = payloads.map(|(name, sent)| {
            let described = json!({"content_type": sent.content_type, "schema": sent.schema});
            ((*name).to_owned(), described)
        });
        let payloads: Map<String, Value> = payloads.collect();
        return output::json(&json!({"event": event, "payloads": payloads}));
    }
    for (name, sent) in payloads {
        let head = format!("{event} as {name}, content-type: {}", sent.content_type);
        match wanted {
            Some(_) => eprintln!("{head}"),
            None => output::line(&head)?,
        }
        output::json(&sent.schema)?;
    }
    Ok(())
}

/// The name of the payload, if there is one of this name.
fn name_of_format(name: &str) -> Result<String> {
    let names: Vec<&str> = PayloadFormat::all().map(|(name, _)| name).collect();
    let format = PayloadFormat::parse(name);
    let format = format.with_context(|| {
        format!(
            "there is no payload {name:?}; there are {}",
            names.join(", ")
        )
    })?;
    Ok(format.name())
}
