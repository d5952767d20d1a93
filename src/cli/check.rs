//! `rowhook check`: examines the configuration and the database, and prints the findings.

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    config::Config,
    send::guard::Guard,
    setup::check::{Finding, Level, Topic, check as examine},
    terminal::plain,
};

/// Prints all findings, and fails if one of them is fatal.
pub(super) async fn check(config: &Config, json: bool) -> Result<()> {
    let guard = Guard::new(config.delivery.allow_http, &config.delivery.allow_networks);
    let refuses = |url: &url::Url| {
        guard
            .check_url(url)
            .err()
            .map(|refusal| refusal.to_string())
    };
    let findings = examine(config, &refuses).await;
    if json {
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| as_json(config, finding))
            .collect();
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| print(config, finding));
    }
    let fatal = findings
        .iter()
        .filter(|finding| finding.level == Level::Fatal);
    match fatal.count() {
        0 => Ok(()),
        1 => bail!("one finding is fatal"),
        fatal => bail!("{fatal} findings are fatal"),
    }
}

fn print(config: &Config, finding: &Finding) {
    let place = finding
        .place
        .map(|place| format!(" ({}:{place})", config.path.display()));
    println!(
        "{:<5} {}: {}{}",
        level(finding.level),
        topic(finding.topic),
        plain(&finding.what),
        place.unwrap_or_default()
    );
    if let Some(remedy) = &finding.remedy {
        println!("      → {}", plain(remedy));
    }
}

/// A finding for programs. Its keys are an interface, so they stay as they are.
fn as_json(config: &Config, finding: &Finding) -> serde_json::Value {
    json!({
        "level": level(finding.level),
        "topic": topic(finding.topic),
        "what": finding.what,
        "mend": finding.remedy,
        "place": finding.place.map(|place| format!("{}:{place}", config.path.display())),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Note => "note",
        Level::Warn => "warn",
        Level::Fatal => "fatal",
    }
}

fn topic(topic: Topic) -> &'static str {
    match topic {
        Topic::Connection => "connection",
        Topic::Server => "server",
        Topic::Privileges => "privileges",
        Topic::Slot => "slot",
        Topic::Setup => "setup",
        Topic::Tables => "tables",
        Topic::Events => "events",
        Topic::Owners => "owners",
        Topic::Hooks => "hooks",
    }
}
