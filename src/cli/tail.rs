//! `rowhook tail`: prints each attempt, as soon as history has it.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use super::{
    output,
    table::{Tone, clean},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{Actor, Admin, attempts::AttemptSummary},
};

/// How often history is read. It is written once a second.
const INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only requests to this hook.
    #[arg(long)]
    hook: Option<String>,
    /// End after this many lines.
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,
}

/// Prints attempts as history notes them, a line each, until it is interrupted or has printed `--count` lines.
pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let admin = Admin::open(
        Arc::new(config),
        "rowhook tail",
        Who::only(Kind::CommandLine),
    )
    .await?;
    let mut last = admin.newest_attempt_id().await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    // A script that waits for this line misses nothing that happens after it.
    eprintln!("listening");
    let mut ticks = tokio::time::interval(INTERVAL);
    while left > 0 {
        ticks.tick().await;
        for attempt in admin
            .attempts_after(&Actor::Operator, args.hook.as_deref(), last)
            .await?
        {
            last = attempt.id;
            match json {
                true => output::json_line(&attempt)?,
                false => output::text(&describe(&attempt, output::has_colour()))?,
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// An attempt on one line, with its line break.
fn describe(attempt: &AttemptSummary, colour: bool) -> String {
    let tone = Tone::of_delivery(attempt.delivered);
    let number = match attempt.attempt {
        1 => String::new(),
        number => format!("  attempt {number}"),
    };
    format!(
        "{}  {}  {} → hook {}  {:.1} ms  {}{number}\n",
        attempt.at,
        tone.paint(&clean(&attempt.answer), colour),
        clean(&attempt.event),
        clean(&attempt.hook),
        attempt.took_ms,
        clean(&attempt.delivery),
    )
}
