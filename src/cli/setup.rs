//! `rowhook setup`, `migrate` and `teardown`: create, bring up to date and remove what rowhook needs in the database.

use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::Value;

use super::databases::Said;
use crate::{
    act::{Act, Kind, Who, what},
    config::Config,
    manage::Admin,
    setup::{self, LockPolicy, teardown::teardown},
    terminal::plain,
};

/// Says the SQL of what is missing, and changes nothing.
pub(super) async fn print(config: &Arc<Config>) -> Result<Said> {
    let sql = setup::print(config).await?;
    Ok(Said {
        text: format!("{sql}\n"),
        json: Value::String(sql),
        failed: None,
    })
}

/// Creates what is missing, and says each step. With `accept_gap`, first gives up the changes that a lost slot took
/// along.
pub(super) async fn setup(config: &Config, accept_gap: bool) -> Result<Said> {
    let warn = |text: &str| tracing::warn!("{text}");
    let gap = match accept_gap {
        true => setup::accept_gap(config, LockPolicy::default(), &warn).await?,
        false => None,
    };
    let steps = setup::setup(config, LockPolicy::default(), &warn).await?;
    if let Some(gap) = &gap {
        let who = Who::only(Kind::CommandLine);
        let admin = Admin::open(Arc::new(config.clone()), "rowhook setup", who.clone()).await?;
        let act = Act::of(&who, what::GAP_ACCEPTED).with("gap", gap.to_string());
        admin.record(act).await?;
    }
    let accepted = gap.map(|gap| format!("accepted: {gap}"));
    let steps = steps.into_iter().map(|step| step.reason);
    let done: Vec<String> = accepted.into_iter().chain(steps).collect();
    Ok(said(&done, "nothing to do"))
}

/// Says the SQL that rowhook's own tables are missing, and changes nothing.
pub(super) async fn print_migrations(config: &Arc<Config>) -> Result<Said> {
    let sql = setup::print_migrations(config).await?;
    Ok(Said {
        text: format!("{sql}\n"),
        json: Value::String(sql),
        failed: None,
    })
}

/// Brings rowhook's own tables to what this version needs, and says so.
pub(super) async fn migrate(config: &Arc<Config>) -> Result<Said> {
    let warn = |text: &str| tracing::warn!("{text}");
    let step = setup::migrate(config, LockPolicy::default(), &warn).await?;
    let done: Vec<String> = step.into_iter().map(|step| step.reason).collect();
    Ok(said(&done, "nothing to do"))
}

/// Removes rowhook's tables, publications and slot, once the user has confirmed it with `--yes`.
pub(super) async fn tear_down(config: &Config, yes: bool) -> Result<Said> {
    if !yes {
        bail!(
            "teardown removes the slot {:?}, the publications and the schema {:?} with all hooks in it; say so with --yes",
            config.database.slot,
            config.database.schema
        );
    }
    let done = teardown(config, LockPolicy::default()).await?;
    Ok(said(&done, "nothing to remove"))
}

/// The steps that were taken, or the line `nothing` if there were none.
fn said(steps: &[String], nothing: &str) -> Said {
    let lines = match steps {
        [] => &[nothing.to_owned()],
        steps => steps,
    };
    Said {
        text: lines
            .iter()
            .map(|line| format!("{}\n", plain(line)))
            .collect(),
        json: steps.iter().map(String::as_str).collect(),
        failed: None,
    }
}
