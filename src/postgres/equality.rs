//! When two texts are the same value of a column: an owner is written in one place and read from another.

use std::borrow::Cow;

use super::{relation::Column, types::Type};

/// How Postgres compares values of a column, as far as that differs from comparing their texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Equality {
    /// As their texts.
    #[default]
    Text,
    /// `uuid`: letters may be large, and hyphens and braces missing.
    Uuid,
    /// Whole numbers: `07` is 7.
    Integer,
    /// `boolean`: `true` is `t`.
    Bool,
    /// `character(n)`: blanks at the end do not count.
    Padded,
    /// `citext`: large and small letters are the same.
    CaseInsensitive,
}

/// The most characters of a number. A longer one is compared as a text.
const DIGITS: usize = 20;

impl Equality {
    /// The equality of this column's values.
    pub fn of(column: &Column) -> Self {
        match *column.ty {
            Type::Uuid => Self::Uuid,
            Type::Integer => Self::Integer,
            Type::Bool => Self::Bool,
            Type::Text if column.is_padded() => Self::Padded,
            Type::Text if column.sql_type.ends_with("citext") => Self::CaseInsensitive,
            _ => Self::Text,
        }
    }

    /// Are these the same value?
    pub fn same(self, one: &str, other: &str) -> bool {
        one == other || self.canonical(one) == self.canonical(other)
    }

    /// The text that all texts of the same value have in common. A text that is no value of the type is its own.
    pub fn canonical(self, text: &str) -> Cow<'_, str> {
        let canonical = match self {
            Self::Text => None,
            Self::Uuid => uuid(text),
            Self::Integer => integer(text),
            Self::Bool => boolean(text).map(Cow::Borrowed),
            Self::Padded => Some(Cow::Borrowed(text.trim_end_matches(' '))),
            Self::CaseInsensitive => Some(small(text)),
        };
        canonical.unwrap_or(Cow::Borrowed(text))
    }
}

/// A text that is equal wherever any [`Equality`] holds, and sometimes elsewhere. Values whose equality is not known
/// yet are kept by it.
pub fn coarse(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    match boolean(trimmed) {
        Some("t") => Cow::Borrowed("1"),
        Some(_) => Cow::Borrowed("0"),
        None => integer(trimmed)
            .or_else(|| uuid(trimmed))
            .unwrap_or_else(|| small(trimmed)),
    }
}

fn small(text: &str) -> Cow<'_, str> {
    let is_small = |c: char| c.is_ascii() && !c.is_ascii_uppercase();
    match text.chars().all(is_small) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_lowercase()),
    }
}

fn integer(text: &str) -> Option<Cow<'_, str>> {
    let trimmed = text.trim();
    if trimmed.len() > DIGITS {
        return None;
    }
    let number: i64 = trimmed.parse().ok()?;
    let is_plain = !trimmed.starts_with(['0', '+', '-']);
    Some(match is_plain {
        true => Cow::Borrowed(trimmed),
        false => Cow::Owned(number.to_string()),
    })
}

fn uuid(text: &str) -> Option<Cow<'_, str>> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let bytes = text.as_bytes();
    let is_canonical = bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| match is_hyphen(at) {
                true => *byte == b'-',
                false => is_digit(byte),
            });
    if is_canonical {
        return Some(Cow::Borrowed(text));
    }
    let inner = text
        .strip_prefix('{')
        .and_then(|inner| inner.strip_suffix('}'));
    let digits: String = inner.unwrap_or(text).split('-').collect();
    let digits = digits.to_ascii_lowercase();
    if digits.len() != 32 || !digits.bytes().all(|byte| is_digit(&byte)) {
        return None;
    }
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Option<Vec<&str>> = parts.into_iter().map(|part| digits.get(part)).collect();
    Some(Cow::Owned(parts?.join("-")))
}

fn boolean(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    let found = |words: [&str; 6]| words.iter().any(is);
    if found(["t", "true", "y", "yes", "on", "1"]) {
        Some("t")
    } else if found(["f", "false", "n", "no", "off", "0"]) {
        Some("f")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    #[test]
    fn texts_are_the_same_value_as_in_postgres() {
        use Equality::*;
        for (equality, one, other, same) in [
            (Text, "Anna", "Anna", true),
            (Text, "Anna", "anna", false),
            (Text, "anna ", "anna", false),
            (Text, "07", "7", false),
            (Uuid, &UUID.to_uppercase(), UUID, true),
            (Uuid, "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", UUID, true),
            (Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11", UUID, true),
            (Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a1", UUID, false),
            (Uuid, "Anna", "anna", false),
            (Integer, "07", "7", true),
            (Integer, " +7 ", "7", true),
            (Integer, "-0", "0", true),
            (Integer, "7.0", "7", false),
            (Bool, "t", "true", true),
            (Bool, "f", "true", false),
            (Padded, "anna      ", "anna", true),
            (Padded, " anna", "anna", false),
            (CaseInsensitive, "Änna", "äNNA", true),
        ] {
            assert_eq!(
                equality.same(one, other),
                same,
                "{equality:?} {one:?} {other:?}"
            );
            assert!(!same || coarse(one) == coarse(other), "{one:?} {other:?}");
            assert_eq!(coarse(&coarse(one)), coarse(one), "{one:?}");
        }
    }

    #[test]
    fn what_is_canonical_already_is_not_copied() {
        for text in ["7", "1234567890", UUID, "anna", "auth0|62"] {
            assert!(matches!(coarse(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
