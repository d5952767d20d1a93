//! Sets up a database: creates what is missing, and nothing else. It is always safe to run again.

mod asked;
pub mod catalog;
pub mod check;
pub mod gap;
pub mod heard;
pub mod lag;
pub mod migration;
pub mod plan;
pub mod product;
mod session;
pub mod teardown;
pub mod waiting;

use self::{
    catalog::Facts,
    gap::Gap,
    plan::{Refused, Step, plan},
    session::DdlSession,
};
use crate::{config::Config, postgres::TableName};

pub use self::session::{Blocker, Error, LockPolicy};

/// Brings the database to the state that the configuration needs, and returns the steps taken; none if nothing was
/// missing.
///
/// Two setups of one database run one after the other. `warn` is called, with one line, if a step has to wait for long.
///
/// # Errors
/// If a person must change something first, a lock cannot be acquired, or Postgres refuses a step. The steps before it
/// stay done.
pub async fn setup(
    config: &Config,
    policy: LockPolicy,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Step>, Error> {
    let session = turn_of(config, policy).await?;
    let facts = read(&session.client, config).await?;
    let steps = plan(config, &facts)?;
    let unmet = plan::unmet_preconditions(&facts, &steps);
    if !unmet.is_empty() {
        return Err(Refused::new(config, unmet).into());
    }
    for step in &steps {
        session.run(step, warn).await?;
    }
    Ok(steps)
}

/// Moves tables of `[events]` to the publications where they belong, and sets the replica identity that the
/// configuration asks for. Returns what was done to each table that needed it, or why it was not. `facts` are from just
/// now.
pub async fn publish(
    config: &Config,
    policy: LockPolicy,
    tables: &[TableName],
    facts: &Facts,
) -> Vec<(TableName, Result<String, Error>)> {
    let mut done = Vec::new();
    let mut session = None;
    for (name, steps) in plan::publishing(config, facts, tables) {
        let Some(last) = steps.last() else {
            continue;
        };
        let result = async {
            let session = match &mut session {
                Some(session) => session,
                none => none.insert(turn_of(config, policy).await?),
            };
            for step in &steps {
                session.run(step, &|_| {}).await?;
            }
            Ok(last.reason.clone())
        };
        let result = result.await;
        done.push((name.clone(), result));
    }
    done
}

/// A session that changes the database while no other setup of it does.
async fn turn_of(config: &Config, policy: LockPolicy) -> Result<DdlSession, Error> {
    let address = &config.database.address;
    let session = DdlSession::open(address, "rowhook setup", policy).await?;
    let turn = format!("select pg_advisory_lock({})", plan::lock_key(config));
    session
        .run_locking("wait for another rowhook setup to end", &turn)
        .await?;
    Ok(session)
}

/// Accepts a gap, if there is one: drops a slot that cannot be read, and forgets the recorded progress. [`setup`] then
/// creates what is missing. Returns the gap.
///
/// # Errors
/// If a lock cannot be acquired, or Postgres refuses a step.
pub async fn accept_gap(
    config: &Config,
    policy: LockPolicy,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Option<Gap>, Error> {
    let address = &config.database.address;
    let session = DdlSession::open(address, "rowhook setup", policy).await?;
    let Some(gap) = read(&session.client, config).await?.gap(config) else {
        return Ok(None);
    };
    for step in gap::acceptance_steps(config, &gap) {
        session.run(&step, warn).await?;
    }
    Ok(Some(gap))
}

/// The SQL of what [`setup`] would do, as a script for psql, to be run by someone with more privileges.
///
/// # Errors
/// If the database cannot be read, or a person must change something first.
pub async fn print(config: &Config) -> Result<String, Error> {
    let address = &config.database.address;
    let client = address.connect("rowhook setup").await?;
    let facts = read(&client, config).await?;
    let steps = plan(config, &facts)?;
    Ok(plan::script(config, &facts, &steps))
}

async fn read(client: &tokio_postgres::Client, config: &Config) -> Result<Facts, Error> {
    Facts::read(client, config)
        .await
        .map_err(|error| Error::failed("read the catalog", &error))
}
