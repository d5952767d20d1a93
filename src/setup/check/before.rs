//! Checks the events that endpoints are asked about before a commit.

use tokio_postgres::{Client, Error};

use super::{
    finding::{Finding, Topic},
    shapes,
};
use crate::{
    config::{Config, FileHook, Pattern},
    postgres::quote,
    setup::catalog::Facts,
};

/// Checks the conditions of these events, as those of others.
///
/// # Errors
/// If the catalog or a table cannot be read.
pub(super) async fn shapes(client: &Client, config: &Config) -> Result<Vec<Finding>, Error> {
    match config.before.is_empty() {
        true => Ok(Vec::new()),
        false => shapes::of_events(client, &config.of_before()).await,
    }
}

/// Findings on who is asked, and on the triggers that ask.
pub(super) fn before(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for before in &config.before {
        let name = &before.rule.name;
        let named = Pattern::Exact(name.clone());
        let asked = |hook: &FileHook| hook.owner.is_none() && hook.events.contains(&named);
        if !config.hooks.iter().any(asked) {
            findings.push(
                Finding::warn(
                    Topic::Events,
                    format!("nobody is asked about {name}, so it is always allowed"),
                )
                .remedy("let one of [[hooks]] without an owner name it in events; a pattern such as * does not count")
                .at(before.rule.place),
            );
        }
    }
    for trigger in facts.before_triggers.iter().filter(|found| found.disabled) {
        let table = &trigger.table;
        findings.push(
            Finding::warn(
                Topic::Events,
                format!(
                    "the trigger {} of {table} is disabled, so nobody is asked about its rows",
                    trigger.name
                ),
            )
            .remedy(format!(
                "run: alter table {} enable trigger {}",
                quote::table(table),
                quote::name(&trigger.name)
            )),
        );
    }
    findings
}
