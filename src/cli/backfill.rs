//! `rowhook backfill`: sends the rows that a table has to a hook.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::{
    table as show,
    table::{Cell, Progress, Table},
};
use crate::{
    config::Config,
    manage::{
        Admin,
        backfill::{Backfill, NewBackfill},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the rows are sent as: an event of a table's rows.
    #[arg(required_unless_present_any = ["resume", "cancel", "list"])]
    event: Option<String>,
    /// The hook that gets them; its owner and filter count.
    #[arg(requires = "event", required_unless_present_any = ["resume", "cancel", "list"])]
    hook: Option<String>,
    /// Only rows for which this SQL is true.
    #[arg(long = "where", value_name = "SQL", requires = "hook")]
    condition: Option<String>,
    /// Only rows that were committed since then: an age such as 2h, or a time. Needs track_commit_timestamp.
    #[arg(long, requires = "hook")]
    since: Option<String>,
    /// Rows a second, at most.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Go on with a backfill that was interrupted, cancelled or has failed.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "cancel", "list"])]
    resume: Option<i64>,
    /// End a backfill where it is.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "list"])]
    cancel: Option<i64>,
    /// List backfills, the newest first.
    #[arg(long, conflicts_with = "event")]
    list: bool,
}

pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let mut admin = Admin::open(Arc::new(config), "rowhook backfill").await?;
    if args.list {
        let all = admin.backfills().await?;
        return match json {
            true => show::json(&all),
            false => list(&all),
        };
    }
    if let Some(id) = args.cancel {
        let cancelled = admin.cancel_backfill(id).await?;
        return match json {
            true => show::json(&cancelled),
            false => show::line(&format!("backfill {id} is {}", cancelled.state)),
        };
    }
    let begun = match (args.resume, args.event, args.hook) {
        (Some(id), ..) => admin.resume_backfill(id).await?,
        (None, Some(event), Some(hook)) => {
            let since = args.since.as_deref().map(show::time).transpose()?;
            let new = NewBackfill {
                event,
                hook,
                condition: args.condition,
                since: since.map(crate::payload::timestamp),
                rate: Some(args.rate),
            };
            admin.start_backfill(new).await?
        }
        _ => bail!("name an event and a hook, or one of --resume, --cancel and --list"),
    };
    let id = begun.id;
    eprintln!("backfill {id}; if it is interrupted, go on with: rowhook backfill --resume {id}");
    let mut progress = Progress::new("rows");
    let ended = admin
        .run_backfill(id, &mut |now| {
            let of = now.estimate.and_then(|rows| u64::try_from(rows).ok());
            progress.at(now.sent.unsigned_abs(), of);
        })
        .await;
    drop(progress);
    let ended = ended?;
    match json {
        true => show::json(&ended),
        false => show::line(&format!(
            "backfill {id} is {}: {} rows are on their way to hook {}",
            ended.state, ended.sent, ended.hook
        )),
    }
}

fn list(all: &[Backfill]) -> Result<()> {
    let mut table = Table::new(&[
        "id", "event", "hook", "state", "rows", "of about", "since", "error",
    ]);
    for one in all {
        table.row([
            one.id.to_string().into(),
            one.event.as_str().into(),
            one.hook.as_str().into(),
            Cell::state(&one.state),
            one.sent.to_string().into(),
            one.estimate
                .map_or("-".into(), |rows| rows.to_string())
                .into(),
            one.updated_at.as_str().into(),
            one.error.as_deref().unwrap_or("-").into(),
        ]);
    }
    table.print("no backfills")
}
