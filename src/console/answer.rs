//! What a command comes to.

use std::sync::Arc;

use anyhow::Result;
use tokio::{sync::Mutex, time::Instant};

use super::command::{Command, KNOWN};
use crate::{
    config::Config,
    manage::{Actor, Admin, PageRequest, deliveries::DeliveryQuery, hooks::HookQuery},
    server::Handles,
};

/// Rows of an answer, as text; `None` is null.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// Answers commands. All sessions share one session with the database.
pub(super) struct Desk {
    config: Arc<Config>,
    handles: Handles,
    admin: Mutex<Option<Admin>>,
}

impl Desk {
    pub(super) fn new(config: Arc<Config>, handles: Handles) -> Self {
        Self {
            config,
            handles,
            admin: Mutex::new(None),
        }
    }

    pub(super) async fn answer(&self, command: &Command) -> Result<Rows> {
        match command {
            Command::Config => return Ok(self.configuration()),
            Command::Version => {
                let version = concat!("rowhook ", env!("CARGO_PKG_VERSION"));
                return Ok(vec![vec![Some(version.to_owned())]]);
            }
            Command::Help => {
                let commands = KNOWN.split(", ");
                return Ok(commands
                    .map(|command| vec![Some(command.to_owned())])
                    .collect());
            }
            Command::Pause | Command::Resume => {
                let paused = *command == Command::Pause;
                self.handles.paused.send_replace(paused);
                return Ok(Vec::new());
            }
            Command::Reload => {
                self.handles.reload.notify_one();
                return Ok(Vec::new());
            }
            _ => {}
        }
        let mut kept = self.admin.lock().await;
        let admin = match kept.take() {
            Some(admin) if admin.is_open() => admin,
            _ => Admin::open(Arc::clone(&self.config), "rowhook console").await?,
        };
        let admin = kept.insert(admin);
        let actor = Actor::Operator;
        let page = PageRequest::largest();
        let text = |text: &str| Some(text.to_owned());
        Ok(match command {
            Command::Hooks => {
                let hooks = admin.hooks(&actor, &HookQuery::default(), &page).await?;
                let rows = hooks.data.into_iter().map(|hook| {
                    vec![
                        Some(hook.id),
                        hook.owner,
                        Some(hook.event),
                        Some(hook.target),
                        text(hook.state),
                        Some(hook.parked.to_string()),
                        Some(hook.dead.to_string()),
                        hook.last.map(|last| last.answer),
                    ]
                });
                rows.collect()
            }
            Command::Deliveries => {
                let found = admin
                    .deliveries(&actor, &DeliveryQuery::default(), &page)
                    .await?;
                let rows = found.data.into_iter().map(|one| {
                    vec![
                        Some(one.at),
                        Some(one.id),
                        Some(one.hook),
                        Some(one.event),
                        text(one.state.as_str()),
                        Some(one.attempts.to_string()),
                        one.next_attempt,
                        one.reason,
                    ]
                });
                rows.collect()
            }
            Command::Lanes => {
                let rows = admin.lanes().await?.into_iter().map(|lane| {
                    vec![
                        Some(lane.hook),
                        Some(lane.lane.to_string()),
                        Some(lane.parked.to_string()),
                        lane.next_attempt,
                        lane.oldest,
                    ]
                });
                rows.collect()
            }
            Command::Lag => self.lag(admin).await?,
            Command::Retry(id) => {
                admin.retry(&actor, id).await?;
                Vec::new()
            }
            Command::Disable(id) => {
                admin.disable_hook(&actor, id, "disabled by hand").await?;
                Vec::new()
            }
            Command::Enable(id) => {
                admin.enable_hook(&actor, id).await?;
                Vec::new()
            }
            Command::Config
            | Command::Version
            | Command::Help
            | Command::Pause
            | Command::Resume
            | Command::Reload => Vec::new(),
        })
    }

    async fn lag(&self, admin: &Admin) -> Result<Rows> {
        let now = self.handles.meters.now(Instant::now());
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

    /// What hooks.toml says that is no secret.
    fn configuration(&self) -> Rows {
        let config = &self.config;
        let delivery = &config.delivery;
        let facts = [
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
        facts
            .into_iter()
            .map(|(key, value)| vec![Some(key.to_owned()), Some(value)])
            .collect()
    }
}
