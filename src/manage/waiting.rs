//! What the tables know of why deliveries wait: how their hooks are, and what stands before them.

use std::{
    collections::{BTreeSet, HashMap},
    time::SystemTime,
};

use super::{
    Admin, Error, Result,
    outlook::{self, DeliveryFacts, HookState, Outlook, Process},
    state::State,
};
use crate::config::Rate;

/// A delivery as far as its outlook depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) id: &'a str,
    pub(super) hook: &'a str,
    pub(super) state: State,
    pub(super) attempts: i32,
    pub(super) reason: Option<&'a str>,
    pub(super) next_attempt: Option<SystemTime>,
    pub(super) in_flight: bool,
}

/// How a hook is, as its row has it.
#[derive(Debug, Clone, Default)]
struct HookNow {
    active: bool,
    invalid: Option<String>,
    disabled_reason: Option<String>,
    rate: Option<String>,
}

impl HookNow {
    fn state(&self) -> HookState<'_> {
        match self {
            Self {
                invalid: Some(reason),
                ..
            } => HookState::Invalid(reason),
            Self { active: false, .. } => HookState::Disabled(self.disabled_reason.as_deref()),
            Self { rate, .. } => HookState::Good(rate.as_deref()),
        }
    }
}

impl Admin {
    /// What becomes of each of these deliveries next, in order.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(super) async fn outlooks(&self, deliveries: &[Waiting<'_>]) -> Result<Vec<Outlook>> {
        let parked = || {
            let deliveries = deliveries.iter();
            deliveries.filter(|delivery| delivery.state == State::Parked)
        };
        let hooks = self
            .hook_rows(parked().map(|delivery| delivery.hook))
            .await?;
        let behind = parked().filter(|one| one.next_attempt.is_none() && !one.in_flight);
        let ahead = self
            .ahead(behind.map(|delivery| delivery.id).collect())
            .await?;
        let now = match parked().next() {
            Some(_) => self.database_now().await?,
            None => SystemTime::now(),
        };
        let outlooks = deliveries.iter().map(|delivery| {
            let row = hooks.get(delivery.hook);
            outlook::of_delivery(&DeliveryFacts {
                state: delivery.state,
                attempts: delivery.attempts,
                reason: delivery.reason,
                next_attempt: delivery.next_attempt,
                in_flight: delivery.in_flight,
                ahead: ahead.get(delivery.id).map(String::as_str),
                hook: row.map_or(HookState::Gone, HookNow::state),
                process: &self.process(delivery.hook),
                is_proxied: self.config.delivery.proxy.is_some(),
                retention: self.config.delivery.retention,
                now,
            })
        });
        Ok(outlooks.collect())
    }

    /// What the rowhook of this process knows of what a hook waits for.
    pub(super) fn process(&self, hook: &str) -> Process {
        let running = self.running.as_ref();
        running.map_or(Process::Unknown, |running| running.about(hook))
    }

    /// How these hooks are, by their ids. Those that are gone are missing.
    async fn hook_rows(&self, ids: impl Iterator<Item = &str>) -> Result<HashMap<String, HookNow>> {
        let ids: BTreeSet<&str> = ids.collect();
        let (of_file, of_table): (Vec<&str>, Vec<&str>) = ids
            .into_iter()
            .partition(|id| self.config.hooks.iter().any(|hook| hook.name == **id));
        let mut found = HashMap::new();
        if !of_table.is_empty() {
            let (sql, ids) = self.table.select_some(&of_table);
            let rows = self.client.query(&sql, &[&ids]).await;
            let rows = rows.map_err(|error| Error::from_postgres("look at the hooks", error))?;
            for row in rows {
                let read = || -> std::result::Result<_, tokio_postgres::Error> {
                    let hook = HookNow {
                        active: row.try_get("active")?,
                        invalid: row.try_get("invalid")?,
                        disabled_reason: row.try_get("disabled_reason")?,
                        rate: row.try_get("rate")?,
                    };
                    Ok((row.try_get("id")?, hook))
                };
                let (id, hook) =
                    read().map_err(|error| Error::from_postgres("look at the hooks", error))?;
                found.insert(id, hook);
            }
        }
        if !of_file.is_empty() {
            let sql = "select hook, reason from invalid_hook where panicked and hook = any($1)";
            let rows = self.client.query(sql, &[&of_file]).await;
            let rows = rows.map_err(|error| Error::from_postgres("look at the hooks", error))?;
            let unusable: std::result::Result<HashMap<String, String>, tokio_postgres::Error> =
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect();
            let mut unusable =
                unusable.map_err(|error| Error::from_postgres("look at the hooks", error))?;
            let hooks = self.config.hooks.iter();
            for hook in hooks.filter(|hook| of_file.contains(&hook.name.as_str())) {
                let row = HookNow {
                    active: true,
                    invalid: unusable.remove(hook.name.as_str()),
                    disabled_reason: None,
                    rate: hook.delivery.rate.map(|rate: Rate| rate.to_string()),
                };
                found.insert(hook.name.to_string(), row);
            }
        }
        Ok(found)
    }

    /// What stands before these deliveries in their lanes, by their ids.
    async fn ahead(&self, ids: Vec<&str>) -> Result<HashMap<String, String>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = include_str!("../../sql/manage/ahead.sql");
        let failed = |error| Error::from_postgres("look what stands before", error);
        let rows = self.client.query(sql, &[&ids]).await.map_err(failed)?;
        let pairs = rows.iter().map(|row| {
            let pair: (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
            Ok(pair)
        });
        let pairs: std::result::Result<Vec<_>, tokio_postgres::Error> = pairs.collect();
        let pairs = pairs.map_err(failed)?.into_iter();
        Ok(pairs.filter_map(|(id, ahead)| Some((id, ahead?))).collect())
    }
}
