//! `rowhook forget`: deletes what rowhook has of an owner or a row.

use std::sync::Arc;

use anyhow::Result;

use super::output;
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Admin,
        forget::{Forget, RowKey},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The owner to forget.
    #[arg(long, required_unless_present = "row", conflicts_with = "row")]
    owner: Option<String>,
    /// The row to forget: its table, and the value of its key. A key of several columns is a JSON object of them.
    #[arg(long, num_args = 2, value_names = ["TABLE", "KEY"])]
    row: Option<Vec<String>>,
}

pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let who = Who::only(Kind::CommandLine);
    let mut admin = Admin::open(Arc::new(config), "rowhook forget", who).await?;
    let row = args.row.as_deref().and_then(|row| match row {
        [table, key] => Some(RowKey::parse(table, key)),
        _ => None,
    });
    let is_row = row.is_some();
    let owner = args.owner;
    let done = admin.forget(&Forget { owner, row }).await?;
    if json {
        return output::json(&done);
    }
    output::line(&format!(
        "left out the row of {} deliveries, but for its key",
        done.left_out
    ))?;
    if is_row {
        return output::line(&format!("deleted {} attempts", done.attempts));
    }
    for (count, what) in [
        (done.hooks, "hooks"),
        (done.deliveries, "deliveries"),
        (done.attempts, "attempts"),
        (done.tokens, "tokens"),
        (done.backfills, "backfills"),
        (done.answers, "answers to requests"),
        (done.notes, "notes of hooks"),
    ] {
        output::line(&format!("deleted {count} {what}"))?;
    }
    for left in &done.left {
        output::line(&format!("left: {left}"))?;
    }
    Ok(())
}
