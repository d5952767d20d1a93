//! `rowhook backfill`: sends the existing rows of a table to a hook.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::{
    output,
    progress::Progress,
    quantity,
    table::{Cell, Table},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Admin, PageRequest,
        backfill::{Backfill, BackfillQuery, BackfillState, NewBackfill, table_of},
    },
    postgres::time::timestamp,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event that the rows are sent as; one of a table's rows.
    #[arg(required_unless_present_any = ["resume", "cancel", "list"])]
    event: Option<String>,
    /// The hook that receives them; its owner and its filter apply.
    #[arg(requires = "event", required_unless_present_any = ["resume", "cancel", "list"])]
    hook: Option<String>,
    /// Only rows for which this SQL condition is true.
    #[arg(long = "where", value_name = "SQL", requires = "hook")]
    condition: Option<String>,
    /// Only rows committed since then: an age such as 2h, or a time. Needs track_commit_timestamp. With --list, only
    /// backfills begun since then.
    #[arg(long, conflicts_with_all = ["resume", "cancel"])]
    since: Option<String>,
    /// With --list, only those begun before then.
    #[arg(long, requires = "list")]
    until: Option<String>,
    /// With --list, only those in this state.
    #[arg(long, requires = "list", value_parser = ["running", "done", "cancelled", "failed"])]
    state: Option<String>,
    /// With --list, only those of this event.
    #[arg(
        long = "event",
        id = "of_event",
        value_name = "EVENT",
        requires = "list"
    )]
    of_event: Option<String>,
    /// With --list, only those of the rows of this table.
    #[arg(long, requires = "list")]
    table: Option<String>,
    /// With --list, only those for this hook.
    #[arg(long = "hook", id = "of_hook", value_name = "HOOK", requires = "list")]
    of_hook: Option<String>,
    /// With --list, only those for the hooks that this owner has now.
    #[arg(long, requires = "list")]
    owner: Option<String>,
    /// At most this many rows a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Go on with a backfill that was interrupted or cancelled, or has failed.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "cancel", "list"])]
    resume: Option<i64>,
    /// Cancel a backfill where it is.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "list"])]
    cancel: Option<i64>,
    /// List backfills, newest first.
    #[arg(long, conflicts_with = "event")]
    list: bool,
}

pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let mut admin = Admin::open(
        Arc::new(config),
        "rowhook backfill",
        Who::only(Kind::CommandLine),
    )
    .await?;
    if args.list {
        let (query, page) = (query_of(args)?, PageRequest::largest());
        let all = admin.backfills(&query, &page).await?.data;
        return match json {
            true => output::json(&all),
            false => print_list(&all),
        };
    }
    if let Some(id) = args.cancel {
        let cancelled = admin.cancel_backfill(id).await?;
        return match json {
            true => output::json(&cancelled),
            false => output::line(&format!("backfill {id} is {}", cancelled.state)),
        };
    }
    let begun = begin(&mut admin, args).await?;
    send(&mut admin, begun.id, json).await
}

/// Which backfills to list.
fn query_of(args: Args) -> Result<BackfillQuery> {
    let time = |text: Option<String>| text.as_deref().map(quantity::time).transpose();
    Ok(BackfillQuery {
        state: args.state.as_deref().and_then(BackfillState::parse),
        event: args.of_event,
        table: args.table.as_deref().map(table_of).transpose()?,
        hook: args.of_hook,
        owner: args.owner,
        since: time(args.since)?,
        until: time(args.until)?,
    })
}

/// Begins a backfill, or resumes one that has stopped.
async fn begin(admin: &mut Admin, args: Args) -> Result<Backfill> {
    Ok(match (args.resume, args.event, args.hook) {
        (Some(id), ..) => admin.resume_backfill(id).await?,
        (None, Some(event), Some(hook)) => {
            let since = args.since.as_deref().map(quantity::time).transpose()?;
            let new = NewBackfill {
                event,
                hook,
                condition: args.condition,
                since: since.map(timestamp),
                rate: Some(args.rate),
            };
            admin.start_backfill(new).await?
        }
        _ => bail!("name an event and a hook, or one of --resume, --cancel and --list"),
    })
}

/// Sends the rows of a backfill to its end, and shows the progress.
async fn send(admin: &mut Admin, id: i64, json: bool) -> Result<()> {
    eprintln!("backfill {id}; if it is interrupted, go on with: rowhook backfill --resume {id}");
    let mut progress = Progress::new("rows");
    let ended = admin
        .run_backfill(id, &mut |now| {
            let total = now.estimate.and_then(|rows| u64::try_from(rows).ok());
            progress.update(now.sent.unsigned_abs(), total);
        })
        .await;
    drop(progress);
    let ended = ended?;
    match json {
        true => output::json(&ended),
        false => output::line(&format!(
            "backfill {id} is {}: {} rows are on their way to hook {}",
            ended.state, ended.sent, ended.hook
        )),
    }
}

fn print_list(backfills: &[Backfill]) -> Result<()> {
    let mut table = Table::new(&[
        "id", "event", "hook", "state", "rows", "of about", "since", "error",
    ]);
    for backfill in backfills {
        table.row([
            backfill.id.to_string().into(),
            backfill.event.as_str().into(),
            backfill.hook.as_str().into(),
            Cell::state(&backfill.state),
            backfill.sent.to_string().into(),
            backfill
                .estimate
                .map_or("-".into(), |rows| rows.to_string())
                .into(),
            backfill.updated_at.as_str().into(),
            backfill.error.as_deref().unwrap_or("-").into(),
        ]);
    }
    table.print("no backfills")
}
