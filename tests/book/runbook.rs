//! The runbooks say what to do about each alert, and about each thing that `rowhook check` can say.

use std::fs;

use super::pages;

/// What `check` says is quoted in the runbook with `…` for names and numbers.
const CHECK: &str = "docs/book/check.md";

/// The code that makes findings and the problems that become findings.
const FOLDERS: &[&str] = &["src/setup", "src/setup/check", "src/setup/plan"];

/// What keeps a session from being opened is told as a finding too.
const SESSIONS: &[&str] = &["src/postgres/connect/error.rs", "src/postgres/standby.rs"];

#[test]
fn every_alert_has_its_section() {
    let alerts = pages::text("deploy/prometheus/alerts.yml");
    let runbook = pages::text("docs/book/alerts.md");
    let mut seen = 0;
    for line in alerts.lines() {
        if let Some((_, name)) = line.split_once("- alert: ") {
            assert!(runbook.contains(&format!("\n## {name}\n")), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, runbook.matches("\n## Rowhook").count());
}

/// The code of all findings, without tests and with each text in one line. What teardown refuses is no finding.
fn code() -> String {
    let mut code = String::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(pages::root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("teardown.rs")
            {
                let text = fs::read_to_string(path).unwrap();
                code.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    for file in SESSIONS {
        code.push_str(pages::text(file).split("#[cfg(test)]").next().unwrap());
    }
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap().to_owned();
    first + &parts.map(str::trim_start).collect::<String>()
}

/// A text of the code as it is shown.
fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"")
}

/// The first text in the code, and what stands before it.
fn literal(code: &str) -> Option<(&str, &str)> {
    let (before, rest) = code.split_once('"')?;
    let mut is_escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some((before, &rest[..end]))
}

/// The findings that the runbook quotes: the first cell of each row of its tables.
fn quoted(runbook: &str) -> Vec<&str> {
    let rows = runbook.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split("` |").next().unwrap()).collect()
}

#[test]
fn what_the_runbook_quotes_is_what_check_says() {
    let code = unescaped(&code());
    let runbook = pages::text(CHECK);
    let quoted = quoted(&runbook);
    assert!(quoted.len() > 50, "{}", quoted.len());
    let mut unsaid = Vec::new();
    for finding in quoted {
        let parts = finding.split('…').map(str::trim);
        unsaid.extend(parts.filter(|part| part.len() > 3 && !code.contains(*part)));
    }
    assert!(
        unsaid.is_empty(),
        "check does not say:\n{}",
        unsaid.join("\n")
    );
}

/// The longest piece of a text of the code that has no name or number in it.
fn longest(text: &str) -> &str {
    let mut pieces: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        pieces.push(before);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    pieces.push(rest);
    let pieces = pieces.into_iter().map(str::trim);
    let pieces = pieces.map(|piece| piece.trim_end_matches([':', ';']));
    pieces.max_by_key(|piece| piece.len()).unwrap()
}

/// The texts that findings and problems are made with, as far as the code shows what they are for.
fn texts(code: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for call in [
        "Finding::warn(",
        "Finding::fatal(",
        "Finding::note(",
        "Problem::new(",
    ] {
        for (at, _) in code.match_indices(call) {
            // Where the text is made before the call, it stands in a statement as below.
            let found = literal(&code[at + call.len()..]);
            texts.extend(
                found
                    .filter(|(before, _)| !before.contains([';', ')']))
                    .filter(|(before, _)| !before.trim_start().starts_with("what"))
                    .map(|(_, text)| text),
            );
        }
    }
    for (at, _) in code.match_indices("let what = ") {
        let statement = code[at..].split(";\n    ").next().unwrap();
        let made = statement.split("format!(").skip(1);
        texts.extend(made.filter_map(|made| literal(made).map(|(_, text)| text)));
    }
    texts.into_iter().map(unescaped).collect()
}

/// The texts of errors that are told as findings: how sessions fail, and how changes were lost.
fn texts_of_errors() -> Vec<String> {
    let mut texts = Vec::new();
    for file in ["src/postgres/connect/error.rs", "src/setup/gap.rs"] {
        let code = pages::text(file);
        let code = code.split("fn remedy").next().unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap();
        for call in ["=> format!(", "write!(\n"] {
            for (at, _) in code.match_indices(call) {
                texts.extend(literal(&code[at + call.len()..]).map(|(_, text)| unescaped(text)));
            }
        }
    }
    texts
}

#[test]
fn each_thing_that_check_can_say_is_in_the_runbook() {
    let mut texts = texts(&code());
    texts.extend(texts_of_errors());
    assert!(texts.len() > 100, "{}", texts.len());
    let runbook = pages::text(CHECK);
    let pieces = texts.iter().map(|text| longest(text));
    let missing: Vec<&str> = pieces.filter(|piece| !runbook.contains(piece)).collect();
    assert!(
        missing.is_empty(),
        "{CHECK} does not have:\n{}",
        missing.join("\n")
    );
}
