//! Texts that strangers write, as a terminal may show them.
//!
//! Control characters steer a terminal: they move the cursor, hide what stands there, or start lines that look like
//! ours. Characters that change the direction of writing make a text read as something else.

use std::borrow::Cow;

/// The text with everything that is no visible character, space or tab written as an escape, such as `\u{1b}`. Line
/// breaks are escaped too.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_hidden(c) => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// The same for a text of several lines, whose line breaks stay.
pub fn plain_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(plain).collect();
    lines.join("\n")
}

/// The same for JSON that was written by a library: the escapes are those of JSON, so that it stays equal to what it
/// was.
pub fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.contains(|c| is_hidden(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            c if is_hidden(c) && c != '\n' => plain.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// Whether a character does something other than to be seen.
fn is_hidden(c: char) -> bool {
    let steers = c.is_control() && c != '\t';
    // What orders, joins and separates, and a byte order mark.
    let orders = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}');
    steers || orders
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        for (text, expected) in [
            (
                "Dune \"x\" \u{e9}\u{1f600}\t\\",
                "Dune \"x\" \u{e9}\u{1f600}\t\\",
            ),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\0", "\\u{0}"),
        ] {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(plain_lines("a\u{1b}\nb\r\n"), "a\\u{1b}\nb\\r\n");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_is_left(text in any::<String>()) {
            prop_assert!(!plain(&text).contains(is_hidden));
            let json = serde_json::to_string(&text).unwrap();
            let plain_json = plain_json(&json);
            prop_assert!(!plain_json.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&plain_json).unwrap(), text.clone());
            prop_assert!(!plain_lines(&text).replace('\n', "").contains(is_hidden));
        }
    }
}
