//! What an operator may do.

/// The role of an operator. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// To see everything, and to change nothing.
    Read,
    /// To send deliveries again, and to test hooks.
    Support,
    /// To make, change and remove hooks.
    Hooks,
    /// Everything.
    All,
}

impl Role {
    /// All roles, each with its name in hooks.toml.
    pub const NAMED: [(&str, Self); 4] = [
        ("read", Self::Read),
        ("support", Self::Support),
        ("hooks", Self::Hooks),
        ("all", Self::All),
    ];

    /// Its name in hooks.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Support => "support",
            Self::Hooks => "hooks",
            Self::All => "all",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_stand_in_their_order_and_are_named_as_in_the_file() {
        assert!(Role::NAMED.is_sorted_by_key(|(_, role)| *role));
        for (name, role) in Role::NAMED {
            assert_eq!(role.name(), name);
        }
    }
}
