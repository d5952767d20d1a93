//! `rowhook tail`: prints each attempt, as soon as history has it.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use super::{
    output,
    table::{Tone, clean},
};
use crate::{
    config::Config,
    manage::{Office, Who, attempts::News},
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
    let admin = Office::open(Arc::new(config), "rowhook tail").await?;
    let mut last = admin.newest_attempt().await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    // A script that waits for this line misses nothing that happens after it.
    eprintln!("listening");
    let mut ticks = tokio::time::interval(INTERVAL);
    while left > 0 {
        ticks.tick().await;
        for attempt in admin
            .news(&Who::Operator, args.hook.as_deref(), last)
            .await?
        {
            last = attempt.id;
            match json {
                true => output::json_line(&attempt)?,
                false => output::line(&describe(&attempt, output::has_colour()))?,
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// An attempt on one line.
fn describe(attempt: &News, colour: bool) -> String {
    let tone = Tone::of_delivery(attempt.delivered);
    let number = match attempt.attempt {
        1 => String::new(),
        number => format!("  attempt {number}"),
    };
    format!(
        "{}  {}  {} → hook {}  {:.1} ms  {}{number}",
        attempt.at,
        tone.paint(&clean(&attempt.answer), colour),
        attempt.event,
        attempt.hook,
        attempt.took_ms,
        attempt.delivery,
    )
}
