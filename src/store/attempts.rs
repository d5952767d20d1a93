//! History in the table `attempt`.

use std::{collections::BTreeSet, time::SystemTime};

use anyhow::{Context, Result};
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use serde_json::{Map, Value};
use tokio_postgres::Client;

use super::batch::columns;
use crate::{
    config,
    delivery::attempt::Attempt,
    send::{ROWHOOK_BATCH, answer::Answer},
};

/// So much of an answer's headers is kept.
const HEADER_BYTES: usize = 4096;
/// So many are forgotten at a time.
const PART: i64 = 5000;
/// Stands for what may be secret.
const HIDDEN: &str = "…";

/// Writes attempts, and forgets the successes that are too many by now.
pub(super) async fn note(
    client: &Client,
    attempts: &[Attempt],
    rules: &config::History,
) -> Result<()> {
    let column = |of: fn(&Attempt) -> &str| attempts.iter().map(of).collect::<Vec<&str>>();
    let deliveries = column(|attempt| &attempt.delivery);
    let hooks = column(|attempt| attempt.hook.id.as_str());
    let events = column(|attempt| &attempt.event);
    let urls = column(|attempt| attempt.hook.target.display());
    let numbers = attempts
        .iter()
        .map(|attempt| i32::try_from(attempt.number).unwrap_or(i32::MAX));
    let numbers: Vec<i32> = numbers.collect();
    let started: Vec<SystemTime> = attempts.iter().map(|attempt| attempt.started_at).collect();
    let took = attempts
        .iter()
        .map(|attempt| attempt.took.as_secs_f64() * 1000.0);
    let took: Vec<f64> = took.collect();
    let delivered: Vec<bool> = attempts.iter().map(|attempt| attempt.delivered).collect();
    let bodies: Vec<Option<&[u8]>> = attempts
        .iter()
        .map(|attempt| attempt.body.as_deref())
        .collect();
    let lsns: Vec<String> = attempts
        .iter()
        .map(|attempt| attempt.position.commit_lsn.to_string())
        .collect();
    let indexes: Vec<i64> = attempts
        .iter()
        .map(|attempt| i64::try_from(attempt.position.index).unwrap_or(i64::MAX))
        .collect();
    let commits: Vec<SystemTime> = attempts.iter().map(|attempt| attempt.commit_time).collect();
    let (lanes, others): (Vec<i64>, Vec<Option<i64>>) = attempts
        .iter()
        .map(|attempt| columns(attempt.place))
        .unzip();
    let sent: Vec<String> = attempts
        .iter()
        .map(|attempt| {
            let Attempt {
                hook,
                delivery,
                batch,
                content_type,
                started_at,
                ..
            } = attempt;
            let id = batch.as_ref().unwrap_or(delivery);
            let mut headers = hook.target.headers(id, content_type, *started_at);
            if batch.is_some() {
                // With it, each member's history would hold the ids of all.
                let mut ids = HeaderValue::from_static("");
                ids.set_sensitive(true);
                headers.insert(ROWHOOK_BATCH, ids);
            }
            object(&headers)
        })
        .collect();
    let (mut statuses, mut errors, mut headers, mut answers) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for attempt in attempts {
        let (status, error, head, body) = match &attempt.answer {
            Answer::Status {
                code,
                headers,
                body,
                ..
            } => (
                Some(i32::from(*code)),
                None,
                Some(object(headers)),
                Some(&body[..]),
            ),
            // A text in Postgres has no zero bytes.
            Answer::Failed(failure) => {
                let error = failure.to_string().replace('\0', "\u{fffd}");
                (None, Some(error), None, None)
            }
        };
        statuses.push(status);
        errors.push(error);
        headers.push(head);
        answers.push(body.filter(|_| rules.bodies));
    }
    client
        .execute(
            include_str!("../../sql/store/note_attempts.sql"),
            &[
                &deliveries,
                &hooks,
                &events,
                &numbers,
                &started,
                &took,
                &delivered,
                &statuses,
                &errors,
                &urls,
                &sent,
                &bodies,
                &headers,
                &answers,
                &lsns,
                &indexes,
                &commits,
                &lanes,
                &others,
            ],
        )
        .await
        .context("write attempts")?;
    let touched: BTreeSet<&str> = attempts
        .iter()
        .filter(|attempt| attempt.delivered)
        .map(|attempt| attempt.hook.id.as_str())
        .collect();
    let touched: Vec<&str> = touched.into_iter().collect();
    client
        .execute(
            include_str!("../../sql/store/forget_successes.sql"),
            &[&touched, &i64::from(rules.successes)],
        )
        .await
        .context("forget old successes")?;
    Ok(())
}

/// Forgets what is too old.
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

/// Headers as a JSON object; those of one name are joined, as HTTP allows.
fn object(headers: &HeaderMap) -> String {
    let mut object = Map::new();
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len();
        if bytes > HEADER_BYTES {
            break;
        }
        let text = if value.is_sensitive() || *name == SET_COOKIE {
            HIDDEN.to_owned()
        } else {
            // jsonb has no zero characters.
            String::from_utf8_lossy(value.as_bytes()).replace('\0', "\u{fffd}")
        };
        match object.get_mut(name.as_str()) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&text);
            }
            _ => {
                object.insert(name.as_str().to_owned(), Value::String(text));
            }
        }
    }
    Value::Object(object).to_string()
}
