//! What a token of an owner is good for.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// One word of a token's scope. Each includes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To read.
    Read,
    /// To test hooks.
    Test,
    /// To send deliveries again.
    Deliveries,
    /// To make, change and remove hooks.
    Hooks,
    /// All of these.
    Write,
}

impl Scope {
    /// All words.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Test,
        Self::Deliveries,
        Self::Hooks,
        Self::Write,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Test => "test",
            Self::Deliveries => "deliveries",
            Self::Hooks => "hooks",
            Self::Write => "write",
        }
    }
}

/// The scope of a token: words with a space between them, as OAuth writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(BTreeSet<Scope>);

/// A scope that has no word, or one that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scope {0:?} is none; write read, write, or some of test, deliveries and hooks")]
pub struct BadScope(String);

impl Scopes {
    /// Everything that an owner may do.
    pub fn all() -> Self {
        Self(BTreeSet::from([Scope::Write]))
    }

    /// To read, and nothing else.
    pub fn read() -> Self {
        Self(BTreeSet::from([Scope::Read]))
    }

    /// To read, and what these words stand for.
    pub fn of(words: impl IntoIterator<Item = Scope>) -> Self {
        Self(words.into_iter().chain([Scope::Read]).collect())
    }

    /// Reads words with spaces between them.
    ///
    /// # Errors
    /// When there is none, or one that is no scope.
    pub fn parse(text: &str) -> Result<Self, BadScope> {
        let word = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
        let words: Option<BTreeSet<Scope>> = text.split(' ').map(word).collect();
        words.map(Self).ok_or_else(|| BadScope(text.to_owned()))
    }

    /// Whether they allow what this word stands for.
    pub fn allow(&self, scope: Scope) -> bool {
        scope == Scope::Read || self.0.contains(&scope) || self.0.contains(&Scope::Write)
    }
}

/// `test deliveries`
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

impl TryFrom<String> for Scopes {
    type Error = BadScope;

    fn try_from(text: String) -> Result<Self, BadScope> {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_some_words_and_each_includes_to_read() {
        for (text, allowed) in [
            ("read", &[Scope::Read][..]),
            ("test", &[Scope::Read, Scope::Test]),
            (
                "hooks deliveries",
                &[Scope::Read, Scope::Deliveries, Scope::Hooks],
            ),
            ("write", &Scope::ALL),
        ] {
            let scopes = Scopes::parse(text).unwrap();
            let found: Vec<Scope> = Scope::ALL
                .into_iter()
                .filter(|scope| *scope != Scope::Write || text == "write")
                .filter(|scope| scopes.allow(*scope))
                .collect();
            assert_eq!(found, allowed, "{text}");
        }
    }

    #[test]
    fn a_scope_is_written_in_one_order_and_has_no_other_words() {
        let scopes = Scopes::parse("hooks read hooks").unwrap();
        assert_eq!(scopes.to_string(), "read hooks");
        for text in ["", "Read", "read  test", "read,test", "all", " read"] {
            assert!(Scopes::parse(text).is_err(), "{text:?}");
        }
    }
}
