//! Values of rows, as the text that Postgres prints. The first byte says of which type.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rowhook::{
    expression::document::Document,
    postgres::{
        json::{self, Error},
        types::Type,
    },
};

/// The types whose text is looked into. Of the first four, any text at all has to become JSON; the text of the others
/// is copied where it looks like a value, since Postgres prints nothing else.
const TYPES: [Type; 9] = [
    Type::Text,
    Type::Bool,
    Type::TextVector,
    Type::Hstore,
    Type::Integer,
    Type::Numeric,
    Type::Timestamp,
    Type::TimestampTz,
    Type::NumberVector,
];
const STRICT: usize = 4;

fuzz_target!(|data: &[u8]| {
    let Some((&first, text)) = data.split_first() else {
        return;
    };
    let scalar = usize::from(first % 16) % TYPES.len();
    let array = |element| Type::Array {
        element: Arc::new(element),
        delimiter: if first & 16 == 0 { b',' } else { b';' },
    };
    let row = |field| {
        let fields = [("a", field), ("b", Type::Text)];
        Type::Composite(
            fields
                .map(|(name, ty)| (name.to_owned(), Arc::new(ty)))
                .into(),
        )
    };
    let ty = match first >> 5 {
        0..=2 => TYPES[scalar].clone(),
        3 | 4 => array(TYPES[scalar].clone()),
        5 | 6 => row(TYPES[scalar].clone()),
        _ => array(row(array(TYPES[scalar].clone()))),
    };
    let mut out = Vec::new();
    match json::write(&ty, text, &mut out) {
        Ok(()) if scalar < STRICT => {
            let written = String::from_utf8(out).expect("what is written is UTF-8");
            Document::parse(written).expect("what is written is JSON");
        }
        Ok(()) => {}
        // Positions within an element are those in its own text, which is no longer than all of it.
        Err(Error::Malformed { at, .. }) => assert!(at <= text.len()),
        Err(Error::Unknown { .. }) => panic!("none of the types is unknown"),
    }
    let _ = json::fields(text);
    let _ = json::elements(text, b',');
});
