//! The pages of the book, and the files that they show or lead to.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{api, commands, configuration, links, metrics, tables};

/// The folder with the pages that are written by hand.
const BOOK: &str = "docs/book/";

/// Pages of the repository that are chapters of the book too.
const PROJECT: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

/// A page.
pub struct Page {
    /// Where it stands in the repository.
    pub source: String,
    /// Where it stands in the site; the same folder as in the repository, for pages of the book.
    pub site: String,
    /// Its text, with what is made for it.
    pub text: String,
}

/// A file that is no page.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub source: String,
    pub site: String,
}

/// All of it.
pub struct Book {
    /// The pages of the site.
    pub pages: Vec<Page>,
    /// Pages that are not in the site, and lead into it.
    pub outside: Vec<Page>,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The text of a file of the repository.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Where a page or a file of the repository stands in the site.
pub fn in_site(source: &str) -> String {
    if let Some(name) = source.strip_prefix(BOOK) {
        // mdBook names it so, and leads no links there.
        return name.replace("README.md", "index.md");
    }
    if PROJECT.contains(&source) {
        return format!("project/{}", source.to_lowercase());
    }
    format!("files/{source}")
}

impl Book {
    pub fn read() -> Self {
        let mut names: Vec<String> = below(BOOK);
        names.retain(|name| name.ends_with(".md"));
        names.extend(PROJECT.iter().map(ToString::to_string));
        let page = |name: String| Page {
            text: completed(&text(&name)),
            site: in_site(&name),
            source: name,
        };
        Self {
            pages: names.into_iter().map(page).collect(),
            outside: vec![page("README.md".to_owned())],
        }
    }

    pub fn page(&self, source: &str) -> &Page {
        let mut pages = self.pages.iter().chain(&self.outside);
        pages
            .find(|page| page.source == source)
            .unwrap_or_else(|| panic!("there is no page {source}"))
    }

    pub fn has(&self, source: &str) -> bool {
        let mut pages = self.pages.iter();
        pages.any(|page| page.source == source)
    }

    /// The files that pages show or lead to.
    pub fn files(&self) -> BTreeSet<File> {
        let mut files = BTreeSet::new();
        for page in &self.pages {
            for link in links::of(&page.text) {
                if let Some(source) = links::resolved(&page.source, link.path())
                    && root().join(&source).is_file()
                    && !self.has(&source)
                {
                    let site = in_site(&source);
                    files.insert(File { source, site });
                }
            }
        }
        files
    }
}

/// The files below a folder of the repository, by their paths.
pub fn below(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                files.push(name.to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The text with what is made for it, in place of the lines that ask for that.
fn completed(text: &str) -> String {
    let mut completed = String::new();
    for line in text.lines() {
        let source = line
            .strip_prefix("<!-- from ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        match source {
            None => completed.push_str(line),
            Some("hooks.toml") => completed.push_str(&configuration::of("hooks.toml")),
            Some("receive.toml") => completed.push_str(&configuration::of("receive.toml")),
            Some("the command line") => completed.push_str(&commands::all()),
            Some("the API") => completed.push_str(&api::all()),
            Some("the migrations") => completed.push_str(&tables::all()),
            Some("the metrics") => completed.push_str(&metrics::all()),
            Some(other) => panic!("nothing is made from {other}"),
        }
        completed.push('\n');
    }
    completed
}
