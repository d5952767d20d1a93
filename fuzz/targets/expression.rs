//! Filters that owners write. The first line is the filter, and the rest is the row.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::expression::filter::{Facts, Filter};

/// The steps that one evaluation may take.
const STEPS: u64 = 10_000;

fuzz_target!(|text: &str| {
    let (filter, row) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(filter) = Filter::compile(filter) else {
        return;
    };
    let _ = filter.check(None);
    let Ok(facts) = Facts::new(row, "null", Some(&["id"]), "book.changed", Some("7".into())) else {
        return;
    };
    let mut allowance = STEPS;
    let answer = filter.accepts_within(&facts, &mut allowance);
    assert!(allowance <= STEPS);
    // The same again says the same.
    let again = filter.accepts_within(&facts, &mut { STEPS });
    assert_eq!(answer.ok(), again.ok());
});
