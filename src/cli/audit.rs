//! `rowhook audit`: what was done to hooks, deliveries, tokens and settings, and by whom.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::{Map, Value};

use super::{
    output, quantity,
    table::{Tone, clean},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Actor, Admin, PageRequest,
        audit::{AuditEntry, AuditQuery},
    },
};

/// Acts are numbered when they are written, and seen when they are committed: those with a number lower by as much may
/// still come.
const LATE: usize = 100;
/// How often the table is read with `--follow`.
const INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rowhook audit --since 1day --what 'hook.*'\n  rowhook audit --owner 42 --json\n  rowhook audit --follow"
)]
pub(super) struct Args {
    /// Only what was done since then: an age such as 2h, or a time.
    #[arg(long)]
    since: Option<String>,
    /// Only what was done before then.
    #[arg(long)]
    until: Option<String>,
    /// Only what concerns this owner, or what they have done.
    #[arg(long)]
    owner: Option<String>,
    /// Only what was done to this hook.
    #[arg(long)]
    hook: Option<String>,
    /// Only acts of this name: hook.changed, or 'hook.*' for all that begin with hook.
    #[arg(long)]
    what: Option<String>,
    /// At most this many, the newest.
    #[arg(long, default_value_t = 50, conflicts_with = "follow")]
    limit: usize,
    /// Wait for what is done from now on, and print it as it comes.
    #[arg(long, conflicts_with_all = ["since", "until"])]
    follow: bool,
    /// With --follow: end after this many.
    #[arg(long, value_name = "ACTS", requires = "follow")]
    count: Option<u64>,
}

/// Prints acts on record, newest first, or as they come.
pub(super) async fn run(config: Config, args: Args, json: bool) -> Result<()> {
    let who = Who::only(Kind::CommandLine);
    let admin = Admin::open(Arc::new(config), "rowhook audit", who).await?;
    let time = |text: &Option<String>| text.as_deref().map(quantity::time).transpose();
    let query = AuditQuery {
        since: time(&args.since)?,
        until: time(&args.until)?,
        owner: args.owner,
        hook: args.hook,
        what: args.what,
    };
    if args.follow {
        return follow(&admin, &query, args.count.unwrap_or(u64::MAX), json).await;
    }
    let acts = newest(&admin, &query, args.limit).await?;
    if json {
        return output::json(&acts);
    }
    if acts.is_empty() {
        return output::line("nothing is on record");
    }
    let colour = output::has_colour();
    let lines = acts.iter().map(|act| describe(act, colour));
    output::text(&lines.collect::<String>())
}

async fn newest(admin: &Admin, query: &AuditQuery, limit: usize) -> Result<Vec<AuditEntry>> {
    let mut acts = Vec::new();
    let mut page = PageRequest::largest();
    while acts.len() < limit {
        let found = admin.audit(&Actor::Operator, query, &page).await?;
        acts.extend(found.data);
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    acts.truncate(limit);
    Ok(acts)
}

async fn follow(admin: &Admin, query: &AuditQuery, mut left: u64, json: bool) -> Result<()> {
    let all = AuditQuery::default();
    let before = newest(admin, &all, LATE).await?;
    let mut last = before.first().map_or(0, |act| act.id);
    let mut shown: BTreeSet<i64> = before.iter().map(|act| act.id).collect();
    // A script that waits for this line misses nothing that is done after it.
    eprintln!("listening");
    let mut ticks = tokio::time::interval(INTERVAL);
    while left > 0 {
        ticks.tick().await;
        let from = last.saturating_sub(LATE as i64);
        for act in admin.acts_after(query, from).await? {
            if !shown.insert(act.id) {
                continue;
            }
            last = last.max(act.id);
            match json {
                true => output::json_line(&act)?,
                false => output::text(&describe(&act, output::has_colour()))?,
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        shown = shown.split_off(&(last.saturating_sub(LATE as i64)));
    }
    Ok(())
}

/// An act on a line or a few, with its line breaks.
fn describe(act: &AuditEntry, colour: bool) -> String {
    let about = [
        ("hook", &act.hook),
        ("delivery", &act.delivery),
        ("event", &act.event),
        ("owner", &act.owner),
    ];
    let about = about.iter().filter_map(|(what, name)| {
        let name = name.as_deref()?;
        Some(format!("  {what} {}", clean(name)))
    });
    let mut text = format!(
        "{}  {}{}  by {}\n",
        act.at,
        Tone::Good.paint(&clean(&act.what), colour),
        about.collect::<String>(),
        clean(&act.by.to_string()),
    );
    for (sign, tone, facts) in [("-", Tone::Bad, &act.before), ("+", Tone::Good, &act.after)] {
        for (name, value) in facts.iter().flat_map(Map::iter) {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let line = format!("    {sign} {}: {}", clean(name), clean(&value));
            text.push_str(&tone.paint(&line, colour));
            text.push('\n');
        }
    }
    text
}
