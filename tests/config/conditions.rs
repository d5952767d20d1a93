//! Thousands of conditions in one file.

use rowhook::config::{EventRule, EventSource};

use crate::file::{mistakes, parse};

/// What a file begins with. The first event has no condition.
const START: &str =
    "[database]\nurl = \"${DATABASE_URL}\"\n[events]\n\"book.added\" = \"book.created\"\n";

/// Lines of `[events]` with this `when` for each number.
fn events(count: usize, when: impl Fn(usize) -> String) -> String {
    let lines = (0..count).map(|number| {
        let when = when(number);
        format!("\"book.e{number}\" = {{ on = \"book.updated\", when = {when:?} }}\n")
    });
    lines.collect()
}

fn condition(rule: &EventRule) -> Option<&str> {
    match &rule.source {
        EventSource::Row { when, .. } => when.as_ref().map(|when| when.text()),
        EventSource::Custom => None,
    }
}

#[test]
fn each_of_thousands_of_events_has_its_own_condition() {
    let when = |number: usize| format!("new.price > {}.5", number / 2);
    let config = parse(&format!("{START}{}", events(2000, when))).unwrap();

    let found: Vec<Option<&str>> = config.events.iter().map(condition).collect();
    assert_eq!(found[0], None);
    for (number, found) in found[1..].iter().enumerate() {
        assert_eq!(*found, Some(&*when(number)));
    }
}

#[test]
fn every_mistake_among_thousands_of_conditions_is_told_at_its_place() {
    let when = |number: usize| match number % 500 {
        // The same text twice.
        3 => "nw.price > 1".to_owned(),
        _ => format!("new.price > {number}"),
    };

    let told = mistakes(&events(1000, when));

    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    for (line, at) in lines.iter().zip([8, 508]) {
        assert!(line.starts_with(&format!("hooks.toml:{at}:")), "{line}");
        assert!(line.contains("\"nw.price > 1\" uses \"nw\""), "{line}");
    }
}
