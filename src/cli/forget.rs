//! `rowhook forget`: deletes what rowhook has of an owner.

use std::sync::Arc;

use anyhow::Result;

use super::output;
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::Admin,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The owner to forget.
    #[arg(long)]
    owner: String,
}

pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let who = Who::only(Kind::CommandLine);
    let mut admin = Admin::open(Arc::new(config), "rowhook forget", who).await?;
    let done = admin.forget_owner(&args.owner).await?;
    if json {
        return output::json(&done);
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
    output::line(&format!("took them out of {} acts on record", done.acts))?;
    for left in &done.left {
        output::line(&format!("left: {left}"))?;
    }
    Ok(())
}
