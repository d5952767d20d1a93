//! The name that a mistyped one was probably meant to be.

use strsim::osa_distance as distance;

/// The name of `known` that is nearest to `wanted`; `None` where none is near enough to be suggested.
///
/// Upper and lower case do not count. At most a third of the characters may be inserted, deleted, replaced, or swapped
/// with their neighbour.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let length = wanted.chars().count();
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        // Cheaper than the distance, which is no less than this.
        .filter(|name| name.to_lowercase().chars().count().abs_diff(length) <= allowed)
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// So many names are listed.
const LISTED: usize = 20;

/// The names that there are, for where none is near; of many the first ones, and how many others there are.
pub fn listed(names: &[impl AsRef<str>]) -> String {
    let (first, others) = names.split_at(names.len().min(LISTED));
    let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
    let first = first.join(", ");
    match others.len() {
        0 => first,
        others => format!("{first} and {others} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_names_are_not_listed() {
        let names: Vec<String> = (0..8000).map(|event| format!("e{event}")).collect();
        assert_eq!(listed(&names[..3]), "e0, e1, e2");
        assert!(listed(&names[..20]).ends_with(", e18, e19"));
        assert!(listed(&names).ends_with(", e19 and 7980 more"));
    }

    #[test]
    fn a_slip_of_the_finger_is_recognized_and_a_different_word_is_not() {
        let known = ["bookstore_book", "bookstore_shelf", "auth_user"];
        assert_eq!(nearest("bookstore_bok", known), Some("bookstore_book"));
        assert_eq!(nearest("boosktore_book", known), Some("bookstore_book"));
        assert_eq!(nearest("Auth_User", known), Some("auth_user"));
        assert_eq!(nearest("invoice", known), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
