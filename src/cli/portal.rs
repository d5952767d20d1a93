//! `rowhook portal`: a link that opens the portal for an owner.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use url::Url;

use super::output;
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::Admin,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: rowhook portal 42")]
pub(super) struct Args {
    /// The owner whose portal it opens.
    owner: String,
}

/// Prints a link that works once, within ten minutes.
pub(super) async fn run(config: Config, args: &Args, json: bool) -> Result<()> {
    // Known before a link is made that nobody gets. Without a portal, that is what is said.
    let base = match config.portal {
        Some(_) => Some(address(&config)?),
        None => None,
    };
    let who = Who::only(Kind::CommandLine);
    let mut admin = Admin::open(Arc::new(config), "rowhook portal", who).await?;
    let made = admin.make_portal_link(&args.owner).await?;
    let base = base.context("find the address of the portal")?;
    let url = base.join(&made.path).context("make the address")?;
    if json {
        return output::json(&json!({"url": url.as_str(), "expires_at": made.expires_at}));
    }
    output::line(url.as_str())
}

/// The address of the server: as browsers reach it, or where it listens.
fn address(config: &Config) -> Result<Url> {
    let portal = config.portal.as_ref();
    if let Some(url) = portal.and_then(|portal| portal.url.clone()) {
        return Ok(url);
    }
    let listen = config.server.as_ref().map(|server| server.listen);
    let listen = listen.filter(|listen| listen.port() != 0 && !listen.ip().is_unspecified());
    let listen = listen.context(
        "no address is known by which browsers reach the portal; set url under [portal], such as \
         \"https://hooks.example\"",
    )?;
    Url::parse(&format!("http://{listen}")).context("make the address")
}
