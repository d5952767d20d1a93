//! The book: docs/book, with the chapters that are made from what the code says, put together in target/book.
//!
//! A page may have a line `<!-- from SOURCE -->`. What is made from that source takes its place, so that references
//! cannot drift from the code and stand nowhere twice. `make docs` runs these tests and has mdBook render the result.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod api;
mod commands;
mod configuration;
mod features;
mod links;
mod metrics;
mod pages;
mod runbook;
mod snippets;
mod tables;
mod text;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use self::pages::Book;

/// Where the book is put together.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/book")
}

/// Writes the book anew, so that nothing is left of pages that are gone.
#[test]
fn the_book_is_put_together() {
    let book = Book::read();
    let folder = folder();
    let source = folder.join("src");
    if source.exists() {
        fs::remove_dir_all(&source).unwrap();
    }
    let write = |path: &str, content: &[u8]| {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for page in &book.pages {
        let text = links::as_in_the_site(&book, page);
        write(&page.site, text.as_bytes());
    }
    for file in book.files() {
        write(
            &file.site,
            &fs::read(pages::root().join(&file.source)).unwrap(),
        );
    }
    fs::copy(
        pages::root().join("docs/book/book.toml"),
        folder.join("book.toml"),
    )
    .unwrap();
}

#[test]
fn every_link_leads_somewhere() {
    let book = Book::read();
    let mut broken = Vec::new();
    for page in book.pages.iter().chain(&book.outside) {
        broken.extend(links::broken(&book, page));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_that_the_manuals_and_the_code_name_is_there() {
    let mut files = pages::below("src");
    files.extend(["hooks.toml", "receive.toml", "Makefile"].map(str::to_owned));
    for file in files {
        let text = pages::text(&file);
        for (at, _) in text.match_indices("docs/") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/_.-".contains(c));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            let is_ours = !text[..at].ends_with('/');
            assert!(
                !is_ours || pages::root().join(name).exists(),
                "{file} names {name}"
            );
        }
    }
}

#[test]
fn every_page_stands_in_the_contents() {
    let book = Book::read();
    let contents = book.page("docs/book/SUMMARY.md");
    let listed: BTreeSet<&str> = links::of(&contents.text).map(|link| link.target).collect();
    for page in &book.pages {
        if page.source.starts_with("docs/book/") && page.source != contents.source {
            let name = page.source.strip_prefix("docs/book/").unwrap();
            assert!(listed.contains(name), "SUMMARY.md does not list {name}");
        }
    }
}
