//! The configuration that pages show is understood: each block of TOML is read as rowhook reads a file.

use std::path::Path;

use rowhook::{config, receive};

use super::pages::{Book, Page};

/// What environment variables hold, whichever a snippet names.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        name if name.ends_with("SECRET") => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        name if name.ends_with("TOKEN") => "0123456789abcdef0123456789abcdef",
        "ROWHOOK_KEY" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "DATABASE_URL" | "SHOP_URL" => "postgresql://rowhook@localhost/shop",
        "STOCK_URL" => "postgresql://rowhook@localhost/stock",
        "SLACK_URL" | "ZAPIER_URL" => "https://example.com/hook",
        "N8N_KEY" => "0123456789abcdef",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The blocks of TOML of a page, also those that are part of a list.
fn blocks(page: &Page) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for line in page.text.lines() {
        let bare = line.trim_start();
        match (&mut block, bare) {
            (None, "```toml") => block = Some((line.len() - bare.len(), String::new())),
            (Some(_), "```") => blocks.extend(block.take().map(|(_, text)| text)),
            (Some((indent, text)), _) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// What is wrong with a part of a receive.toml, or of a hooks.toml.
fn mistakes(block: &str) -> Option<String> {
    let has = |key: &str| block.lines().any(|line| line.starts_with(key));
    let receives = ["[[tasks]]", "[handshakes]", "listen ", "secrets "];
    if !has("[server]") && receives.iter().any(|key| has(key)) {
        let mut whole = String::new();
        for (key, rest) in [
            ("listen", "listen = \"127.0.0.1:9000\"\n"),
            ("secrets", "secrets = [\"${WEBHOOK_SECRET}\"]\n"),
        ] {
            if !has(key) {
                whole.push_str(rest);
            }
        }
        whole.push_str(block);
        let read = receive::config::Config::parse(Path::new("receive.toml"), &whole, &environment);
        return read.err().map(|mistakes| mistakes.to_string());
    }
    let mut whole = String::new();
    if !has("[database]") && !has("[[databases]]") {
        whole.push_str("database.url = \"${DATABASE_URL}\"\n");
    }
    if !has("[events") && !has("[[databases]]") {
        for table in [
            "book",
            "chapter",
            "orders",
            "dcim_site",
            "webhooks",
            "todos",
        ] {
            whole.push_str(&format!("events.\"{table}.added\" = \"{table}.created\"\n"));
        }
        whole.push_str("events.\"order.paid\" = \"orders.updated\"\n");
    }
    whole.push_str(block);
    if has("[[databases]]") && !has("[databases.events]") {
        whole.push_str("[databases.events]\n\"book.added\" = \"book.created\"\n");
    }
    let read = config::Databases::parse("hooks.toml".as_ref(), &whole, &environment);
    let mistakes = read.err()?.to_string();
    // The files that it names are the reader's.
    let is_wrong = |line: &&str| !line.contains("No such file or directory");
    let wrong: Vec<&str> = mistakes.lines().filter(is_wrong).collect();
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

#[test]
fn every_configuration_that_is_shown_is_understood() {
    let book = Book::read();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in book.pages.iter().chain(&book.outside) {
        // These are made from the manuals, which other tests read as wholes.
        if page.source.ends_with("configuration.md") {
            continue;
        }
        for block in blocks(page) {
            seen += 1;
            let mistakes = mistakes(&block);
            wrong.extend(mistakes.map(|mistakes| format!("{}: {mistakes}\n{block}", page.source)));
        }
    }
    assert!(seen > 25, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
