//! Somebody whom the provider knows, and the role that they have here.

use serde_json::{Map, Value};

use crate::{
    config::{Oidc, Role},
    manage::identity::{Identity, Login},
};

/// The most characters of a subject, as OpenID Connect has it, and of a name that is shown.
const LONGEST_SUBJECT: usize = 255;
const LONGEST_NAME: usize = 100;
/// The claims that may hold a name for people, the best one first.
const NAMES: [&str; 3] = ["preferred_username", "email", "name"];

/// Somebody whom the provider knows.
#[derive(Debug, Clone)]
pub(in crate::server) struct Person {
    subject: String,
    name: String,
    groups: Vec<String>,
    /// Who has said so of whom, and by which claim.
    issuer: String,
    client_id: String,
    role_claim: String,
}

impl Person {
    /// Reads the claims.
    pub(super) fn read(claims: &Map<String, Value>, config: &Oidc) -> Result<Self, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let subject = text("sub").filter(|subject| {
            let length = subject.chars().count();
            (1..=LONGEST_SUBJECT).contains(&length) && !subject.chars().any(char::is_control)
        });
        let subject = subject.ok_or("it does not say who it is that has logged in")?;
        let name = NAMES.iter().find_map(|name| text(name)).unwrap_or(subject);
        let name = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME);
        Ok(Self {
            subject: subject.to_owned(),
            name: name.collect(),
            groups: groups(claims, &config.role_claim).unwrap_or_default(),
            issuer: config.issuer_text.clone(),
            client_id: config.client_id.clone(),
            role_claim: config.role_claim.clone(),
        })
    }

    /// What they are called.
    pub(in crate::server) fn name(&self) -> &str {
        &self.name
    }

    /// Who they are here; `None`: none of their groups has a role, or hooks.toml names another provider by now.
    pub(in crate::server) fn identity(&self, config: &Oidc) -> Option<Identity> {
        let is_same = self.issuer == config.issuer_text
            && self.client_id == config.client_id
            && self.role_claim == config.role_claim;
        let role = self.role(&config.roles).filter(|_| is_same)?;
        let login = Login::Provider {
            subject: self.subject.clone(),
            name: self.name.clone(),
        };
        Some(Identity::operator(role, login))
    }

    /// The highest of the roles of their groups.
    fn role(&self, roles: &[(String, Role)]) -> Option<Role> {
        let is_theirs = |group: &String| group == "*" || self.groups.contains(group);
        let theirs = roles.iter().filter(|(group, _)| is_theirs(group));
        theirs.map(|(_, role)| *role).max()
    }
}

/// The groups that a claim names; `None` if there is no such claim. It is a text, a list of texts, or an object with
/// them as its keys, and may stand inside of others: `realm_access.roles`.
pub(super) fn groups(claims: &Map<String, Value>, claim: &str) -> Option<Vec<String>> {
    let nested = || {
        let (first, rest) = claim.split_once('.')?;
        let inner = claims.get(first)?.as_object()?;
        groups(inner, rest)
    };
    let Some(value) = claims.get(claim) else {
        return nested();
    };
    Some(match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        Value::Object(object) => object.keys().cloned().collect(),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;

    fn config(roles: &[(&str, Role)]) -> Oidc {
        let roles = roles.iter();
        Oidc {
            issuer: Url::parse("https://id.example").unwrap(),
            issuer_text: "https://id.example".into(),
            client_id: "rowhook".into(),
            client_secret: None,
            scopes: Vec::new(),
            role_claim: "groups".into(),
            roles: roles
                .map(|(group, role)| ((*group).to_owned(), *role))
                .collect(),
            public_url: None,
            end_with_token: false,
        }
    }

    fn person(claims: &Value, config: &Oidc) -> Result<Person, &'static str> {
        Person::read(claims.as_object().unwrap(), config)
    }

    #[test]
    fn somebody_has_the_highest_role_of_their_groups_and_without_one_none() {
        let config = config(&[
            ("staff", Role::Read),
            ("on-call", Role::Support),
            ("a.b", Role::All),
        ]);
        for (groups, role) in [
            (json!(["staff"]), Some(Role::Read)),
            (json!(["on-call", "staff", 7]), Some(Role::Support)),
            (json!("a.b"), Some(Role::All)),
            (json!({"on-call": {"org": 1}}), Some(Role::Support)),
            (json!(["STAFF"]), None),
            (json!(7), None),
            (json!(null), None),
        ] {
            let claims = json!({"sub": "1", "groups": groups});
            let identity = person(&claims, &config).unwrap().identity(&config);
            assert_eq!(identity.and_then(|one| one.role()), role, "{claims}");
        }
        assert!(
            person(&json!({"sub": "1"}), &config)
                .unwrap()
                .identity(&config)
                .is_none()
        );
    }

    #[test]
    fn a_star_is_everyone_whom_the_provider_lets_in() {
        let config = config(&[("*", Role::Read)]);
        let identity = person(&json!({"sub": "1"}), &config)
            .unwrap()
            .identity(&config);
        assert_eq!(identity.unwrap().role(), Some(Role::Read));
    }

    #[test]
    fn groups_may_stand_inside_of_other_claims() {
        let claims = json!({"realm_access": {"roles": ["a"]}, "https://x.example/roles": ["b"]});
        let find = |claim: &str| groups(claims.as_object().unwrap(), claim);
        assert_eq!(find("realm_access.roles"), Some(vec!["a".into()]));
        assert_eq!(find("https://x.example/roles"), Some(vec!["b".into()]));
        assert_eq!(find("realm_access.groups"), None);
    }

    #[test]
    fn a_role_ends_with_the_configuration_that_gave_it() {
        let roles = [("staff", Role::All)];
        let known = person(&json!({"sub": "1", "groups": ["staff"]}), &config(&roles)).unwrap();
        assert!(known.identity(&config(&roles)).is_some());
        assert!(known.identity(&config(&[("on-call", Role::All)])).is_none());
        let other = Oidc {
            client_id: "other".into(),
            ..config(&roles)
        };
        assert!(known.identity(&other).is_none());
    }

    #[test]
    fn somebody_is_called_what_people_can_read() {
        let config = config(&[]);
        for (claims, name) in [
            (json!({"sub": "1", "email": "a@b.c"}), "a@b.c"),
            (
                json!({"sub": "1", "email": "a@b.c", "preferred_username": "anna"}),
                "anna",
            ),
            (json!({"sub": "1", "name": "a\u{1b}\nb"}), "ab"),
            (json!({"sub": "1"}), "1"),
        ] {
            assert_eq!(person(&claims, &config).unwrap().name(), name);
        }
        for bad in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": "a\nb"}),
            json!({"sub": 7}),
        ] {
            assert!(person(&bad, &config).is_err(), "{bad}");
        }
    }
}
