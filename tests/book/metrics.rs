//! The reference of `/metrics`, made from where they are written.

use super::text::{cell, head, row};

const SOURCE: &str = include_str!("../../src/server/metrics.rs");

/// All metrics, each with its type and what it is.
pub fn all() -> String {
    let mut table = head(["metric", "type", "what it is"]);
    for (name, kind, help) in read() {
        table.push_str(&row([&format!("`{name}`"), kind, &cell(help)]));
    }
    table
}

fn read() -> Vec<(&'static str, &'static str, &'static str)> {
    // What stands in tests below is made up.
    let source = SOURCE.split("#[cfg(test)]").next().unwrap();
    let mut found = Vec::new();
    for (at, _) in source.match_indices("\"rowhook_") {
        let before = source[..at].trim_end();
        let kind = match before {
            _ if before.ends_with("gauge(") => "gauge",
            _ if before.ends_with("counter(") => "counter",
            _ if before.ends_with("name:") => "histogram",
            _ => continue,
        };
        let mut literals = source[at..].split('"').skip(1).step_by(2);
        found.push((literals.next().unwrap(), kind, literals.next().unwrap()));
    }
    found
}

#[test]
fn every_metric_is_explained() {
    let found = read();
    assert!(found.len() > 25, "{found:?}");
    for (name, _, help) in found {
        assert!(help.ends_with('.'), "{name}: {help}");
    }
}
