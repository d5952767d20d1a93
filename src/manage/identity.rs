//! Who asks for something, how they have shown that, and what they may do.

use super::{Actor, Error, Result, act::Act, portal::token_name, scope::Scopes};
use crate::{
    act::{Kind, Who},
    config::Role,
};

/// Whoever asks for something through the API, the page or the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    actor: Actor,
    rights: Rights,
    login: Login,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rights {
    /// As an operator.
    Role(Role),
    /// As an owner, with what is theirs.
    Scopes(Scopes),
}

/// How somebody has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With `[server] admin_token`.
    AdminToken,
    /// With the token of one of `[[server.admins]]`, which has this name.
    NamedAdmin(String),
    /// At the provider of `[server.oidc]`.
    Provider {
        /// Who they are there, which never changes.
        subject: String,
        /// What they are called there.
        name: String,
    },
    /// With the password of `[console]`.
    Console,
    /// With a token that rowhook has issued.
    OwnerToken {
        /// Its number.
        id: i64,
        /// The note of whoever issued it.
        name: String,
    },
    /// With a token of the application.
    Jwt,
    /// With the link to the portal of this number.
    Portal(i64),
}

impl Identity {
    /// An operator.
    pub fn operator(role: Role, login: Login) -> Self {
        Self {
            actor: Actor::Operator,
            rights: Rights::Role(role),
            login,
        }
    }

    /// An owner.
    pub fn owner(owner: String, scopes: Scopes, login: Login) -> Self {
        Self {
            actor: Actor::Owner(owner),
            rights: Rights::Scopes(scopes),
            login,
        }
    }

    /// On whose behalf it is done.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// How they have shown who they are.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Who they are, as what they do goes on record.
    pub fn who(&self) -> Who {
        let (kind, token) = match &self.login {
            Login::AdminToken => (Kind::Operator, None),
            Login::NamedAdmin(name) => (Kind::Operator, Some(name.clone())),
            Login::Provider { subject, name } => {
                (Kind::Operator, Some(format!("{name} ({subject})")))
            }
            Login::Console => (Kind::Console, None),
            Login::OwnerToken { id, name } if name.is_empty() => {
                (Kind::Owner, Some(id.to_string()))
            }
            Login::OwnerToken { id, name } => (Kind::Owner, Some(format!("{id} {name}"))),
            Login::Jwt => (Kind::Application, None),
            Login::Portal(link) => (Kind::Owner, Some(token_name(*link))),
        };
        let owner = match &self.actor {
            Actor::Operator => None,
            Actor::Owner(owner) => Some(owner.clone()),
        };
        Who {
            owner,
            token,
            ..Who::only(kind)
        }
    }

    /// The role of an operator; `None` for an owner.
    pub fn role(&self) -> Option<Role> {
        match self.rights {
            Rights::Role(role) => Some(role),
            Rights::Scopes(_) => None,
        }
    }

    /// What they are called, for people: the name of an operator, or the owner.
    pub fn name(&self) -> &str {
        match (&self.actor, &self.login) {
            (Actor::Owner(owner), _) => owner,
            (Actor::Operator, Login::NamedAdmin(name) | Login::Provider { name, .. }) => name,
            (Actor::Operator, Login::Console) => "console",
            (Actor::Operator, _) => "operator",
        }
    }

    /// A name that no other caller has. All tokens of an owner are the same caller.
    pub fn caller(&self) -> String {
        match (&self.actor, &self.login) {
            (Actor::Owner(owner), _) => caller_of(owner),
            (Actor::Operator, Login::NamedAdmin(name)) => format!("admin {name}"),
            (Actor::Operator, Login::Provider { subject, .. }) => format!("person {subject}"),
            (Actor::Operator, _) => self.name().to_owned(),
        }
    }

    /// Whether they may do this, with what is theirs.
    pub fn may(&self, act: Act) -> bool {
        let (role, scope) = act.asks();
        match &self.rights {
            Rights::Role(own) => *own >= role,
            Rights::Scopes(own) => scope.is_some_and(|scope| own.allow(scope)),
        }
    }

    /// Refuses what they may not do.
    ///
    /// # Errors
    /// When they may not; the message names what is needed.
    pub fn require(&self, act: Act) -> Result<()> {
        if self.may(act) {
            return Ok(());
        }
        let (role, scope) = act.asks();
        let needed = role.name();
        if let Login::Portal(_) = self.login {
            return Err(Error::Forbidden("this is no part of the portal".to_owned()));
        }
        Err(Error::Forbidden(match (&self.rights, scope) {
            (Rights::Role(own), _) => format!(
                "this needs the role {needed}, and {} has the role {}; {}",
                self.name(),
                own.name(),
                self.where_roles_are_given()
            ),
            (Rights::Scopes(_), None) => {
                format!("only the operator may do this, with the role {needed}")
            }
            (Rights::Scopes(own), Some(scope)) if *own == Scopes::read() => format!(
                "this token may look, and change nothing; this needs one with the scope {}",
                scope.as_str()
            ),
            (Rights::Scopes(own), Some(scope)) => format!(
                "this needs a token with the scope {}, and the scope of this one is {own}",
                scope.as_str()
            ),
        }))
    }

    fn where_roles_are_given(&self) -> &'static str {
        match self.login {
            Login::Provider { .. } => "see roles under [server.oidc]",
            Login::Console => "see role under [console]",
            _ => "see role under [[server.admins]]",
        }
    }
}

/// The name as a caller of an owner.
pub fn caller_of(owner: &str) -> String {
    format!("owner {owner}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::scope::Scope;

    /// Each act, and from which role on and with which scopes it may be done.
    const TABLE: [(Act, &str, &str); 16] = [
        (
            Act::SeeEvents,
            "read support hooks all",
            "read test deliveries hooks write",
        ),
        (
            Act::SeeHooks,
            "read support hooks all",
            "read test deliveries hooks write",
        ),
        (
            Act::SeeDeliveries,
            "read support hooks all",
            "read test deliveries hooks write",
        ),
        (Act::SeeStatus, "read support hooks all", ""),
        (Act::SeeBackfills, "read support hooks all", ""),
        (Act::SeeTokens, "read support hooks all", ""),
        (
            Act::SeeActs,
            "read support hooks all",
            "read test deliveries hooks write",
        ),
        (Act::TestHook, "support hooks all", "test write"),
        (Act::SendAgain, "support hooks all", "deliveries write"),
        (Act::ChangeHooks, "hooks all", "hooks write"),
        (Act::Backfill, "all", ""),
        (Act::ChangeTokens, "all", ""),
        (Act::OpenPortal, "hooks all", ""),
        (Act::Forget, "all", ""),
        (Act::Ask, "support hooks all", ""),
        (Act::Control, "all", ""),
    ];

    #[test]
    fn each_role_and_each_scope_may_do_what_is_its_own_and_no_more() {
        assert_eq!(TABLE.map(|(act, ..)| act), Act::ALL);
        for (act, roles, scopes) in TABLE {
            let allowed: Vec<&str> = Role::NAMED
                .into_iter()
                .filter(|(_, role)| Identity::operator(*role, Login::AdminToken).may(act))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(allowed.join(" "), roles, "{act:?}");
            let allowed: Vec<&str> = Scope::ALL
                .into_iter()
                .map(Scope::as_str)
                .filter(|word| owner(word).may(act))
                .collect();
            assert_eq!(allowed.join(" "), scopes, "{act:?}");
        }
    }

    fn owner(scopes: &str) -> Identity {
        Identity::owner("7".into(), Scopes::parse(scopes).unwrap(), Login::Jwt)
    }

    #[test]
    fn a_refusal_names_what_is_needed_and_where_it_is_given() {
        let ci = Identity::operator(Role::Support, Login::NamedAdmin("ci".into()));
        let refused = |identity: &Identity, act| identity.require(act).unwrap_err().to_string();
        assert_eq!(
            refused(&ci, Act::ChangeHooks),
            "this needs the role hooks, and ci has the role support; see role under [[server.admins]]"
        );
        assert_eq!(
            refused(&owner("write"), Act::Forget),
            "only the operator may do this, with the role all"
        );
        assert_eq!(
            refused(&owner("read"), Act::TestHook),
            "this token may look, and change nothing; this needs one with the scope test"
        );
        assert_eq!(
            refused(&owner("test hooks"), Act::SendAgain),
            "this needs a token with the scope deliveries, and the scope of this one is test hooks"
        );
    }

    #[test]
    fn no_two_callers_have_the_same_name() {
        let named = |name: &str| Login::NamedAdmin(name.into());
        let person = Login::Provider {
            subject: "operator".into(),
            name: "operator".into(),
        };
        let callers = [
            Identity::operator(Role::All, Login::AdminToken),
            Identity::operator(Role::All, named("operator")),
            Identity::operator(Role::All, person),
            Identity::operator(Role::All, Login::Console),
            owner("write"),
            Identity::owner("operator".into(), Scopes::all(), Login::Jwt),
        ];
        let names: std::collections::HashSet<String> =
            callers.iter().map(Identity::caller).collect();
        assert_eq!(names.len(), callers.len());
    }
}
