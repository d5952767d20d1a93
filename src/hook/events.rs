//! The list of events in a row of the hook table.

use serde_json::Value;

use crate::postgres::json::{Element, elements};

/// Reads the names in a list, which is an array of Postgres or one in JSON. A single name stands for a list of one.
///
/// # Errors
/// What is wrong with it, in words for the owner of the hook.
pub fn names(text: &str) -> Result<Vec<String>, String> {
    let wrong = || "its events are no list of names".to_owned();
    let text = text.trim();
    if text.starts_with(['[', '"'])
        && let Ok(json) = serde_json::from_str(text)
    {
        return match json {
            // A list that stands in a text, and became one of JSON on its way.
            Value::String(list) if list.starts_with(['{', '[']) => names(&list),
            Value::String(name) => Ok(vec![name]),
            Value::Array(list) => list
                .into_iter()
                .map(|one| match one {
                    Value::String(name) => Ok(name),
                    _ => Err(wrong()),
                })
                .collect(),
            _ => Err(wrong()),
        };
    }
    if !text.starts_with(['{', '[']) {
        return Ok(vec![text.to_owned()]);
    }
    let list = elements(text.as_bytes(), b',').map_err(|_| wrong())?;
    list.into_iter()
        .map(|one| match one {
            Element::Value(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
            Element::Null | Element::Array(_) => Err(wrong()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_as_postgres_and_as_json_write_it() {
        for (text, expected) in [
            ("{}", &[][..]),
            ("[]", &[]),
            ("{book.added,\"book.*\",*}", &["book.added", "book.*", "*"]),
            ("[0:1]={a,b}", &["a", "b"]),
            (r#"["a", "b"]"#, &["a", "b"]),
            ("\"a\"", &["a"]),
            (r#""[\"a\", \"b\"]""#, &["a", "b"]),
            ("a", &["a"]),
        ] {
            assert_eq!(names(text).unwrap(), expected, "{text}");
        }
        for text in [
            "{a,NULL}",
            "{{a},{b}}",
            "{a",
            "[1]",
            "[null]",
            "[a]",
            "{a}x",
        ] {
            assert!(names(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = names(&text);
        }
    }
}
