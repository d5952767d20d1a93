//! History in the table `attempt`.

use std::{borrow::Cow, collections::BTreeSet, time::SystemTime};

use anyhow::{Context, Result};
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use serde_json::{Map, Value};
use tokio_postgres::Client;

use super::{
    columns::{Columns, row},
    redact::redacted,
    rows::lanes_of,
    text::{Charset, without_nul},
};
use crate::{
    config,
    delivery::{about, attempt::Attempt, whose::Whose},
    message::{Delivered, OWN_EVENTS, PREFIX},
    send::{ROWHOOK_BATCH, answer::Answer},
};

/// How many bytes of headers are kept of a request or an answer.
const HEADER_BYTES: usize = 4096;
/// How many attempts are deleted at a time.
const PART: i64 = 5000;
/// Stands for a value that may be secret.
const HIDDEN: &str = "…";

row! {
    /// An attempt, as `record_attempts.sql` takes it.
    struct Recorded<'a> {
        delivery: &'a str,
        hook: &'a str,
        event: &'a str,
        number: i32,
        started_at: SystemTime,
        took_ms: f64,
        delivered: bool,
        status: Option<i32>,
        error: Option<String>,
        url: &'a str,
        request_headers: String,
        request_body: Option<Cow<'a, [u8]>>,
        response_headers: Option<String>,
        response_body: Option<&'a [u8]>,
        commit_lsn: String,
        event_index: i64,
        commit_time: SystemTime,
        lane: i64,
        other_lane: Option<i64>,
        owner: Option<&'a str>,
        everyones: bool,
        method: &'a str,
        about: String,
    }
}

impl<'a> Recorded<'a> {
    fn new(attempt: &'a Attempt, rules: &config::History, charset: Charset) -> Self {
        let held = |headers: &HeaderMap| charset.hold(&to_json(headers)).into_owned();
        let (status, error, response_headers, response_body) = match &attempt.answer {
            Answer::Status {
                code,
                headers,
                body,
                ..
            } => (
                Some(i32::from(*code)),
                None,
                Some(held(headers)),
                Some(&body[..]).filter(|_| rules.bodies),
            ),
            Answer::Failed(failure) => {
                let error = charset.hold(&failure.to_string()).into_owned();
                (None, Some(error), None, None)
            }
        };
        let (lane, other_lane) = lanes_of(attempt.place);
        let kept = redacted(&rules.redact, attempt, response_body);
        Self {
            delivery: &attempt.delivery,
            hook: attempt.hook.id.as_str(),
            event: &attempt.event,
            number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
            started_at: attempt.started_at,
            took_ms: attempt.took.as_secs_f64() * 1000.0,
            delivered: attempt.delivered,
            status,
            error,
            url: attempt.hook.target.display(),
            request_headers: held(&request_headers(attempt)),
            request_body: kept.request,
            response_headers,
            response_body: kept.response,
            commit_lsn: attempt.position.commit_lsn.to_string(),
            event_index: i64::try_from(attempt.position.index).unwrap_or(i64::MAX),
            commit_time: attempt.commit_time,
            lane,
            other_lane,
            owner: attempt.whose.owner(),
            everyones: attempt.whose == Whose::Everyone,
            method: attempt.hook.target.method().as_str(),
            about: about::to_array(&attempt.about),
        }
    }
}

fn request_headers(attempt: &Attempt) -> HeaderMap {
    let id = attempt.batch.as_ref().unwrap_or(&attempt.delivery);
    let target = &attempt.hook.target;
    let mut headers = target.headers(id, &attempt.content_type, attempt.started_at);
    if attempt.batch.is_some() {
        // The value is left out: with it, the history of each member would hold the ids of all.
        let mut ids = HeaderValue::from_static("");
        ids.set_sensitive(true);
        headers.insert(ROWHOOK_BATCH, ids);
    }
    headers
}

/// Writes attempts, and deletes the successes of their hooks that are too many by now.
pub(super) async fn record(
    client: &Client,
    attempts: &[Attempt],
    rules: &config::History,
) -> Result<()> {
    let charset = Charset::of(client).await.context("prepare the history")?;
    let rows = attempts
        .iter()
        .map(|attempt| Recorded::new(attempt, rules, charset));
    let columns: Columns<'_> = rows.collect();
    let sql = include_str!("../../sql/store/record_attempts.sql");
    let written = client.execute(sql, &columns.parameters()).await;
    written.context("write attempts")?;
    if rules.delivered {
        tell_delivered(client, attempts).await?;
    }
    let delivered = attempts.iter().filter(|attempt| attempt.delivered);
    let hooks: BTreeSet<&str> = delivered.map(|attempt| attempt.hook.id.as_str()).collect();
    let hooks: Vec<&str> = hooks.into_iter().collect();
    let sql = include_str!("../../sql/store/forget_successes.sql");
    let successes = i64::from(rules.successes);
    let forgotten = client.execute(sql, &[&hooks, &successes]).await;
    forgotten.context("forget old successes")?;
    Ok(())
}

/// Fires `rowhook.delivered` for attempts that have succeeded. Not for those of rowhook's own events, this one among
/// them: else each would cause the next.
async fn tell_delivered(client: &Client, attempts: &[Attempt]) -> Result<()> {
    let arrived = attempts
        .iter()
        .filter(|attempt| attempt.delivered && !OWN_EVENTS.contains(&&*attempt.event));
    let told = arrived.map(|attempt| {
        let hook = &attempt.hook;
        let message = Delivered {
            owner: attempt.whose.owner(),
            id: hook.id.as_str(),
            hook: serde_json::json!(hook.id),
            target: hook.target.display(),
            delivery: &attempt.delivery,
            event: &attempt.event,
            attempt: attempt.number,
            status: match &attempt.answer {
                Answer::Status { code, .. } => Some(*code),
                Answer::Failed(_) => None,
            },
        };
        message.to_json().into_bytes()
    });
    let told: Vec<Vec<u8>> = told.collect();
    if told.is_empty() {
        return Ok(());
    }
    let sql = "select send_message($1::text, content) from unnest($2::bytea[]) as told (content)";
    let fired = client.execute(sql, &[&PREFIX, &told]).await;
    fired.context("fire rowhook.delivered")?;
    Ok(())
}

/// Deletes the attempts that are older than failures are kept.
pub(super) async fn forget(client: &Client, rules: &config::History) -> Result<()> {
    let sql = include_str!("../../sql/store/forget_attempts.sql");
    let older = rules.failures_for.as_secs_f64();
    loop {
        let forgotten = client
            .execute(sql, &[&older, &PART])
            .await
            .context("forget old attempts")?;
        if forgotten < PART.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Headers as a JSON object. Those of one name are joined with commas, as HTTP allows.
fn to_json(headers: &HeaderMap) -> String {
    let mut object = Map::new();
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len();
        if bytes > HEADER_BYTES {
            break;
        }
        let text = if value.is_sensitive() || *name == SET_COOKIE {
            Cow::Borrowed(HIDDEN)
        } else {
            let text = String::from_utf8_lossy(value.as_bytes());
            Cow::Owned(without_nul(&text).into_owned())
        };
        match object.get_mut(name.as_str()) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&text);
            }
            _ => {
                object.insert(name.as_str().to_owned(), Value::String(text.into_owned()));
            }
        }
    }
    Value::Object(object).to_string()
}
