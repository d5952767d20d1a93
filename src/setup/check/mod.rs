//! Checks everything that rowhook needs to work, and names a remedy for what is wrong.
//!
//! A check changes nothing. The catalog is read once, and the findings are decided on values, in a file for each
//! subject.

mod before;
mod casts;
mod cluster;
mod failover;
mod finding;
mod generated;
mod hooks;
mod server;
mod shapes;
mod tables;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use url::Url;

pub use self::{
    finding::{Finding, Kind, Level, Topic},
    shapes::visible,
};
use super::{
    catalog::{Facts, Slot},
    plan::{self, plan},
    waiting::waited_for,
};
use crate::config::Config;
use crate::postgres::{address::Address, connect, replication};

/// How long a replication connection may take to open.
const REPLICATION: Duration = Duration::from_secs(10);

/// Checks everything, and returns the findings in the order of the path of a row. `refuses` returns why a target must
/// not be called, or `None` if it may be.
pub async fn check(
    config: &Config,
    refuses: &(dyn Fn(&Url) -> Option<String> + Sync),
) -> Vec<Finding> {
    let address = &config.database.address;
    let client = match address.connect("rowhook check").await {
        Ok(client) => client,
        Err(error) => return vec![Finding::fatal(Topic::Connection, error.to_string())],
    };
    let standby = match config.database.connect_standby("rowhook check").await {
        Ok(standby) => standby,
        Err(error) => return vec![Finding::fatal(Topic::Connection, error.to_string())],
    };
    let facts = match Facts::read(&client, standby.as_ref(), config).await {
        Ok(facts) => facts,
        Err(error) => {
            let what = format!(
                "cannot read the catalog: {}",
                crate::postgres::error_message(&error)
            );
            return vec![Finding::fatal(Topic::Connection, what)];
        }
    };
    let mut findings = server::connection(address, &facts);
    findings.push(replication(config.database.source(), &facts).await);
    findings.extend(server::server(config, &facts));
    let source = standby.as_ref().unwrap_or(&client);
    findings.extend(failover::failover(source, config, &facts).await);
    findings.extend(server::privileges(&facts));
    findings.extend(setup(config, &facts));
    findings.extend(slot(&client, config, &facts).await);
    findings.extend(tables::tables(config, &facts));
    findings.extend(tables::heard(config, &facts));
    findings.extend(generated::untrusted(&client, config, &facts).await);
    findings.extend(expressions(&client, config).await);
    findings.extend(before::before(config, &facts));
    findings.extend(cluster::cluster(config));
    findings.extend(hooks::in_file(config, refuses));
    findings.extend(hooks::in_table(&client, config, &facts, refuses).await);
    findings
}

/// What in the configuration does not fit the tables: columns that do not exist, owners that cannot be found,
/// expressions and queries that fail. Each line is one such thing, with its place and its remedy; empty if everything
/// fits.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn misfits(
    client: &Client,
    config: &Config,
    facts: &Facts,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut findings = tables::tables(config, facts);
    findings.extend(shapes::shapes(client, config).await?);
    findings.extend(before::shapes(client, config).await?);
    let findings = findings.into_iter();
    let fatal = findings.filter(|finding| finding.level == Level::Fatal);
    Ok(fatal
        .map(|finding| {
            let place = finding
                .place
                .map(|place| format!("{}:{place}: ", config.path.display()));
            let remedy = finding.remedy.map(|remedy| format!("; {remedy}"));
            [
                place.unwrap_or_default(),
                finding.what,
                remedy.unwrap_or_default(),
            ]
            .concat()
        })
        .collect())
}

/// Findings on whether expressions, templates and queries fit the tables.
async fn expressions(client: &Client, config: &Config) -> Vec<Finding> {
    let shapes = async {
        let mut findings = shapes::shapes(client, config).await?;
        findings.extend(before::shapes(client, config).await?);
        Ok(findings)
    };
    shapes.await.unwrap_or_else(|error: tokio_postgres::Error| {
        let what = format!(
            "cannot look at the tables: {}",
            crate::postgres::error_message(&error)
        );
        vec![Finding::fatal(Topic::Tables, what)]
    })
}

/// Opens a replication connection and closes it again, the only sure way to tell a pooler from a server.
async fn replication(address: &Address, facts: &Facts) -> Finding {
    let failed = |error: connect::Error| {
        // Without the privilege it must fail. That is a finding of its own, with more remedies.
        let level = match error.reason {
            connect::Reason::NoReplication { .. } => Level::Note,
            _ => Level::Fatal,
        };
        Finding::new(level, Topic::Connection, error.to_string())
    };
    if plan::wrong_wal_level(facts.source()).is_some() {
        return Finding::note(
            Topic::Connection,
            "whether a replication session can be opened shows when wal_level is logical",
        );
    }
    let settings = connect::session::of_stream();
    let opening = replication::Connection::open(address, address.stream_name(), &settings);
    match timeout(REPLICATION, opening).await {
        Ok(Ok(_)) => Finding::ok(Topic::Connection, "a replication session can be opened"),
        Ok(Err(error)) => failed(error),
        Err(_) => Finding::fatal(
            Topic::Connection,
            "the server does not answer a replication session",
        )
        .remedy("give the server's own address in [database] url, if this is a pooler's"),
    }
}

/// What setup would do, or why it would refuse.
fn setup(config: &Config, facts: &Facts) -> Vec<Finding> {
    let steps = match plan(config, facts) {
        Ok(steps) => steps,
        Err(refused) => {
            let problems = refused.problems.into_iter();
            return problems
                .map(|problem| Finding::problem(Topic::Setup, problem))
                .collect();
        }
    };
    let mut findings: Vec<_> = plan::not_owned(facts, &steps)
        .into_iter()
        .map(|problem| Finding::problem(Topic::Privileges, problem))
        .collect();
    let being_made = facts.own_slot().is_some_and(Slot::is_being_made);
    if steps.is_empty() && !being_made {
        findings.push(Finding::ok(Topic::Setup, "everything is set up"));
    }
    findings.extend(steps.into_iter().map(|step| {
        Finding::note(Topic::Setup, format!("not set up yet: {}", step.reason))
            .remedy("run rowhook setup; rowhook run does it too")
            .kind("things are not set up yet", step.reason)
    }));
    findings
}

/// Findings on the slot, and on whom it waits for while it is being made.
async fn slot(client: &Client, config: &Config, facts: &Facts) -> Option<Finding> {
    match waited_for(client, facts.own_slot()).await {
        Ok(blockers) => server::slot(config, facts, &blockers),
        Err(error) => {
            let what = format!(
                "cannot see whom the slot waits for: {}",
                crate::postgres::error_message(&error)
            );
            Some(Finding::warn(Topic::Slot, what))
        }
    }
}
