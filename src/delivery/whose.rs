//! Whose a delivery is: the owner that its hook had when the event was matched with it.
//!
//! Hooks can change hands, and ids can be used again. What waits for the one who had the hook then is neither sent nor
//! shown to the one who has it now.

use std::sync::Arc;

use crate::postgres::equality::Equality;

/// Whose a delivery is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whose {
    /// That is not on record. It is taken for that of whoever has the hook.
    #[default]
    Unknown,
    /// The hook heard the events of everyone, so it is the operator's.
    Everyone,
    /// This owner's.
    Owner(Arc<str>),
}

impl Whose {
    /// That of a hook with this owner; `None`: one that hears the events of everyone.
    pub fn of(owner: Option<&Arc<str>>) -> Self {
        owner.map_or(Self::Everyone, |owner| Self::Owner(Arc::clone(owner)))
    }

    /// As the tables have it: an owner, and whether it is everyone's.
    pub fn from_columns(owner: Option<&str>, everyones: bool) -> Self {
        match owner {
            Some(owner) => Self::Owner(owner.into()),
            None if everyones => Self::Everyone,
            None => Self::Unknown,
        }
    }

    /// The value of the column `owner`.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Owner(owner) => Some(owner),
            Self::Unknown | Self::Everyone => None,
        }
    }

    /// May it be sent to a hook that has this owner now? Like disown.sql, takes the texts of one UUID for one owner.
    pub fn may_go_to(&self, owner: Option<&str>) -> bool {
        match (self, owner) {
            (Self::Unknown, _) | (Self::Everyone, None) => true,
            (Self::Owner(then), Some(now)) => Equality::Uuid.same(then, now),
            (Self::Everyone, Some(_)) | (Self::Owner(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_to_whoever_had_the_hook_and_to_nobody_else() {
        let of = |owner: &str| Whose::Owner(owner.into());
        let uuid = "8D7A9C5E-0F6B-4B61-9F3E-2C1D5A4B3C2D";
        for (whose, owner, may) in [
            (of("7"), Some("7"), true),
            (of("7"), Some("8"), false),
            (of("Anna"), Some("anna"), false),
            (of("7"), None, false),
            (of(uuid), Some(&*uuid.to_lowercase()), true),
            (Whose::Everyone, None, true),
            (Whose::Everyone, Some("7"), false),
            (Whose::Unknown, Some("7"), true),
            (Whose::Unknown, None, true),
        ] {
            assert_eq!(whose.may_go_to(owner), may, "{whose:?} {owner:?}");
            let everyones = whose == Whose::Everyone;
            assert_eq!(Whose::from_columns(whose.owner(), everyones), whose);
        }
    }
}
