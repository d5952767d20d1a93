//! Attaches to a database: makes what is missing, and nothing else. Running it again is always safe.

pub mod catalog;
pub mod check;
pub mod gap;
pub mod lag;
pub mod migration;
pub mod plan;
mod session;
pub mod teardown;

use self::{
    catalog::Facts,
    gap::Gap,
    plan::{Refused, Step, plan},
    session::Session,
};
use crate::config::Config;

pub use self::session::{Error, Holder, Patience};

/// Brings the database to where the configuration wants it, and returns the steps it took; none when all was there.
///
/// Two setups of one database take turns. `warn` hears, in one line, of anything that makes it wait long.
///
/// # Errors
/// When something must be changed first, a lock is not to be had, or Postgres refuses. The steps before stay done.
pub async fn setup(
    config: &Config,
    patience: Patience,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Step>, Error> {
    let address = &config.database.address;
    let session = Session::open(address, "rowhook setup", patience).await?;
    let turn = format!("select pg_advisory_lock({})", plan::lock_key(config));
    session
        .locking("wait for another rowhook setup to end", &turn)
        .await?;
    let facts = read(&session.client, config).await?;
    let steps = plan(config, &facts)?;
    let hindrances = plan::hindrances(&facts, &steps);
    if !hindrances.is_empty() {
        return Err(Refused(hindrances).into());
    }
    for step in &steps {
        session.run(step, warn).await?;
    }
    Ok(steps)
}

/// Goes on behind a gap, if there is one: a slot that cannot be read is removed, and where rowhook was is forgotten.
/// [`setup`] makes the rest. Returns the gap.
///
/// # Errors
/// When a lock is not to be had, or Postgres refuses.
pub async fn accept_gap(
    config: &Config,
    patience: Patience,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Option<Gap>, Error> {
    let address = &config.database.address;
    let session = Session::open(address, "rowhook setup", patience).await?;
    let Some(gap) = read(&session.client, config).await?.gap(config) else {
        return Ok(None);
    };
    for step in gap::acceptance(config, &gap) {
        session.run(&step, warn).await?;
    }
    Ok(Some(gap))
}

/// What [`setup`] would do, as SQL for someone with more privileges: psql runs it as it stands.
///
/// # Errors
/// When something must be changed first.
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
