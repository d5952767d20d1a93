//! The links of pages: where they lead in the repository, and in the site.

use std::collections::BTreeMap;

use super::pages::{Book, Page, in_site, root};

/// A link or a picture of a page.
pub struct Link<'a> {
    /// Where its target begins in the text.
    at: usize,
    /// What stands between the parentheses.
    pub target: &'a str,
}

impl<'a> Link<'a> {
    /// The path, without the anchor.
    pub fn path(&self) -> &'a str {
        self.target.split('#').next().unwrap()
    }

    fn anchor(&self) -> Option<&'a str> {
        self.target.split_once('#').map(|(_, anchor)| anchor)
    }

    fn is_ours(&self) -> bool {
        !self.target.contains("://") && !self.target.starts_with("mailto:")
    }
}

/// The links of a text, but for those in code.
pub fn of(text: &str) -> impl Iterator<Item = Link<'_>> {
    let prose = without_code(text);
    let ends = prose.match_indices("](").map(|(at, _)| at + 2);
    let found: Vec<(usize, usize)> = ends
        .filter_map(|at| Some((at, at + prose[at..].find(')')?)))
        .collect();
    found.into_iter().map(|(from, to)| Link {
        at: from,
        target: &text[from..to],
    })
}

/// The text with blanks in place of what stands in code, so that all else stays where it is.
fn without_code(text: &str) -> String {
    let mut prose = String::with_capacity(text.len());
    let mut is_block = false;
    for line in text.split_inclusive('\n') {
        let is_fence = line.trim_start().starts_with("```");
        let mut is_code = is_block || is_fence;
        is_block ^= is_fence;
        for c in line.chars() {
            is_code ^= c == '`' && !is_block && !is_fence;
            match c {
                '\n' => prose.push('\n'),
                _ if is_code => prose.extend(std::iter::repeat_n(' ', c.len_utf8())),
                _ => prose.push(c),
            }
        }
    }
    prose
}

/// The path of the repository that a path in this page is; `None` if it leads to the page itself or out of here.
pub fn resolved(page: &str, path: &str) -> Option<String> {
    if path.is_empty() || path.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => _ = parts.pop()?,
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page, as mdBook makes them of its headings, and as it is told to.
pub fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        is_block ^= line.trim_start().starts_with("```");
        if is_block || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim();
        if let Some((_, id)) = heading.split_once(" {#") {
            anchors.push(id.trim_end_matches('}').to_owned());
            continue;
        }
        let id: String = heading
            .chars()
            .filter_map(|c| match c {
                _ if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
                _ if c.is_whitespace() => Some('-'),
                _ => None,
            })
            .collect();
        let before = seen.entry(id.clone()).or_insert(0);
        anchors.push(match before {
            0 => id,
            _ => format!("{id}-{before}"),
        });
        *before += 1;
    }
    anchors
}

/// What is wrong with the links of a page, a line for each.
pub fn broken(book: &Book, page: &Page) -> Vec<String> {
    let mut broken = Vec::new();
    for link in of(&page.text).filter(Link::is_ours) {
        let source = resolved(&page.source, link.path());
        let target = match &source {
            None => Some(page),
            Some(source) if book.has(source) => Some(book.page(source)),
            Some(source) if root().join(source).exists() => None,
            Some(_) => {
                broken.push(format!("{}: there is no {}", page.source, link.target));
                continue;
            }
        };
        if let (Some(target), Some(anchor)) = (target, link.anchor())
            && !anchors(&target.text).iter().any(|known| known == anchor)
        {
            let known = anchors(&target.text).join(" ");
            broken.push(format!(
                "{}: {} has no heading #{anchor}, but {known}",
                page.source, target.source
            ));
        }
    }
    broken
}

/// The text of a page with its links as they lead in the site.
pub fn as_in_the_site(book: &Book, page: &Page) -> String {
    let mut text = page.text.clone();
    let links: Vec<Link<'_>> = of(&page.text).filter(Link::is_ours).collect();
    // From the last on, so that what stands before stays where it is.
    for link in links.iter().rev() {
        let Some(source) = resolved(&page.source, link.path()) else {
            continue;
        };
        let is_there = book.has(&source) || root().join(&source).is_file();
        let mut to = match is_there {
            true => relative(&page.site, &in_site(&source)),
            // A folder: the files of it that are shown stand below.
            false => relative(&page.site, "project/architecture.md"),
        };
        if let Some(anchor) = link.anchor() {
            to = format!("{to}#{anchor}");
        }
        text.replace_range(link.at..link.at + link.target.len(), &to);
    }
    text
}

/// The way from a page to a path of the site.
fn relative(page: &str, to: &str) -> String {
    let up = page.matches('/').count();
    format!("{}{to}", "../".repeat(up))
}
