//! `rowhook trigger`: sends an event for real, and shows what was said and answered.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use http::header::HeaderMap;
use serde_json::{Map, Value, json, value::RawValue};
use url::Url;

use super::preview::{Stage, print_json};
use crate::{
    config::{Config, EventRule, EventSource},
    delivery::load::Load,
    event::{Event, Position, Subject},
    hook::{Hook, HookId, Origin},
    message::Message,
    payload::Renderer,
    postgres::Lsn,
    preview::{explain::listen, rehearsal},
    send::{Request, Sender, answer::Answer, target::Target},
};

/// Ids of what was sent by hand begin so.
const PREFIX: &str = "msg_test_";

/// What is sent where.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An event of hooks.toml.
    event: String,
    /// The id or name of a hook, or a URL.
    #[arg(value_name = "HOOK|URL")]
    to: String,
    /// The row, as a JSON object; columns that it does not name are null. For a custom event: its payload, any JSON.
    #[arg(long, value_name = "JSON", conflicts_with = "key")]
    row: Option<String>,
    /// The primary key of a row of the table; where that has several columns, a JSON object of them.
    #[arg(long)]
    key: Option<String>,
}

/// Sends once, prints, and fails unless it arrived.
pub(super) async fn trigger(config: &Config, args: &Args, json: bool) -> Result<()> {
    let stage = Stage::open(config).await?;
    let rule = stage.rule(&args.event)?;
    let event = match rule {
        Some(
            rule @ EventRule {
                source: EventSource::Row { .. },
                ..
            },
        ) => of_row(&stage, rule, args).await?,
        _ => of_message(args)?,
    };
    let roster = stage.roster().await?;
    let (hook, note) = match Url::parse(&args.to) {
        Ok(url) if url.has_host() => (Arc::new(stranger(config, &url)?), None),
        _ => {
            let listed = roster.get(&args.to).with_context(|| {
                format!(
                    "there is no hook {:?}; name one by its id, or write a URL",
                    args.to
                )
            })?;
            let hook = match &listed.made {
                Ok(hook) => Arc::clone(hook),
                Err(reason) => bail!("the hook {} cannot be used: {reason}", args.to),
            };
            let all_owners = rule.is_some_and(|rule| rule.all_owners);
            let index = roster.index(&stage.events);
            let heard = listen(&event, all_owners, &index, &roster);
            let deaf = heard
                .into_iter()
                .find(|(id, _)| *id == hook.id)
                .and_then(|(_, deaf)| deaf);
            (hook, deaf.map(|deaf| deaf.to_string()))
        }
    };
    let id = format!("{PREFIX}{:032x}", rand::random::<u128>());
    let mut renderer = Renderer::new(&event);
    let body = renderer.render(&hook);
    if let Some(flaw) = renderer.flaw() {
        bail!("nothing was sent: {flaw}");
    }
    let content_type = hook.delivery.payload.content_type();
    let load = Load::of_one(hook.delivery.batch, &id, content_type, &body);
    let request = Request {
        target: &hook.target,
        id: &id,
        batch: load.members.as_deref(),
        body: load.body.clone(),
        content_type: &load.content_type,
        at: SystemTime::now(),
        timeout: hook.delivery.timeout,
        span: None,
    };
    let headers = request.headers();
    let sender = Sender::new(&config.delivery)?;
    let started = Instant::now();
    let answer = sender.send(request).await;
    let exchange = Exchange {
        method: hook.target.method().as_str(),
        url: hook.target.display(),
        headers,
        body: &load.body,
        answer: &answer,
        took: started.elapsed(),
        note,
    };
    if json {
        print_json(&exchange.as_json())?;
    } else {
        exchange.print();
    }
    let arrived = matches!(
        answer,
        Answer::Status {
            code: 200..=299,
            ..
        }
    );
    ensure!(arrived, "it did not arrive: {answer}");
    Ok(())
}

/// The event of a row: the one that is given, the one with the key, or any.
async fn of_row(stage: &Stage<'_>, rule: &EventRule, args: &Args) -> Result<Event> {
    let EventSource::Row { table, action, .. } = &rule.source else {
        bail!("{:?} has no row", rule.name);
    };
    let relation = stage.relation(table).await?;
    let row = match (&args.row, &args.key) {
        (Some(row), _) => rehearsal::row_of_json(&stage.client, &relation, row).await?,
        (None, Some(key)) => rehearsal::row_of_key(&stage.client, &relation, key).await?,
        (None, None) => rehearsal::any_row(&stage.client, &relation).await?,
    };
    let change = Arc::new(rehearsal::change(Arc::new(relation), action, row, None));
    let owner = stage.owner(&change).await?;
    let events = stage.events.of_table(table);
    let events = events.with_context(|| format!("no event is about the table {table}"))?;
    let mut rules = events.rules(&change.row).iter();
    let made = rules.find(|made| *made.name == *rule.name);
    let made = made.with_context(|| format!("{:?} is not fired by a row", rule.name))?;
    Ok(events.event(made, &change, stage.added(&change).await?, owner, 0))
}

/// A custom event.
fn of_message(args: &Args) -> Result<Event> {
    ensure!(
        args.key.is_none(),
        "{:?} has no table to look for a key in; give its payload with --row",
        args.event
    );
    let payload = args.row.clone().unwrap_or_else(|| "null".to_owned());
    let payload = RawValue::from_string(payload)
        .with_context(|| format!("--row {:?} is not JSON", args.row.as_deref().unwrap_or("")))?;
    let message = Message {
        payload,
        ..Message::own(&args.event, Value::Null)
    };
    Ok(Event {
        name: args.event.as_str().into(),
        owner: None,
        subject: Subject::Message(Arc::new(message)),
        position: Position {
            commit_lsn: Lsn::ZERO,
            index: 0,
        },
        commit_time: SystemTime::now(),
    })
}

/// A hook for a URL that is nobody's: with the settings of `[delivery]`, and unsigned.
fn stranger(config: &Config, url: &Url) -> Result<Hook> {
    Ok(Hook {
        id: HookId::new("trigger", false),
        owner: None,
        events: [].into(),
        filter: None,
        target: Target::new(url, None, &[])?,
        delivery: Arc::new(config.delivery.clone()),
        since: None,
        active: true,
        origin: Origin::File,
    })
}

/// What was said, and what was answered.
struct Exchange<'a> {
    method: &'a str,
    url: &'a str,
    headers: HeaderMap,
    body: &'a [u8],
    answer: &'a Answer,
    took: Duration,
    /// Why the hook would not have heard of it by itself.
    note: Option<String>,
}

impl Exchange<'_> {
    fn print(&self) {
        if let Some(note) = &self.note {
            println!("note: by itself the hook would not hear of this. {note}\n");
        }
        println!("{} {}", self.method, self.url);
        print_message(&self.headers, self.body);
        println!("{} after {:.1?}", self.answer, self.took);
        if let Answer::Status { headers, body, .. } = self.answer {
            print_message(headers, body);
        }
    }

    fn as_json(&self) -> Value {
        let answer = match self.answer {
            Answer::Status {
                code,
                headers,
                body,
                ..
            } => {
                json!({"status": code, "headers": headers_json(headers), "body": String::from_utf8_lossy(body)})
            }
            Answer::Failed(failure) => json!({"error": failure.to_string()}),
        };
        json!({
            "request": {
                "method": self.method,
                "url": self.url,
                "headers": headers_json(&self.headers),
                "body": String::from_utf8_lossy(self.body),
            },
            "answer": answer,
            "took_ms": self.took.as_secs_f64() * 1000.0,
            "note": self.note,
        })
    }
}

fn print_message(headers: &HeaderMap, body: &[u8]) {
    for (name, value) in shown(headers) {
        println!("{name}: {value}");
    }
    println!();
    if !body.is_empty() {
        println!("{}\n", String::from_utf8_lossy(body));
    }
}

fn headers_json(headers: &HeaderMap) -> Value {
    let headers: Map<String, Value> = shown(headers)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    headers.into()
}

/// Headers by name, without what may be a secret.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| {
        let value = match value.is_sensitive() {
            true => "(hidden)".to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str(), value)
    })
}
