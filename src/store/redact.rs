//! Takes the values of columns that `[history] redact` names out of what history keeps.
//!
//! The text of a body is copied as it is, but for these values, so that everything else stands in history as it was
//! sent.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use url::form_urlencoded;

use crate::{config::Redact, delivery::attempt::Attempt};

/// Stands for a value that is kept out.
const REDACTED: &str = "\"redacted\"";

/// The bodies of an attempt as history may keep them: that of the request, and that of its answer. `None`: it must not
/// be kept, or there is none.
pub(super) struct Kept<'a> {
    pub(super) request: Option<Cow<'a, [u8]>>,
    pub(super) response: Option<&'a [u8]>,
}

/// Redacts what is kept of an attempt. An answer that repeats a value that was redacted is not kept. The body of an
/// event that is made by a template is not, since nothing says what in it comes from where.
pub(super) fn redacted<'a>(
    rules: &Redact,
    attempt: &'a Attempt,
    response: Option<&'a [u8]>,
) -> Kept<'a> {
    let request = attempt.body.as_deref();
    if rules.is_empty() {
        return Kept {
            request: request.map(Cow::Borrowed),
            response,
        };
    }
    let is_templated =
        attempt.hook.delivery.template.is_some() || rules.is_templated(&attempt.event);
    let mut values = Vec::new();
    let request = request.and_then(|body| {
        let text = std::str::from_utf8(body).ok()?;
        redacted_body(text, rules, &mut values)
    });
    // Without the request, it is not known which values these are.
    let response =
        response.filter(|body| request.is_some() && !is_templated && !repeats(body, &values));
    Kept {
        request: request
            .filter(|_| !is_templated)
            .map(|body| Cow::Owned(body.into_bytes())),
        response,
    }
}

fn repeats(body: &[u8], values: &[String]) -> bool {
    let body = String::from_utf8_lossy(body);
    values.iter().any(|value| body.contains(value.as_str()))
}

/// A body that is JSON or a form; `None`: it is neither.
fn redacted_body(text: &str, rules: &Redact, values: &mut Vec<String>) -> Option<String> {
    if is_json(text) {
        return Some(redacted_json(text, rules, values));
    }
    if !text.contains('=') || text.contains(char::is_whitespace) {
        return None;
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if rules.names(&name) {
            note(&value, values);
            form.append_pair(&name, "redacted");
        } else if is_json(&value) {
            form.append_pair(&name, &redacted_json(&value, rules, values));
        } else {
            form.append_pair(&name, &value);
        }
    }
    Some(form.finish())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Valid JSON, with the values of the columns replaced wherever an object has them.
fn redacted_json(text: &str, rules: &Redact, values: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        let (string, behind) = from.split_at(end_of_string(from));
        out.push_str(before);
        out.push_str(string);
        rest = behind;
        let value = rest.trim_start();
        // In valid JSON only the key of an object stands before a colon.
        let Some(value) = value.strip_prefix(':') else {
            continue;
        };
        let is_named = serde_json::from_str::<String>(string).is_ok_and(|key| rules.names(&key));
        if is_named {
            let value = value.trim_start();
            let (taken, behind) = value.split_at(end_of_value(value));
            note(taken, values);
            out.push(':');
            out.push_str(REDACTED);
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// Notes the texts in a value, by which it is known again. Null, true and false tell nothing.
fn note(value: &str, values: &mut Vec<String>) {
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(serde_json::Value::Object(object)) => {
            object
                .values()
                .for_each(|value| note(&value.to_string(), values));
        }
        Ok(serde_json::Value::Array(array)) => {
            array
                .iter()
                .for_each(|value| note(&value.to_string(), values));
        }
        Ok(serde_json::Value::String(text)) if !text.is_empty() => {
            // As it stands in JSON, too.
            values.extend([value.trim_matches('"').to_owned(), text]);
        }
        Ok(serde_json::Value::Number(_)) => values.push(value.to_owned()),
        Ok(_) => {}
        // The field of a form is a text without quotes.
        Err(_) => values.push(value.to_owned()),
    }
}

/// The bytes of the string that valid JSON begins with, with its quotes.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The bytes of the value that valid JSON begins with.
fn end_of_value(text: &str) -> usize {
    if text.starts_with('"') {
        return end_of_string(text);
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += end_of_string(&text[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Redact {
        Redact::of(["email"], [])
    }

    fn body(text: &str) -> (Option<String>, Vec<String>) {
        let mut values = Vec::new();
        (redacted_body(text, &rules(), &mut values), values)
    }

    #[test]
    fn the_values_of_a_column_are_replaced_and_the_rest_stays_as_it_was_sent() {
        for (text, expected) in [
            (
                r#"{"email": "a@b", "n": 1.00}"#,
                r#"{"email":"redacted", "n": 1.00}"#,
            ),
            (
                r#"[{"data":{"email":null},"old":{"email":{"a":["]"]}}}]"#,
                r#"[{"data":{"email":"redacted"},"old":{"email":"redacted"}}]"#,
            ),
            (r#"{"e\u006dail":12e3}"#, r#"{"e\u006dail":"redacted"}"#),
            (
                r#"{"x":"email","y":["email"],"z":"\"email\":1"}"#,
                r#"{"x":"email","y":["email"],"z":"\"email\":1"}"#,
            ),
            (
                r#"{"email":[1,[2]],"a":"}"}"#,
                r#"{"email":"redacted","a":"}"}"#,
            ),
            (
                "email=a%40b&id=1&data=%7B%22email%22%3A1%7D",
                "email=redacted&id=1&data=%7B%22email%22%3A%22redacted%22%7D",
            ),
            ("7", "7"),
        ] {
            assert_eq!(body(text).0.as_deref(), Some(expected), "{text}");
        }
        assert_eq!(body("Dear a@b").0, None);
    }

    #[test]
    fn what_was_taken_out_is_known_again() {
        let (_, values) = body(r#"{"email": "\u00e4@b", "old": {"email": [17, null, ""]}}"#);
        assert_eq!(values, [r"\u00e4@b", "\u{e4}@b", "17"]);
        assert!(repeats("no user \u{e4}@b".as_bytes(), &values));
        assert!(!repeats(b"no such user", &values));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
            Just("MARKER".into()),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof!["email", "[a-z\"\\\\]{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((key, inner), 0..4)
                    .prop_map(|all| serde_json::Value::Object(all.into_iter().collect())),
            ]
        })
    }

    fn expected(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    match key == "email" {
                        true => *value = "redacted".into(),
                        false => expected(value),
                    }
                }
            }
            serde_json::Value::Array(array) => array.iter_mut().for_each(expected),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn any_json_is_redacted_as_a_parser_would(value in json(), is_pretty in any::<bool>()) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let redacted = redacted_json(&text, &rules(), &mut Vec::new());
            let mut wanted = value;
            expected(&mut wanted);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&redacted).unwrap(), wanted);
        }
    }
}
