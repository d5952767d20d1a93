//! The reference of a configuration file, made from the file itself, which is its manual.

use super::{pages, text::escaped};

/// A part of the file that begins with a header such as `[delivery]`, or with a comment.
#[derive(Default)]
struct Section {
    header: Option<String>,
    prose: Vec<String>,
    /// The lines without comments.
    code: Vec<String>,
    keys: Vec<Key>,
}

/// A key, with what its comment says.
struct Key {
    name: String,
    shown: String,
    said: Vec<String>,
}

/// The chapter of `hooks.toml` or `receive.toml`, below its introduction.
pub fn of(file: &str) -> String {
    let sections = sections(&pages::text(file));
    let mut chapter = String::new();
    // Sections of one name, such as the two examples of [[hooks]], have one heading each and different anchors.
    let mut before = Vec::new();
    for section in &sections {
        chapter.push_str(&shown(section, &mut before));
    }
    chapter
}

/// Splits the file at two empty lines, and where a header or a comment follows on keys.
fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut empty = 0;
    for line in text.lines() {
        let section = sections.last_mut().unwrap();
        if line.is_empty() {
            empty += 1;
            if !section.code.is_empty() {
                section.code.push(String::new());
            }
            continue;
        }
        let remark = remark(line);
        let begins = remark.is_some() || line.trim_start_matches("# ").starts_with('[');
        if empty > 1 || (begins && !section.keys.is_empty()) {
            sections.push(Section::default());
        }
        empty = 0;
        let section = sections.last_mut().unwrap();
        match remark {
            Some(remark) => section.prose.push(remark.to_owned()),
            None => section.take(line),
        }
    }
    sections
}

/// A comment for people; `None`: a line that sets a key or has a header, or would if it were no comment.
fn remark(line: &str) -> Option<&str> {
    let rest = match line {
        "#" => "",
        _ => line.strip_prefix("# ")?,
    };
    let is_header = rest.starts_with('[') && rest.ends_with(']') && !rest.contains(' ');
    (!is_header && !is_key(rest)).then_some(rest)
}

/// Does a line of a comment set a key?
fn is_key(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | '"'))
    })
}

impl Section {
    /// A line with a header, a key, or the rest of a comment.
    fn take(&mut self, line: &str) {
        // The names of events are examples, and so are their comments.
        let (code, comment) = match line.starts_with('"') {
            true => (line, None),
            false => split(line),
        };
        let trimmed = code.trim_end();
        if !trimmed.is_empty() {
            self.code.push(trimmed.to_owned());
        }
        let bare = trimmed.strip_prefix("# ").unwrap_or(trimmed);
        if bare.starts_with('[') && !bare.contains(" = ") {
            if self.header.is_none() {
                self.header = Some(bare.to_owned());
            }
            if let Some(comment) = comment {
                self.prose.insert(0, format!("{comment}\n"));
            }
        } else if let Some((name, _)) = bare.split_once(" = ") {
            self.keys.push(Key {
                name: name.trim().to_owned(),
                shown: bare.to_owned(),
                said: comment.map(str::to_owned).into_iter().collect(),
            });
        } else if let (Some(key), Some(comment)) = (self.keys.last_mut(), comment) {
            key.said.push(comment.to_owned());
        }
    }
}

/// The code and the comment of a line. A `#` in quotes begins no comment, nor does the first of a key that is not set.
fn split(line: &str) -> (&str, Option<&str>) {
    let mut quote = None;
    let first = usize::from(line.starts_with('#'));
    for (at, c) in line.char_indices().skip(first) {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None, '#') if line[..at].ends_with(' ') => {
                return (&line[..at], Some(said(&line[at + 1..])));
            }
            _ => {}
        }
    }
    match line.trim_start().strip_prefix('#') {
        Some(comment) if line.starts_with(' ') => ("", Some(said(comment))),
        _ => (line, None),
    }
}

/// What a comment says. Further blanks before it mean that it is an example.
fn said(comment: &str) -> &str {
    comment.strip_prefix(' ').unwrap_or(comment).trim_end()
}

fn shown(section: &Section, before: &mut Vec<String>) -> String {
    let mut shown = String::new();
    let mut anchor = String::new();
    if let Some(header) = &section.header {
        let name = header.trim_matches(['[', ']']);
        anchor = name.replace(['"', ' '], "");
        let again = before.iter().filter(|known| **known == anchor).count();
        before.push(anchor.clone());
        if again > 0 {
            anchor = format!("{anchor}-{again}");
        }
        shown.push_str(&format!("\n## {} {{#{anchor}}}\n\n", escaped(header)));
    }
    if section.header.is_none()
        && !section.keys.is_empty()
        && let Some(first) = section.prose.first()
    {
        // What it is about stands at the beginning of its prose.
        let title = first.split(['.', ',', ':']).next().unwrap();
        shown.push_str(&format!("\n## {}\n\n", escaped(title)));
    }
    for paragraph in paragraphs(&section.prose) {
        shown.push_str(&paragraph);
        shown.push_str("\n\n");
    }
    if !section.code.is_empty() {
        let code = section.code.join("\n");
        shown.push_str(&format!("```toml\n{}\n```\n\n", code.trim_end()));
    }
    for key in section.keys.iter().filter(|key| !key.said.is_empty()) {
        let id = match anchor.is_empty() {
            true => key.name.clone(),
            false => format!("{anchor}.{}", key.name.replace(['"', ' '], "")),
        };
        shown.push_str(&format!("#### {} {{#{id}}}\n\n", escaped(&key.name)));
        let value = key.shown.split_once(" = ").map_or("", |(_, value)| value);
        if !value.contains('`') {
            shown.push_str(&format!("`{value}`\n\n"));
        }
        for paragraph in paragraphs(&key.said) {
            shown.push_str(&paragraph);
            shown.push_str("\n\n");
        }
    }
    shown
}

/// Comments as paragraphs. An indented line stays a line, because it is an example or a row of a table.
fn paragraphs(lines: &[String]) -> Vec<String> {
    let mut paragraphs: Vec<String> = vec![String::new()];
    let mut is_block = false;
    for line in lines {
        let indented = line.starts_with("  ");
        if line.trim().is_empty() || indented != is_block {
            paragraphs.push(String::new());
            is_block = indented;
        }
        let last = paragraphs.last_mut().unwrap();
        if indented {
            last.push_str(&format!("    {}\n", line.trim_end()));
        } else if !line.trim().is_empty() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(&linked(&escaped(line.trim())));
            if line.ends_with('\n') {
                paragraphs.push(String::new());
            }
        }
    }
    let marked = paragraphs
        .into_iter()
        .filter(|text| !text.trim().is_empty());
    marked
        .map(|text| text.replace("DANGER:", "**Danger:**"))
        .collect()
}

/// Names of pages as links to them.
fn linked(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let bare = word
            .trim_end_matches(['.', ',', ')', ';'])
            .trim_start_matches('(');
        match bare.strip_prefix("docs/book/") {
            Some(page) => {
                word.replace(bare, &format!("[{}]({page})", page.trim_end_matches(".md")))
            }
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_key_with_its_description() {
        let chapter = of("hooks.toml");
        for (section, keys) in rowhook::config::KEYS {
            for key in keys.iter() {
                let heading = format!("{section}.{key}}}");
                let in_code = format!("{key} = ");
                assert!(
                    chapter.contains(&heading)
                        || chapter.contains(&in_code)
                        || chapter.contains(&format!("## \\[{section}.{key}\\]")),
                    "{section}.{key}"
                );
            }
        }
        for heading in [
            "## \\[\\[hooks\\]\\] {#hooks}\n",
            "#### timeout {#delivery.timeout}\n\n`\"15s\"`\n\nFrom the start of connecting",
            "#### owner {#tables.bookstore_book.owner}",
        ] {
            assert!(chapter.contains(heading), "{heading} in {chapter}");
        }
    }

    #[test]
    fn a_hash_in_quotes_begins_no_comment() {
        for (line, code, comment) in [
            ("a = \"#1\"  # one", "a = \"#1\"  ", Some("one")),
            ("# b = 2   # two", "# b = 2   ", Some("two")),
            ("     # more", "     ", Some("more")),
            ("c = 3", "c = 3", None),
        ] {
            assert_eq!(split(line), (code, comment), "{line}");
        }
    }
}
