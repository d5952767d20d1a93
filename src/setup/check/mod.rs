//! The doctor: looks at everything that must be right for rowhook to work, and names the mend of what is not.
//!
//! It changes nothing. What the catalog says is read once; the findings are decided on values, a file for each subject.

mod hooks;
mod server;
mod shapes;
mod tables;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use url::Url;

pub use self::shapes::visible;
use super::{
    catalog::Facts,
    plan::{self, Problem, plan},
};
use crate::config::{Config, Location};
use crate::postgres::{address::Address, connect, replication};

/// How long a replication session may take to open.
const REPLICATION: Duration = Duration::from_secs(10);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub topic: Topic,
    /// What was found, in one line.
    pub what: String,
    /// What to do about it.
    pub mend: Option<String>,
    /// Where in hooks.toml, if there.
    pub place: Option<Location>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something will not do what one may expect.
    Warn,
    /// rowhook cannot run.
    Fatal,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Getting in.
    Connection,
    /// The server and its settings.
    Server,
    /// What the role may do.
    Privileges,
    /// The replication slot.
    Slot,
    /// What `rowhook setup` has to do.
    Setup,
    /// Tables and their columns.
    Tables,
    /// Events.
    Events,
    /// Whose rows they are.
    Owners,
    /// Hooks and their targets.
    Hooks,
}

impl Finding {
    fn new(level: Level, topic: Topic, what: impl Into<String>) -> Self {
        Self {
            level,
            topic,
            what: what.into(),
            mend: None,
            place: None,
        }
    }

    fn ok(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, topic, what)
    }

    fn note(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Note, topic, what)
    }

    fn warn(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Warn, topic, what)
    }

    fn fatal(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Fatal, topic, what)
    }

    fn problem(topic: Topic, problem: Problem) -> Self {
        Self {
            mend: problem.mend,
            place: problem.place,
            ..Self::fatal(topic, problem.what)
        }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self {
            mend: Some(mend.into()),
            ..self
        }
    }

    fn at(self, place: Location) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }
}

/// Looks at everything, and returns what it found in the order of the path of a row. `refuses` says why a target must not be
/// called, if so.
pub async fn check(
    config: &Config,
    refuses: &(dyn Fn(&Url) -> Option<String> + Sync),
) -> Vec<Finding> {
    let address = &config.database.address;
    let client = match address.connect("rowhook check").await {
        Ok(client) => client,
        Err(error) => return vec![Finding::fatal(Topic::Connection, error.to_string())],
    };
    let facts = match Facts::read(&client, config).await {
        Ok(facts) => facts,
        Err(error) => {
            let what = format!("cannot read the catalog: {}", crate::postgres::told(&error));
            return vec![Finding::fatal(Topic::Connection, what)];
        }
    };
    let mut findings = server::connection(address, &facts);
    findings.push(replication(address, &facts).await);
    findings.extend(server::server(&facts));
    findings.extend(server::privileges(&facts));
    findings.extend(setup(config, &facts));
    findings.extend(server::slot(config, &facts));
    findings.extend(tables::tables(config, &facts));
    findings.extend(fitting(&client, config).await);
    findings.extend(hooks::of_file(config, refuses));
    findings.extend(hooks::of_table(&client, config, &facts, refuses).await);
    findings
}

/// What of the configuration does not fit the tables: columns that are not there, owners that cannot be found, expressions and
/// queries that cannot be asked. Each line is one such thing, with its place and its mend; empty where all fits.
///
/// # Errors
/// When the tables cannot be looked at.
pub async fn misfits(
    client: &Client,
    config: &Config,
    facts: &Facts,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut findings = tables::tables(config, facts);
    findings.extend(shapes::shapes(client, config).await?);
    let findings = findings.into_iter();
    let fatal = findings.filter(|finding| finding.level == Level::Fatal);
    Ok(fatal
        .map(|finding| {
            let place = finding
                .place
                .map(|place| format!("{}:{place}: ", config.path.display()));
            let mend = finding.mend.map(|mend| format!("; {mend}"));
            [
                place.unwrap_or_default(),
                finding.what,
                mend.unwrap_or_default(),
            ]
            .concat()
        })
        .collect())
}

/// Do expressions, templates and queries fit the tables?
async fn fitting(client: &Client, config: &Config) -> Vec<Finding> {
    shapes::shapes(client, config)
        .await
        .unwrap_or_else(|error| {
            let what = format!(
                "cannot look at the tables: {}",
                crate::postgres::told(&error)
            );
            vec![Finding::fatal(Topic::Tables, what)]
        })
}

/// Opens a replication session and closes it again: nothing else tells a pooler from a server for sure.
async fn replication(address: &Address, facts: &Facts) -> Finding {
    let failed = |error: connect::Error| {
        // Without the privilege it can only fail; that is told under its own heading, with more ways to mend it.
        let level = match error.reason {
            connect::Reason::NoReplication { .. } => Level::Note,
            _ => Level::Fatal,
        };
        Finding::new(level, Topic::Connection, error.to_string())
    };
    if facts.server.wal_level != "logical" {
        return Finding::note(
            Topic::Connection,
            "whether a replication session can be opened shows when wal_level is logical",
        );
    }
    let opening = replication::Session::open(address, address.stream_name(), &[]);
    match timeout(REPLICATION, opening).await {
        Ok(Ok(_)) => Finding::ok(Topic::Connection, "a replication session can be opened"),
        Ok(Err(error)) => failed(error),
        Err(_) => Finding::fatal(
            Topic::Connection,
            "the server does not answer a replication session",
        )
        .mend("give the server's own address in [database] url, if this is a pooler's"),
    }
}

/// What setup would do, or why it would refuse.
fn setup(config: &Config, facts: &Facts) -> Vec<Finding> {
    let steps = match plan(config, facts) {
        Ok(steps) => steps,
        Err(refused) => {
            let problems = refused.0.into_iter();
            return problems
                .map(|problem| Finding::problem(Topic::Setup, problem))
                .collect();
        }
    };
    let mut findings: Vec<_> = plan::not_ours(facts, &steps)
        .into_iter()
        .map(|problem| Finding::problem(Topic::Privileges, problem))
        .collect();
    findings.push(match steps.as_slice() {
        [] => Finding::ok(Topic::Setup, "everything is set up"),
        steps => {
            let reasons: Vec<_> = steps.iter().map(|step| step.reason.as_str()).collect();
            Finding::note(
                Topic::Setup,
                format!("not set up yet: {}", reasons.join("; ")),
            )
            .mend("run rowhook setup; rowhook run does it too")
        }
    });
    findings
}
