//! Answers commands.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Map, Value};
use tokio::{
    sync::{MappedMutexGuard, Mutex, MutexGuard},
    time::Instant,
};

use super::command::{Command, KNOWN, Show};
use crate::{
    act::{Act, Kind, Who, what},
    config::Config,
    manage::{
        Actor, Admin, PageRequest, audit::AuditQuery, deliveries::DeliveryQuery, hooks::HookQuery,
    },
    server::Handles,
};

/// The rows of an answer, as text; `None` is null.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// Answers the commands of all sessions. They share one connection to the database, which is opened when it is first
/// needed.
pub(super) struct Answers {
    config: Arc<Config>,
    handles: Handles,
    admin: Mutex<Option<Admin>>,
}

impl Answers {
    pub(super) fn new(config: Arc<Config>, handles: Handles) -> Self {
        Self {
            config,
            handles,
            admin: Mutex::new(None),
        }
    }

    /// Does what a command asks for, and returns the rows of its answer; none if it has no columns.
    pub(super) async fn answer(&self, command: &Command) -> Result<Rows> {
        let operator = Actor::Operator;
        match command {
            Command::Show(show) => return self.show(*show).await,
            Command::Pause => {
                self.record(what::PAUSED).await?;
                self.handles.paused.send_replace(true);
            }
            Command::Resume => {
                self.record(what::RESUMED).await?;
                self.handles.paused.send_replace(false);
            }
            Command::Reload => self.handles.reload.ask(console()),
            Command::Retry(id) => {
                self.admin().await?.retry(&operator, id).await?;
            }
            Command::Disable(id) => {
                let mut admin = self.admin().await?;
                admin
                    .disable_hook(&operator, id, "disabled by hand")
                    .await?;
            }
            Command::Enable(id) => {
                self.admin().await?.enable_hook(&operator, id).await?;
            }
        }
        Ok(Rows::new())
    }

    /// Puts it on record before it is done.
    async fn record(&self, what: &'static str) -> Result<()> {
        let admin = self.admin().await?;
        admin.record(Act::of(&console(), what)).await?;
        Ok(())
    }

    async fn show(&self, show: Show) -> Result<Rows> {
        match show {
            Show::Hooks => hooks(&*self.admin().await?).await,
            Show::Lanes => lanes(&*self.admin().await?).await,
            Show::Lag => self.lag(&*self.admin().await?).await,
            Show::Deliveries => deliveries(&*self.admin().await?).await,
            Show::Audit => audit(&*self.admin().await?).await,
            Show::Senders => senders(&*self.admin().await?).await,
            Show::Partitions => partitions(&*self.admin().await?).await,
            Show::Config => Ok(self.config()),
            Show::Version => {
                let version = concat!("rowhook ", env!("CARGO_PKG_VERSION"));
                Ok(vec![vec![Some(version.to_owned())]])
            }
            Show::Help => {
                let commands = KNOWN.split(", ");
                Ok(commands
                    .map(|command| vec![Some(command.to_owned())])
                    .collect())
            }
        }
    }

    /// Takes the shared connection, and opens it again if it is closed.
    async fn admin(&self) -> Result<MappedMutexGuard<'_, Admin>> {
        let mut shared = self.admin.lock().await;
        let admin = match shared.take() {
            Some(admin) if admin.is_open() => admin,
            _ => {
                let config = Arc::clone(&self.config);
                let mut admin = Admin::open(config, "rowhook console", console()).await?;
                admin.beside(self.handles.running());
                admin
            }
        };
        Ok(MutexGuard::map(shared, |shared| shared.insert(admin)))
    }

    async fn lag(&self, admin: &Admin) -> Result<Rows> {
        let now = self.handles.health.now(Instant::now());
        let status = admin.status().await?;
        let slot = status.slot;
        let paused = *self.handles.paused.borrow();
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        let facts = [
            ("state", Some(now.link.word().to_owned())),
            ("paused", Some(paused.to_string())),
            (
                "lag_bytes",
                number(slot.as_ref().and_then(|slot| slot.lag_bytes)),
            ),
            ("lag_seconds", Some(now.lag.as_secs().to_string())),
            (
                "safe_wal_bytes",
                number(slot.as_ref().and_then(|slot| slot.safe_wal_bytes)),
            ),
            ("confirmed", slot.and_then(|slot| slot.confirmed)),
            ("unsettled", Some(now.unsettled.to_string())),
            ("parked", Some(status.deliveries.parked.to_string())),
            ("dead", Some(status.deliveries.dead.to_string())),
        ];
        Ok(facts
            .into_iter()
            .map(|(name, value)| vec![Some(name.to_owned()), value])
            .collect())
    }

    /// The settings of hooks.toml, without secrets.
    fn config(&self) -> Rows {
        let config = &self.config;
        let delivery = &config.delivery;
        let settings = [
            ("path", config.path.display().to_string()),
            ("database.slot", config.database.slot.clone()),
            ("database.publication", config.database.publication.clone()),
            ("database.schema", config.database.schema.clone()),
            ("events", config.events.len().to_string()),
            ("hooks", config.hooks.len().to_string()),
            ("delivery.timeout", format!("{:?}", delivery.timeout)),
            ("delivery.retries", format!("{:?}", delivery.retries)),
            ("delivery.concurrency", delivery.concurrency.to_string()),
            ("delivery.max_body", delivery.max_body.to_string()),
            ("delivery.memory", delivery.memory.to_string()),
            ("delivery.grace", format!("{:?}", delivery.grace)),
            ("delivery.allow_http", delivery.allow_http.to_string()),
        ];
        settings
            .into_iter()
            .map(|(key, value)| vec![Some(key.to_owned()), Some(value)])
            .collect()
    }
}

async fn hooks(admin: &Admin) -> Result<Rows> {
    let page = PageRequest::largest();
    let found = admin
        .hooks(&Actor::Operator, &HookQuery::default(), &page)
        .await?;
    let rows = found.data.into_iter().map(|hook| {
        vec![
            Some(hook.id),
            hook.owner,
            Some(hook.event),
            Some(hook.target),
            Some(hook.state.to_owned()),
            Some(hook.parked.to_string()),
            Some(hook.dead.to_string()),
            hook.last.map(|last| last.answer),
        ]
    });
    Ok(rows.collect())
}

/// Whoever has the password of the console.
fn console() -> Who {
    Who::only(Kind::Console)
}

async fn audit(admin: &Admin) -> Result<Rows> {
    let page = PageRequest::largest();
    let found = admin
        .audit(&Actor::Operator, &AuditQuery::default(), &page)
        .await?;
    let rows = found.data.into_iter().map(|entry| {
        let changed = |facts: &Option<Map<String, Value>>| {
            facts
                .as_ref()
                .map(|facts| Value::Object(facts.clone()).to_string())
        };
        vec![
            Some(entry.at.clone()),
            Some(entry.by.to_string()),
            Some(entry.what.clone()),
            entry.hook.clone(),
            entry.owner.clone(),
            changed(&entry.before),
            changed(&entry.after),
        ]
    });
    Ok(rows.collect())
}

async fn lanes(admin: &Admin) -> Result<Rows> {
    let rows = admin.lanes().await?.into_iter().map(|lane| {
        vec![
            Some(lane.hook),
            Some(lane.lane.to_string()),
            Some(lane.parked.to_string()),
            lane.next_attempt,
            lane.oldest,
        ]
    });
    Ok(rows.collect())
}

async fn senders(admin: &Admin) -> Result<Rows> {
    let rows = admin.senders().await?.into_iter().map(|sender| {
        vec![
            Some(sender.sender),
            Some(sender.host),
            Some(sender.version),
            Some(sender.partitions.to_string()),
            Some(sender.since),
            Some(sender.seen),
        ]
    });
    Ok(rows.collect())
}

async fn partitions(admin: &Admin) -> Result<Rows> {
    let rows = admin.partitions().await?.into_iter().map(|partition| {
        vec![
            Some(partition.partition.to_string()),
            partition.sender,
            Some(partition.epoch.to_string()),
            Some(partition.since),
            Some(partition.parked.to_string()),
            partition.oldest,
        ]
    });
    Ok(rows.collect())
}

async fn deliveries(admin: &Admin) -> Result<Rows> {
    let page = PageRequest::largest();
    let found = admin
        .deliveries(&Actor::Operator, &DeliveryQuery::default(), &page)
        .await?;
    let rows = found.data.into_iter().map(|delivery| {
        vec![
            Some(delivery.at),
            Some(delivery.id),
            Some(delivery.hook),
            Some(delivery.event),
            Some(delivery.state.as_str().to_owned()),
            Some(delivery.attempts.to_string()),
            delivery.next_attempt,
            delivery.reason,
        ]
    });
    Ok(rows.collect())
}
