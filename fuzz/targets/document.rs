//! JSON that rows, messages and requests hold. Whatever another parser takes, ours takes too, and says the same of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::expression::document::Document;

fuzz_target!(|text: &str| {
    let document = Document::parse(text);
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let document = document.expect("it is JSON");
    let mut written = String::new();
    document
        .root()
        .write(&mut written)
        .expect("a String takes all");
    let again: serde_json::Value = serde_json::from_str(&written).expect("what is written is JSON");
    assert_eq!(again, value);
});
