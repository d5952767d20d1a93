//! Acts: what somebody has done to hooks, deliveries, tokens and settings, as it goes on record.
//!
//! Nothing secret may enter here. What is on record stays there, and no key opens it.

use std::{net::IpAddr, time::SystemTime};

use serde_json::{Map, Value};

use crate::postgres::Lsn;

/// Who does something, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// What they are.
    pub kind: Kind,
    /// The owner that they are, or whose token they have.
    pub owner: Option<String>,
    /// What they have logged in with: the number and the name of an owner's token, the name of one of
    /// `[[server.admins]]`, or whom the provider has named. Never a token itself.
    pub token: Option<String>,
    /// Where their request comes from.
    pub address: Option<IpAddr>,
    /// How their request comes.
    pub via: Option<Via>,
}

/// What somebody is who does something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// Whoever has the operator's token.
    Operator,
    /// An owner, with a token that rowhook has issued.
    Owner,
    /// An owner, with a token of the application.
    Application,
    /// Whoever has the password of the console.
    Console,
    /// Whoever runs a command.
    CommandLine,
    /// Whoever sends the process a signal.
    Signal,
    /// Whoever writes to the hook table.
    Sql,
    /// rowhook, by its own decision.
    #[default]
    Rowhook,
    /// Somebody whose token is not known.
    Stranger,
}

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Through the API.
    Api,
    /// Through the page.
    Page,
}

impl Kind {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Application => "application",
            Self::Console => "console",
            Self::CommandLine => "command line",
            Self::Signal => "signal",
            Self::Sql => "sql",
            Self::Rowhook => "rowhook",
            Self::Stranger => "stranger",
        }
    }
}

impl Via {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Page => "page",
        }
    }
}

impl Who {
    /// Somebody of whom nothing is known but what they are.
    pub fn only(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

/// Something that somebody has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Act {
    /// Who has done it.
    pub who: Who,
    /// What it is, such as `hook.changed`.
    pub what: &'static str,
    /// The hook that it was done to.
    pub hook: Option<String>,
    /// The delivery that it was done to.
    pub delivery: Option<String>,
    /// The event that it is about.
    pub event: Option<String>,
    /// The owner whose hook, delivery or token it was done to.
    pub owner: Option<String>,
    /// What was different before, without secrets.
    pub before: Map<String, Value>,
    /// What it became, without secrets.
    pub after: Map<String, Value>,
    /// Where the stream has it; `None`: it is not from the stream.
    pub place: Option<Place>,
}

/// Where the stream has a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The commit of its transaction.
    pub commit_lsn: Lsn,
    /// When that was.
    pub at: SystemTime,
    /// Its number among the changes of hooks in the transaction.
    pub number: i32,
}

impl Act {
    /// Something that `who` has done.
    pub fn of(who: &Who, what: &'static str) -> Self {
        Self {
            who: who.clone(),
            what,
            ..Self::default()
        }
    }

    /// About how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        fn of(value: &Value) -> usize {
            match value {
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(of).sum(),
                Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            }
        }
        let facts = self.before.iter().chain(&self.after);
        let facts = facts.map(|(name, value)| 100 + name.len() + of(value));
        size_of::<Self>() + facts.sum::<usize>()
    }

    /// With the hook that it was done to, and the owner of that.
    #[must_use]
    pub fn on_hook(mut self, hook: &str, owner: Option<&str>) -> Self {
        self.hook = Some(hook.to_owned());
        self.owner = owner.map(str::to_owned);
        self
    }

    /// With something that is so from now on; nothing where it is null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.after.insert(name.to_owned(), value);
        }
        self
    }
}

/// The acts that have a name.
pub mod what {
    /// A hook was made.
    pub const HOOK_CREATED: &str = "hook.created";
    /// A hook was changed.
    pub const HOOK_CHANGED: &str = "hook.changed";
    /// A hook was switched on.
    pub const HOOK_ENABLED: &str = "hook.enabled";
    /// A hook was switched off.
    pub const HOOK_DISABLED: &str = "hook.disabled";
    /// A hook was removed.
    pub const HOOK_DELETED: &str = "hook.deleted";
    /// A hook was given a new secret.
    pub const HOOK_ROTATED: &str = "hook.rotated";
    /// A test was sent to a hook.
    pub const HOOK_TESTED: &str = "hook.tested";
    /// More hooks were changed at once than are on record one by one.
    pub const HOOKS_CHANGED: &str = "hooks.changed";
    /// Deliveries that were waiting or dead are sent again.
    pub const DELIVERY_RETRIED: &str = "delivery.retried";
    /// Deliveries of a time are sent again.
    pub const REPLAY_STARTED: &str = "replay.started";
    /// An event was sent by hand.
    pub const EVENT_TRIGGERED: &str = "event.triggered";
    /// A backfill was started.
    pub const BACKFILL_STARTED: &str = "backfill.started";
    /// A backfill was stopped.
    pub const BACKFILL_STOPPED: &str = "backfill.stopped";
    /// A backfill goes on.
    pub const BACKFILL_RESUMED: &str = "backfill.resumed";
    /// A token was issued.
    pub const TOKEN_CREATED: &str = "token.created";
    /// A token was revoked.
    pub const TOKEN_REVOKED: &str = "token.revoked";
    /// A link was made that opens the portal for an owner.
    pub const PORTAL_LINKED: &str = "portal.linked";
    /// An owner was forgotten.
    pub const OWNER_FORGOTTEN: &str = "owner.forgotten";
    /// A row was forgotten.
    pub const ROW_FORGOTTEN: &str = "row.forgotten";
    /// Secrets that were stored as they are were sealed.
    pub const SECRETS_SEALED: &str = "secrets.sealed";
    /// All secrets were sealed with the newest key.
    pub const SECRETS_ROTATED: &str = "secrets.rotated";
    /// hooks.toml was read again.
    pub const CONFIGURATION_RELOADED: &str = "configuration.reloaded";
    /// Reading and sending were paused.
    pub const PAUSED: &str = "rowhook.paused";
    /// Reading and sending go on.
    pub const RESUMED: &str = "rowhook.resumed";
    /// Changes that were lost were given up.
    pub const GAP_ACCEPTED: &str = "gap.accepted";
    /// Requests to the API came with tokens that are not good.
    pub const TOKEN_REFUSED: &str = "token.refused";
    /// Somebody has logged in to the page.
    pub const LOGIN: &str = "login";
    /// Somebody was not let in.
    pub const LOGIN_REFUSED: &str = "login.refused";
    /// Somebody has logged out of the page.
    pub const LOGOUT: &str = "logout";
    /// How long acts are kept.
    pub const AUDIT_RETENTION: &str = "audit.retention";
}
