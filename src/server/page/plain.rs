//! What went wrong, in words for an owner: without what only whoever runs rowhook can do about it.

/// What is said in place of a problem that says nothing else.
const NOTHING_ELSE: &str = "This cannot be done here. Whoever runs this site can say more.";

/// What went wrong, as a sentence.
pub(super) fn sentence(detail: &str) -> String {
    let Some(text) = without_operators(detail) else {
        return NOTHING_ELSE.to_owned();
    };
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let sentence: String = first.chain(letters).collect();
    match sentence.ends_with(['.', '!', '?']) {
        true => sentence,
        false => format!("{sentence}."),
    }
}

/// Why something cannot be used, as a part of a sentence.
pub(super) fn reason(detail: &str) -> String {
    let known = without_operators(detail);
    known.unwrap_or_else(|| "whoever runs this site has to change something".to_owned())
}

/// Leaves out each remedy that is not the owner's to use: what names a section or the file of the configuration, or
/// the log. `None` if that is so of what went wrong itself.
fn without_operators(detail: &str) -> Option<String> {
    if detail.split("; ").next().is_none_or(is_for_operators) {
        return None;
    }
    let kept = detail.split("; ").filter_map(|clause| {
        let ways = clause.split(", or ");
        let ways: Vec<&str> = ways.filter(|way| !is_for_operators(way)).collect();
        (!ways.is_empty()).then(|| ways.join(", or "))
    });
    let kept: Vec<String> = kept.collect();
    Some(kept.join("; "))
}

/// Keys of the configuration that messages name outside of brackets.
const KEYS: [&str; 2] = ["delivery.allow_http", "delivery.allow_networks"];

fn is_for_operators(way: &str) -> bool {
    let names_section = way.split('[').skip(1).any(|rest| {
        let name = rest.trim_start_matches('[').split(']').next();
        name.is_some_and(|name| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || "_.".contains(c))
        })
    });
    names_section
        || KEYS.iter().any(|key| way.contains(key))
        || way.contains("hooks.toml")
        || way.contains("the log of rowhook")
        || way.contains("in the console")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_operators_can_do_is_left_out() {
        for (detail, expected) in [
            (
                "you have 5 hooks, and may have 5; remove one, or have hooks raised in [limits]",
                "You have 5 hooks, and may have 5; remove one.",
            ),
            (
                "too many tests in a minute; see tests_per_minute under [limits]",
                "Too many tests in a minute.",
            ),
            (
                "its target has 9000 bytes, and may have 8192 here; shorten it, or raise target in [limits]",
                "Its target has 9000 bytes, and may have 8192 here; shorten it.",
            ),
            (
                "the database could not be asked; the log of rowhook says why",
                "The database could not be asked.",
            ),
            (
                "the table of [hook_table] has no column for rate; name one there, or leave it out",
                NOTHING_ELSE,
            ),
            (
                "the target is not a URL: relative URL without a base",
                "The target is not a URL: relative URL without a base.",
            ),
            (
                "Sending is paused; it goes when that is over; RESUME in the console ends it.",
                "Sending is paused; it goes when that is over.",
            ),
            (
                "its id \"a\" is the name of a hook in hooks.toml",
                NOTHING_ELSE,
            ),
            (
                "the target is not https; use https, or set delivery.allow_http",
                "The target is not https; use https.",
            ),
            (
                "the target's address 10.0.0.1 is not public (private); delivery.allow_networks can open its network",
                "The target's address 10.0.0.1 is not public (private).",
            ),
            ("[::1] may not be called", "[::1] may not be called."),
        ] {
            assert_eq!(sentence(detail), expected, "{detail}");
        }
    }
}
