//! `rowhook tail`: what happens, as it happens.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use super::{table as show, table::Tone};
use crate::{
    config::Config,
    manage::{Actor, Admin, attempts::AttemptSummary},
};

/// History is written once a second.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only what is sent to this hook.
    #[arg(long)]
    hook: Option<String>,
    /// End after so many lines.
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,
}

/// Prints attempts as they are noted, a line each, until it is interrupted.
pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let admin = Admin::open(Arc::new(config), "rowhook tail").await?;
    let mut last = admin.newest_attempt_id().await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    // Said, so that whoever waits for something knows from when on it is heard.
    eprintln!("listening");
    let mut looks = tokio::time::interval(LOOK);
    while left > 0 {
        looks.tick().await;
        for news in admin
            .attempts_after(&Actor::Operator, args.hook.as_deref(), last)
            .await?
        {
            last = news.id;
            match json {
                true => show::line(&serde_json::to_string(&news)?)?,
                false => show::line(&told(&news, show::coloured()))?,
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

fn told(news: &AttemptSummary, colour: bool) -> String {
    let tone = if news.delivered {
        Tone::Good
    } else {
        Tone::Bad
    };
    let attempt = match news.attempt {
        1 => String::new(),
        several => format!("  attempt {several}"),
    };
    format!(
        "{}  {}  {} → hook {}  {:.1} ms  {}{attempt}",
        news.at,
        tone.paint(&show::clean(&news.answer), colour),
        news.event,
        news.hook,
        news.took_ms,
        news.delivery,
    )
}
