//! The tokens of a Rust file, as far as imports need them.

/// The names and the punctuation of a file, each character of punctuation by itself. Comments and literals are left
/// out, and so is every item behind `#[cfg(test)]`, except that `mod name;` of such an item is returned apart.
pub struct Tokens<'a> {
    pub all: Vec<&'a str>,
    /// The modules with a file of their own that only tests have.
    pub test_modules: Vec<&'a str>,
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

impl<'a> Tokens<'a> {
    pub fn of(text: &'a str) -> Self {
        let mut all = Vec::new();
        let mut test_modules = Vec::new();
        let tokens = split(text);
        let mut rest = &tokens[..];
        while let Some(first) = rest.first() {
            if let Some(item) = rest.strip_prefix(&CFG_TEST) {
                let end = end_of_item(item);
                if let ["mod", name, ";"] = item[..end] {
                    test_modules.push(name);
                }
                rest = &item[end..];
            } else {
                all.push(*first);
                rest = &rest[1..];
            }
        }
        Self { all, test_modules }
    }
}

/// The number of tokens of the item that these begin with, its attributes included.
fn end_of_item(tokens: &[&str]) -> usize {
    let is_use = tokens.first() == Some(&"use");
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = *token == ";" || (*token == "}" && !is_use);
        if depth == 0 && ends {
            return at + 1;
        }
    }
    tokens.len()
}

fn split(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = blank(rest).or_else(|| literal(rest)) {
            length
        } else {
            let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
            let name = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            let length = name.max(first.len_utf8());
            tokens.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the space or the comment that `text` begins with.
fn blank(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |at| at + 2));
    }
    let space = text.len() - text.trim_start().len();
    (space > 0).then_some(space)
}

/// The length of the string or the character that `text` begins with. Of a lifetime it is that of the quote.
fn literal(text: &str) -> Option<usize> {
    if let Some(inside) = text.strip_prefix('\'') {
        let mut characters = inside.char_indices();
        let (_, first) = characters.next()?;
        if first == '\\' {
            // The character behind the backslash may be a quote itself.
            return Some(3 + inside.get(2..)?.find('\'')? + 1);
        }
        return match characters.next() {
            Some((at, '\'')) => Some(1 + at + 1),
            _ => Some(1),
        };
    }
    let unprefixed = text.trim_start_matches(['b', 'c', 'r']);
    let (prefix, _) = text.split_at(text.len() - unprefixed.len());
    let quoted = unprefixed.trim_start_matches('#');
    let inside = quoted.strip_prefix('"')?;
    let start = text.len() - inside.len();
    if prefix.contains('r') {
        let end = format!("\"{}", "#".repeat(unprefixed.len() - quoted.len()));
        return Some(start + inside.find(&end)? + end.len());
    }
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(start + end? + 1)
}
