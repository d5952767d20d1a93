//! `rowhook trigger`: sends an event for real, and shows the request and the answer.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::HeaderMap;
use serde_json::{Map, Value, json, value::RawValue};
use url::Url;

use super::{output, preview::Preview};
use crate::{
    act::{Act, Kind, Who, what},
    config::{Action, Config, EventRule, EventSource},
    delivery::load::Load,
    event::{Event, Position, Subject},
    hook::{Hook, HookId, Origin},
    manage::Admin,
    message::Message,
    payload::{Renderer, content_type},
    postgres::{Lsn, TableName, equality::Equality},
    preview::{explain::recipients, rehearsal},
    send::{Request, Sender, answer::Answer, target::Target},
    terminal::{plain, plain_lines},
};

/// The prefix of the `webhook-id` of an event that was sent by hand.
const ID_PREFIX: &str = "msg_test_";

/// The id of a hook that is made up for a URL.
const MADE_UP: &str = "trigger";

/// What to send, and where.
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
    /// The primary key of a row of the table; a JSON object if it has several columns.
    #[arg(long)]
    key: Option<String>,
}

/// Sends the event once and prints the exchange. Fails unless the endpoint accepted it.
pub(super) async fn trigger(config: &Config, args: &Args, json: bool) -> Result<()> {
    let preview = Preview::open(config).await?;
    let rule = preview.rule(&args.event)?;
    let event = event(&preview, rule, args).await?;
    let all_owners = rule.is_some_and(|rule| rule.all_owners);
    let (hook, note) = recipient(&preview, &event, all_owners, &args.to).await?;
    record(config, args, &hook).await?;
    let exchange = send(config, &event, &hook, note).await?;
    if json {
        output::json(&exchange.as_json())?;
    } else {
        exchange.print();
    }
    let arrived = matches!(
        exchange.answer,
        Answer::Status {
            code: 200..=299,
            ..
        }
    );
    ensure!(arrived, "it did not arrive: {}", exchange.answer);
    Ok(())
}

/// Puts it on record before it is sent. Where rowhook has no tables yet, there is no place for that.
async fn record(config: &Config, args: &Args, hook: &Hook) -> Result<()> {
    let who = Who::only(Kind::CommandLine);
    let admin = match Admin::open(Arc::new(config.clone()), "rowhook trigger", who.clone()).await {
        Ok(admin) => admin,
        Err(error) => {
            eprintln!(
                "this is not on record: {}",
                plain_lines(&format!("{error:#}"))
            );
            return Ok(());
        }
    };
    let mut act = Act::of(&who, what::EVENT_TRIGGERED).with("target", hook.target.display());
    act.event = Some(args.event.clone());
    if !is_made_up(hook) {
        act = act.on_hook(hook.id.as_str(), hook.owner.as_deref());
    }
    Ok(admin.record(act).await?)
}

/// Makes the event: from a row if its rule is about one, else from the payload that the user gave.
async fn event(preview: &Preview<'_>, rule: Option<&EventRule>, args: &Args) -> Result<Event> {
    match rule.map(|rule| (rule, &rule.source)) {
        Some((rule, EventSource::Row { table, action, .. })) => {
            event_of_row(preview, rule, table, action, args).await
        }
        Some((_, EventSource::Custom)) | None => event_of_message(args),
    }
}

/// The event of a row: of the one that is given, of the one with the key, or else of any.
async fn event_of_row(
    preview: &Preview<'_>,
    rule: &EventRule,
    table: &TableName,
    action: &Action,
    args: &Args,
) -> Result<Event> {
    let relation = preview.relation(table).await?;
    let row = match (&args.row, &args.key) {
        (Some(row), _) => rehearsal::row_of_json(&preview.client, &relation, row).await?,
        (None, Some(key)) => rehearsal::row_of_key(&preview.client, &relation, key).await?,
        // There is no row to be shown, and often none to be found.
        (None, None) if *action == Action::Truncated => Vec::new(),
        (None, None) => rehearsal::any_row(&preview.client, &relation).await?,
    };
    let change = Arc::new(rehearsal::change(Arc::new(relation), action, row, None));
    preview.learn_casts(&change).await?;
    let owner = preview.owner(&change).await?;
    let events = preview.events.of_table(table);
    let events = events.with_context(|| format!("no event is about the table {table}"))?;
    let mut rules = events.rules(&change.row).iter();
    let compiled = rules.find(|compiled| *compiled.name == *rule.name);
    let compiled = compiled.with_context(|| format!("{:?} is not fired by a row", rule.name))?;
    let added = preview.added(&change).await?;
    Ok(events.event(compiled, &change, added, owner, 0))
}

/// A custom event, with the payload that is given.
fn event_of_message(args: &Args) -> Result<Event> {
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
        owner_equality: Equality::Text,
    })
}

/// Finds the hook to send to, and the reason why it would not receive the event by itself, if there is one. For a URL
/// it is a hook made up for this.
async fn recipient(
    preview: &Preview<'_>,
    event: &Event,
    all_owners: bool,
    to: &str,
) -> Result<(Arc<Hook>, Option<String>)> {
    let roster = preview.roster().await?;
    if let Ok(url) = Url::parse(to)
        && url.has_host()
    {
        return Ok((Arc::new(hook_for(preview.config, &url)?), None));
    }
    let listed = roster
        .get(to)
        .with_context(|| format!("there is no hook {to:?}; name one by its id, or write a URL"))?;
    let hook = match &listed.made {
        Ok(hook) => Arc::clone(hook),
        Err(reason) => bail!("the hook {to} cannot be used: {reason}"),
    };
    let index = roster.index(&preview.events);
    let mut recipients = recipients(event, all_owners, &index, &roster).into_iter();
    let skipped = recipients
        .find(|recipient| recipient.hook == hook.id)
        .and_then(|recipient| recipient.skipped);
    Ok((hook, skipped.map(|reason| reason.to_string())))
}

/// Sends the event to the hook, once.
async fn send<'a>(
    config: &Config,
    event: &Event,
    hook: &'a Hook,
    note: Option<String>,
) -> Result<Exchange<'a>> {
    let id = format!("{ID_PREFIX}{:032x}", rand::random::<u128>());
    let mut renderer = Renderer::new(event);
    let body = renderer.render(hook);
    if let Some(flaw) = renderer.flaw(hook) {
        bail!("nothing was sent: {flaw}");
    }
    let content_type = content_type(&hook.delivery);
    let load = Load::of_one(hook.delivery.batch, &id, content_type, &body);
    let request = Request {
        target: &hook.target,
        id: &id,
        batch: load.members.as_deref(),
        body: load.body.clone(),
        content_type: &load.content_type,
        compress: hook.delivery.compress,
        at: SystemTime::now(),
        timeout: hook.delivery.timeout,
        span: None,
    };
    let headers = request.headers();
    let sender = Sender::new(&config.delivery)?;
    let started = Instant::now();
    let answer = sender.send(request).await;
    Ok(Exchange {
        target: &hook.target,
        headers,
        body: load.body,
        answer,
        took: started.elapsed(),
        note,
    })
}

/// Whether the hook is one for a URL, and not one of somebody.
fn is_made_up(hook: &Hook) -> bool {
    hook.origin == Origin::File && hook.id.as_str() == MADE_UP && hook.events.is_empty()
}

/// A hook made up for a URL: with the settings of `[delivery]`, and unsigned.
fn hook_for(config: &Config, url: &Url) -> Result<Hook> {
    Ok(Hook {
        id: HookId::new(MADE_UP, false),
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

/// A request and its answer.
struct Exchange<'a> {
    target: &'a Target,
    headers: HeaderMap,
    body: Bytes,
    answer: Answer,
    took: Duration,
    /// Why the hook would not have received the event by itself.
    note: Option<String>,
}

impl Exchange<'_> {
    fn print(&self) {
        if let Some(note) = &self.note {
            let note = plain(note);
            println!("note: by itself the hook would not hear of this. {note}\n");
        }
        let url = plain(self.target.display());
        println!("{} {url}", self.target.method());
        print_message(&self.headers, &self.body);
        let answer = self.answer.to_string();
        println!("{} after {:.1?}", plain(&answer), self.took);
        if let Answer::Status { headers, body, .. } = &self.answer {
            print_message(headers, body);
        }
    }

    fn as_json(&self) -> Value {
        let answer = match &self.answer {
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
                "method": self.target.method().as_str(),
                "url": self.target.display(),
                "headers": headers_json(&self.headers),
                "body": String::from_utf8_lossy(&self.body),
            },
            "answer": answer,
            "took_ms": self.took.as_secs_f64() * 1000.0,
            "note": self.note,
        })
    }
}

/// Prints the headers and the body of a request or an answer.
fn print_message(headers: &HeaderMap, body: &[u8]) {
    for (name, value) in shown(headers) {
        println!("{name}: {}", plain(&value));
    }
    println!();
    if !body.is_empty() {
        println!("{}\n", plain_lines(&String::from_utf8_lossy(body)));
    }
}

fn headers_json(headers: &HeaderMap) -> Value {
    let headers: Map<String, Value> = shown(headers)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    headers.into()
}

/// The headers by name. Values that may be secret are hidden.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| {
        let value = match value.is_sensitive() {
            true => "(hidden)".to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str(), value)
    })
}
