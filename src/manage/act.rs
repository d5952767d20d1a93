//! What somebody may ask for, and who may do it. The API, the page and the console all ask here.

use super::scope::Scope;
use crate::config::Role;

/// Something that is asked for through the API, the page or the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// To see the events.
    SeeEvents,
    /// To see hooks.
    SeeHooks,
    /// To see deliveries, with the rows and the answers in them.
    SeeDeliveries,
    /// To see the status of rowhook, and its settings.
    SeeStatus,
    /// To see backfills.
    SeeBackfills,
    /// To see which tokens there are, but not the tokens.
    SeeTokens,
    /// To see what is on record of what was done.
    SeeActs,
    /// To send a test to a hook.
    TestHook,
    /// To send deliveries again.
    SendAgain,
    /// To make, change, switch and remove hooks, and to give them new secrets.
    ChangeHooks,
    /// To start, to cancel and to resume backfills.
    Backfill,
    /// To issue and to revoke tokens.
    ChangeTokens,
    /// To make links that open the portal for an owner.
    OpenPortal,
    /// To forget an owner.
    Forget,
    /// To ask hooks before something is done.
    Ask,
    /// To have hooks.toml read again, and to pause.
    Control,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SeeEvents,
        Self::SeeHooks,
        Self::SeeDeliveries,
        Self::SeeStatus,
        Self::SeeBackfills,
        Self::SeeTokens,
        Self::SeeActs,
        Self::TestHook,
        Self::SendAgain,
        Self::ChangeHooks,
        Self::Backfill,
        Self::ChangeTokens,
        Self::OpenPortal,
        Self::Forget,
        Self::Ask,
        Self::Control,
    ];

    /// What it asks of operators, and of owners about what is theirs; `None`: no owner may.
    pub fn asks(self) -> (Role, Option<Scope>) {
        match self {
            Self::SeeEvents | Self::SeeHooks | Self::SeeDeliveries | Self::SeeActs => {
                (Role::Read, Some(Scope::Read))
            }
            Self::SeeStatus | Self::SeeBackfills | Self::SeeTokens => (Role::Read, None),
            Self::TestHook => (Role::Support, Some(Scope::Test)),
            Self::SendAgain => (Role::Support, Some(Scope::Deliveries)),
            Self::ChangeHooks => (Role::Hooks, Some(Scope::Hooks)),
            // Whoever has a link does with the owner's hooks what this role does with all.
            Self::OpenPortal => (Role::Hooks, None),
            Self::Ask => (Role::Support, None),
            Self::Backfill | Self::ChangeTokens | Self::Forget | Self::Control => (Role::All, None),
        }
    }
}
