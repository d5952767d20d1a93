//! `rowhook setup` and `rowhook teardown`: create and remove what rowhook needs in the database.

use anyhow::{Result, bail};

use super::output;
use crate::{
    config::Config,
    setup::{self, LockPolicy, teardown::teardown},
};

/// Prints the SQL of what is missing, and changes nothing.
pub(super) async fn print(config: &Config) -> Result<()> {
    output::text(&format!("{}\n", setup::print(config).await?))
}

/// Creates what is missing, and prints each step. With `accept_gap`, first gives up the changes that a lost slot took
/// along.
pub(super) async fn setup(config: &Config, accept_gap: bool, json: bool) -> Result<()> {
    let warn = |text: &str| tracing::warn!("{text}");
    let gap = match accept_gap {
        true => setup::accept_gap(config, LockPolicy::default(), &warn).await?,
        false => None,
    };
    let steps = setup::setup(config, LockPolicy::default(), &warn).await?;
    let accepted = gap.map(|gap| format!("accepted: {gap}"));
    let steps = steps.into_iter().map(|step| step.reason);
    let done: Vec<String> = accepted.into_iter().chain(steps).collect();
    report(&done, "nothing to do", json)
}

/// Removes rowhook's tables, publications and slot, once the user has confirmed it with `--yes`.
pub(super) async fn tear_down(config: &Config, yes: bool, json: bool) -> Result<()> {
    if !yes {
        bail!(
            "teardown removes the slot {:?}, the publications and the schema {:?} with all hooks in it; say so with --yes",
            config.database.slot,
            config.database.schema
        );
    }
    let done = teardown(config, LockPolicy::default()).await?;
    report(&done, "nothing to remove", json)
}

/// Prints the steps that were taken, or the line `nothing` if there were none.
fn report(steps: &[String], nothing: &str, json: bool) -> Result<()> {
    if json {
        return output::json_line(&steps);
    }
    if steps.is_empty() {
        return output::line(nothing);
    }
    steps.iter().try_for_each(|step| output::line(step))
}
