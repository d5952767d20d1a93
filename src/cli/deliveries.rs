//! `rowhook deliveries`: lists and shows deliveries, and sends them again.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Result, bail};
use clap::{ArgGroup, Subcommand};

use super::{
    output,
    progress::Progress,
    quantity,
    table::{self, Cell, Table, Tone},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Actor, Admin, PageRequest,
        deliveries::{Attempt, Delivery, DeliveryDetail, DeliveryQuery, State},
        forget::RowKey,
        replay::{Range, ReplayCounts},
        retry::Retried,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List deliveries, newest first: parked and dead ones, and delivered ones as far back as history goes.
    #[command(
        after_help = "Examples:\n  rowhook deliveries list --state dead --hook 7\n  rowhook deliveries list --table book --key 7 --since 2h"
    )]
    List {
        /// Only those of this hook.
        #[arg(long)]
        hook: Option<String>,
        /// Only those in this state.
        #[arg(long, value_parser = ["parked", "dead", "delivered"])]
        state: Option<String>,
        /// Only those of this event.
        #[arg(long)]
        event: Option<String>,
        /// Only that with this id, the webhook-id.
        #[arg(long)]
        id: Option<String>,
        /// Only those parked or delivered since then: an age such as 2h, or a time.
        #[arg(long)]
        since: Option<String>,
        /// Only those parked or delivered before then.
        #[arg(long)]
        until: Option<String>,
        /// Only those of the row of this table that --key names.
        #[arg(long, requires = "key")]
        table: Option<String>,
        /// The key of the row: its value, or a JSON object of its columns where there are several.
        #[arg(long, requires = "table")]
        key: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a delivery with its body and its attempts.
    #[command(after_help = "Example: rowhook deliveries show msg_57d71c7ec22173418dbd4a1ee2a38cf8")]
    Show {
        /// The webhook-id of the delivery.
        id: String,
    },
    /// Send deliveries again now: by id, or all that are dead or wait for their next time.
    #[command(
        group = ArgGroup::new("many").args(["dead", "state"]),
        after_help = "Examples:\n  rowhook deliveries retry msg_57d71c7ec22173418dbd4a1ee2a38cf8\n  rowhook deliveries retry --dead --hook 7 --since 2h\n  rowhook deliveries retry --state any --event book.added --dry-run"
    )]
    Retry {
        /// The webhook-ids of the deliveries.
        #[arg(required_unless_present = "many", conflicts_with = "many")]
        ids: Vec<String>,
        /// All that are dead.
        #[arg(long)]
        dead: bool,
        /// All in this state.
        #[arg(long, value_parser = ["parked", "dead", "any"])]
        state: Option<String>,
        /// Of these, only those of this hook.
        #[arg(long, requires = "many")]
        hook: Option<String>,
        /// Of these, only those of this event.
        #[arg(long, requires = "many")]
        event: Option<String>,
        /// Of these, only those that have been parked since then, and with --dead those that have been given up since
        /// then: an age such as 2h, or a time.
        #[arg(long, requires = "many")]
        since: Option<String>,
        /// Of these, only those that were parked before then.
        #[arg(long, requires = "state")]
        until: Option<String>,
        /// Of these, only those of the row of this table that --key names.
        #[arg(long, requires_all = ["key", "state"])]
        table: Option<String>,
        /// The key of the row: its value, or a JSON object of its columns where there are several.
        #[arg(long, requires = "table")]
        key: Option<String>,
        /// Only count them.
        #[arg(long, requires = "state")]
        dry_run: bool,
    },
    /// Send the deliveries of a period again, with the same ids: delivered ones as far back as history goes, and dead
    /// ones.
    #[command(
        after_help = "Example: rowhook deliveries replay --hook 7 --since 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z"
    )]
    Replay {
        /// Only those of this hook.
        #[arg(long)]
        hook: Option<String>,
        /// Only those of this event.
        #[arg(long)]
        event: Option<String>,
        /// Only those since then: an age such as 2h, or a time.
        #[arg(long)]
        since: String,
        /// Only those before then.
        #[arg(long)]
        until: Option<String>,
    },
}

pub(super) async fn run(config: Config, command: Command, json: bool) -> Result<()> {
    let mut admin = Admin::open(
        Arc::new(config),
        "rowhook deliveries",
        Who::only(Kind::CommandLine),
    )
    .await?;
    match command {
        Command::List {
            hook,
            state,
            event,
            id,
            since,
            until,
            table,
            key,
            limit,
        } => {
            let query = DeliveryQuery {
                hook,
                state: state.as_deref().and_then(State::parse),
                event,
                id,
                since: time(since.as_deref())?,
                until: time(until.as_deref())?,
                row: row(table.as_deref(), key.as_deref()),
            };
            list(&admin, &query, limit, json).await
        }
        Command::Show { id } => show(&admin, &id, json).await,
        Command::Retry {
            state: Some(state),
            hook,
            event,
            since,
            until,
            table,
            key,
            dry_run,
            ..
        } => {
            let query = DeliveryQuery {
                hook,
                state: State::parse(&state),
                event,
                id: None,
                since: time(since.as_deref())?,
                until: time(until.as_deref())?,
                row: row(table.as_deref(), key.as_deref()),
            };
            retry_many(&mut admin, &query, dry_run, json).await
        }
        Command::Retry {
            ids, dead: false, ..
        } => retry(&mut admin, &ids, json).await,
        Command::Retry {
            hook, event, since, ..
        } => {
            let range = Range {
                hook,
                event,
                since: time(since.as_deref())?,
                until: None,
            };
            retry_dead(&mut admin, &range, json).await
        }
        Command::Replay {
            hook,
            event,
            since,
            until,
        } => {
            let range = Range {
                hook,
                event,
                since: Some(quantity::time(&since)?),
                until: time(until.as_deref())?,
            };
            replay(&mut admin, &range, json).await
        }
    }
}

fn time(text: Option<&str>) -> Result<Option<SystemTime>> {
    text.map(quantity::time).transpose()
}

/// The row that both of them name.
fn row(table: Option<&str>, key: Option<&str>) -> Option<RowKey> {
    Some(RowKey::parse(table?, key?))
}

async fn list(admin: &Admin, query: &DeliveryQuery, limit: usize, json: bool) -> Result<()> {
    let deliveries = newest(admin, query, limit).await?;
    match json {
        true => output::json(&deliveries),
        false => print_list(&deliveries),
    }
}

async fn show(admin: &Admin, id: &str, json: bool) -> Result<()> {
    let detail = admin.delivery(&Actor::Operator, id).await?;
    match json {
        true => output::json(&detail),
        false => print_detail(&detail),
    }
}

/// Sends deliveries again, one after the other. Stops at the first one that cannot be sent.
async fn retry(admin: &mut Admin, ids: &[String], json: bool) -> Result<()> {
    let mut retried = Vec::new();
    for id in ids {
        retried.push(admin.retry(&Actor::Operator, id).await?);
    }
    match json {
        true => output::json(&retried),
        false => output::line(&match ids.len() {
            1 => "one delivery is sent again".into(),
            several => format!("{several} deliveries are sent again"),
        }),
    }
}

async fn retry_many(
    admin: &mut Admin,
    query: &DeliveryQuery,
    dry_run: bool,
    json: bool,
) -> Result<()> {
    let retried = match dry_run {
        true => admin.count_to_retry(&Actor::Operator, query).await?,
        false => {
            let mut progress = Progress::new("sent again");
            admin
                .retry_all(&Actor::Operator, query, &mut |done| {
                    progress.update(done, None)
                })
                .await?
        }
    };
    if json {
        return output::json(&retried);
    }
    let Retried { parked, dead, .. } = retried;
    let what = if dry_run { "would be sent" } else { "sent" };
    output::line(&format!(
        "{what} again: {dead} that {} dead, {parked} that {} for their next time",
        if dry_run { "are" } else { "were" },
        if dry_run { "wait" } else { "waited" },
    ))
}

async fn retry_dead(admin: &mut Admin, range: &Range, json: bool) -> Result<()> {
    let mut progress = Progress::new("sent again");
    let replayed = admin
        .retry_dead(&Actor::Operator, range, &mut |done| {
            progress.update(done, None)
        })
        .await?;
    drop(progress);
    report(&replayed, json)
}

async fn replay(admin: &mut Admin, range: &Range, json: bool) -> Result<()> {
    if range.until.is_some() && range.until < range.since {
        bail!("--until is before --since");
    }
    let mut progress = Progress::new("sent again");
    let replayed = admin
        .replay(&Actor::Operator, range, &mut |done| {
            progress.update(done, None)
        })
        .await?;
    drop(progress);
    report(&replayed, json)
}

/// The newest deliveries, at most `limit`, read page by page.
async fn newest(admin: &Admin, query: &DeliveryQuery, limit: usize) -> Result<Vec<Delivery>> {
    let mut deliveries = Vec::new();
    let mut page = PageRequest::largest();
    while deliveries.len() < limit {
        let left = limit - deliveries.len();
        page.limit = Some(u32::try_from(left).unwrap_or(u32::MAX));
        let found = admin.deliveries(&Actor::Operator, query, &page).await?;
        deliveries.extend(found.data);
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    Ok(deliveries)
}

fn print_list(deliveries: &[Delivery]) -> Result<()> {
    let mut table = Table::new(&[
        "at",
        "id",
        "hook",
        "event",
        "state",
        "attempts",
        "next attempt",
        "reason",
    ]);
    for delivery in deliveries {
        table.row([
            delivery.at.as_str().into(),
            delivery.id.as_str().into(),
            delivery.hook.as_str().into(),
            delivery.event.as_str().into(),
            Cell::state(delivery.state.as_str()),
            delivery.attempts.to_string().into(),
            next_attempt(delivery).into(),
            delivery.reason.as_deref().unwrap_or("-").into(),
        ]);
    }
    table.print("no deliveries")
}

/// When the next attempt is due, or why there is no time for it.
fn next_attempt(delivery: &Delivery) -> &str {
    match (&delivery.next_attempt, delivery.state) {
        _ if delivery.in_flight => "in flight",
        (Some(at), _) => at,
        (None, State::Parked) => "behind another",
        (None, State::Dead | State::Delivered) => "-",
    }
}

fn print_detail(detail: &DeliveryDetail) -> Result<()> {
    let delivery = &detail.delivery;
    let body = detail.body.as_ref().map(|body| body.text.as_str());
    let attempts = detail.attempt_list.iter().rev();
    let mut content_types = attempts.filter_map(|attempt| {
        let content_type = attempt.request_headers.get("content-type")?;
        content_type.as_str()
    });
    let content_type = content_types.next();
    table::print_facts(&[
        ("id", delivery.id.as_str().into()),
        ("hook", delivery.hook.as_str().into()),
        ("event", delivery.event.as_str().into()),
        ("state", Cell::state(delivery.state.as_str())),
        ("reason", Cell::optional(delivery.reason.as_deref())),
        ("why", delivery.why.as_str().into()),
        ("attempts", delivery.attempts.to_string().into()),
        ("next attempt", next_attempt(delivery).into()),
        (
            "committed at",
            Cell::optional(delivery.commit_time.as_deref()),
        ),
        ("position", Cell::optional(delivery.position.as_deref())),
        ("content type", Cell::optional(content_type)),
        ("body", Cell::optional(body)),
    ])?;
    if detail.attempt_list.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let mut table = Table::new(&["attempt", "at", "took", "answer", "answered"]);
    for attempt in &detail.attempt_list {
        let body = attempt.response_body.as_ref();
        table.row([
            attempt.number.to_string().into(),
            attempt.started_at.as_str().into(),
            format!("{:.1} ms", attempt.took_ms).into(),
            Cell::toned(answer(attempt), Tone::of_delivery(attempt.delivered)),
            Cell::optional(body.map(|body| body.text.as_str())),
        ]);
    }
    table.print("")
}

/// The status of the answer, or the error if there was none.
fn answer(attempt: &Attempt) -> String {
    match (attempt.status, &attempt.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.clone().unwrap_or_default(),
    }
}

fn report(replayed: &ReplayCounts, json: bool) -> Result<()> {
    if json {
        return output::json(replayed);
    }
    let ReplayCounts {
        revived,
        repeated,
        unrecorded,
    } = replayed;
    output::line(&format!(
        "sent again: {revived} that were dead, {repeated} that had arrived"
    ))?;
    match unrecorded {
        0 => Ok(()),
        some => output::line(&format!(
            "not sent again: {some} of which history does not know enough"
        )),
    }
}
