//! Commands that are about all databases of hooks.toml, unless `--database` names one.

use std::sync::Arc;

use anyhow::{Error, Result, bail};
use serde_json::{Map, Value, json};

use super::output;
use crate::config::Config;

/// What a command says of one database.
pub(super) struct Said {
    /// For people; whole lines.
    pub(super) text: String,
    /// For programs.
    pub(super) json: Value,
    /// Why the command fails although it has something to say.
    pub(super) failed: Option<Error>,
}

/// Does something for each database, and prints what that says. One that it fails for does not keep it from the others.
///
/// # Errors
/// If it fails for one of them; each error begins with the name of its database.
pub(super) async fn each(
    databases: &[Arc<Config>],
    json: bool,
    act: impl AsyncFn(&Arc<Config>) -> Result<Said>,
) -> Result<()> {
    if let [config] = databases {
        let said = act(config).await?;
        match json {
            true => output::json(&said.json)?,
            false => output::text(&said.text)?,
        }
        return said.failed.map_or(Ok(()), Err);
    }
    let mut failures = Vec::new();
    let mut all = Map::new();
    for config in databases {
        let name = config.name.clone().unwrap_or_default();
        let said = act(config).await.unwrap_or_else(|error| Said {
            text: String::new(),
            json: json!({"error": format!("{error:#}")}),
            failed: Some(error),
        });
        if let Some(error) = &said.failed {
            failures.push(format!("{name}: {error:#}"));
        }
        if !json && !said.text.is_empty() {
            output::text(&format!("-- {name}\n{}", said.text))?;
        }
        all.insert(name, said.json);
    }
    if json {
        output::json(&all)?;
    }
    match failures.is_empty() {
        true => Ok(()),
        false => bail!("{}", failures.join("\n")),
    }
}
