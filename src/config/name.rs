//! Names as a user writes them: `[schema.]table`, `table.column`, and events.

use std::{borrow::Borrow, collections::BTreeSet, fmt, ops::Bound};

use crate::postgres::TableName;

/// The events that a hook is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`: every event.
    Any,
    /// `book.*`, kept as `book.`: every event whose name begins with it.
    Prefix(String),
    /// `book.added`: only this event.
    Exact(String),
}

impl Pattern {
    /// Is a hook with this pattern sent one of `events`? They are not gone through one by one.
    pub fn matches_any<E: Borrow<str> + Ord>(&self, events: &BTreeSet<E>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => events.contains(name.as_str()),
            Self::Prefix(prefix) => {
                let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
                let first = events.range::<str, _>(from).next();
                first.is_some_and(|event| event.borrow().starts_with(prefix.as_str()))
            }
        }
    }

    /// Is a hook with this pattern sent `event`?
    pub fn matches(&self, event: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => event.starts_with(prefix.as_str()),
            Self::Exact(name) => name == event,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// The most bytes of a name in Postgres.
const LONGEST: usize = 63;

/// The parts of a dotted name, without their quotes: `clinic."odd.table".created` has three. `None`: it is not such a
/// name.
///
/// Unlike in SQL, parts without quotes are not folded to lower case.
pub(super) fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        let quoted = rest.starts_with('"');
        if part.is_empty() || part.len() > LONGEST || !(quoted || part.chars().all(plain)) {
            return None;
        }
        parts.push(part);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// A quoted part without its quotes, and the text after it. `quoted` begins after the opening quote.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, after)),
        }
    }
}

impl TableName {
    /// Reads `[schema.]table`, with or without quotes around each part. The default schema is `public`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_parts(parts(text)?)
    }

    pub(super) fn from_parts(parts: Vec<String>) -> Option<Self> {
        match <[String; 2]>::try_from(parts) {
            Ok([schema, name]) => Some(Self { schema, name }),
            Err(parts) => {
                let [name] = <[String; 1]>::try_from(parts).ok()?;
                Some(Self::public(name))
            }
        }
    }
}

/// What is wrong with the name that a user gives an event; `None`: nothing.
pub(crate) fn event_mistake(name: &str) -> Option<&'static str> {
    if name.starts_with("hook.") || name.starts_with("rowhook.") {
        return Some("names that begin with hook. or rowhook. are rowhook's own");
    }
    malformed(name)
}

/// What is wrong with the name of an event, a user's or rowhook's own.
fn malformed(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        Some("use letters, digits and _ . : - only")
    } else if name.starts_with('.') || name.ends_with('.') {
        Some("begin and end it with something else than a dot")
    } else {
        None
    }
}

impl Pattern {
    /// Reads `*`, `book.*` or the name of an event.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.strip_suffix(".*") {
            Some(prefix) if malformed(prefix).is_none() => Some(Self::Prefix(format!("{prefix}."))),
            None if malformed(text).is_none() => Some(Self::Exact(text.into())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_name_is_split_outside_its_quotes() {
        for (text, expected) in [
            ("book.created", Some(vec!["book", "created"])),
            (r#""odd.table".created"#, Some(vec!["odd.table", "created"])),
            (r#"s."a""b""#, Some(vec!["s", "a\"b"])),
            ("Größe", Some(vec!["Größe"])),
            ("", None),
            ("a.", None),
            (".a", None),
            ("a b", None),
            (r#""a"#, None),
            (r#""a"b"#, None),
            (r#""""#, None),
        ] {
            let parts = parts(text);
            let parts = parts
                .as_ref()
                .map(|parts| parts.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(parts, expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_a_star_a_prefix_or_a_name() {
        for text in ["*", "book.*", "book.added", "hook.disabled"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "book*", "*.added", ".*", "book..*", "a b"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_any_where_it_matches_one() {
        let events = BTreeSet::from(["a.x", "book", "book.added", "bookish.added", "z"]);
        for text in [
            "*",
            "a.*",
            "book.*",
            "book",
            "boo",
            "boo.*",
            "bookish.*",
            "c.*",
            "z.*",
            "zz.*",
        ] {
            let pattern = Pattern::parse(text).unwrap();
            let one_by_one = events.iter().any(|event| pattern.matches(event));
            assert_eq!(pattern.matches_any(&events), one_by_one, "{text}");
        }
    }
}
