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
    plan::{Refused, Step, plan, step},
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
/// stay done, and where there is a slot already, those that do not need the lock are taken too.
pub async fn setup(
    config: &Config,
    policy: LockPolicy,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Step>, Error> {
    let session = turn_of(config, policy).await?;
    let mut done = Vec::new();
    let mut tries = policy.tries;
    loop {
        match take_steps(&session, config, warn, &mut done).await {
            // An application that alters its tables just now must not keep the others from being heard.
            Err(Error::Overtaken { .. }) if tries > 1 => tries -= 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(done),
        }
    }
}

/// Takes the steps that are missing now, and adds each to `done`.
async fn take_steps(
    session: &DdlSession,
    config: &Config,
    warn: &(dyn Fn(&str) + Sync),
    done: &mut Vec<Step>,
) -> Result<(), Error> {
    let facts = read(session, config).await?;
    let steps = plan(config, &facts)?;
    let unmet = plan::unmet_preconditions(&facts, &steps);
    if !unmet.is_empty() {
        return Err(Refused::new(config, unmet).into());
    }
    let mut locked = None;
    for turn in step::turns(&steps) {
        // A commit for each of a thousand tables takes seconds. Where one is locked, the others are not kept back.
        if turn.len() > 1 && session.run_together(turn).await {
            done.extend_from_slice(turn);
            continue;
        }
        for step in turn {
            match session.run(step, warn).await {
                Ok(()) => done.push(step.clone()),
                // A slot must not begin before its publications are whole. Where it is there, one table waits alone.
                Err(error @ Error::Locked { .. }) if facts.slot.is_some() => {
                    locked = locked.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    locked.map_or(Ok(()), Err)
}

/// Brings rowhook's own tables to what this version needs, and touches nothing else. Returns the step that was taken,
/// if one was missing. A rowhook that runs meanwhile goes on.
///
/// # Errors
/// If the tables were made by a newer version, a lock cannot be acquired, or Postgres refuses.
pub async fn migrate(
    config: &Config,
    policy: LockPolicy,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Option<Step>, Error> {
    let session = turn_of(config, policy).await?;
    let facts = read(&session, config).await?;
    let step = plan::migrations(config, &facts)?;
    if let Some(step) = &step {
        session.run(step, warn).await?;
    }
    Ok(step)
}

/// The SQL of what [`migrate`] would do, as a script for psql, to be run by someone with more privileges.
///
/// # Errors
/// If the database cannot be read, or the tables were made by a newer version.
pub async fn print_migrations(config: &Config) -> Result<String, Error> {
    let session =
        DdlSession::open(&config.database, "rowhook migrate", LockPolicy::default()).await?;
    let facts = read(&session, config).await?;
    let steps: Vec<Step> = plan::migrations(config, &facts)?.into_iter().collect();
    Ok(plan::script(config, &facts, &steps))
}

/// Moves tables to the publications where they belong, and sets the replica identity that the
/// configuration asks for. Returns what was done to each table that needed it, or why it was not. `facts` are from just
/// now. `oid` tells which table a name stands for: another one that has the name by now is left alone.
pub async fn publish(
    config: &Config,
    policy: LockPolicy,
    tables: &[TableName],
    facts: &Facts,
    oid: &(dyn Fn(&TableName) -> Option<u32> + Sync),
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
                let mut step = step.clone();
                if let Some(oid) = oid(name) {
                    step.sql += &plan::guard(name, oid);
                }
                session.run(&step, &|_| {}).await?;
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
    let session = DdlSession::open(&config.database, "rowhook setup", policy).await?;
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
    let session = DdlSession::open(&config.database, "rowhook setup", policy).await?;
    let Some(gap) = read(&session, config).await?.gap(config) else {
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
    let session =
        DdlSession::open(&config.database, "rowhook setup", LockPolicy::default()).await?;
    let facts = read(&session, config).await?;
    let steps = plan(config, &facts)?;
    Ok(plan::script(config, &facts, &steps))
}

async fn read(session: &DdlSession, config: &Config) -> Result<Facts, Error> {
    Facts::read(&session.client, session.standby.as_ref(), config)
        .await
        .map_err(|error| Error::failed("read the catalog", &error))
}
