//! What stands in the body of a request: JSON, or a form that is read as JSON.
//!
//! JSON is read as Postgres and rowhook write it: numbers of any size, any number of levels, half of a surrogate pair,
//! and a byte order mark before it. Only what is no JSON at all is refused.

use std::{borrow::Cow, collections::HashMap};

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use url::form_urlencoded;

use super::malformed::Malformed;
use crate::expression::document::{Document, Item, Kind};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The field of a form that has the whole payload as JSON. GitHub and Slack send it.
const PAYLOAD: &str = "payload";

/// A body that was read: its JSON, and what tasks get of it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) json: Document,
    /// JSON as it came, without a byte order mark; of a form, the JSON that was made of it.
    pub(super) body: Bytes,
    pub(super) content_type: String,
}

impl Content {
    pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<Self, Malformed> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let (body, content_type) = if content_type.is_some_and(is_form) {
            (form(&body)?, JSON)
        } else {
            let mark = body.starts_with(BYTE_ORDER_MARK);
            let start = if mark { BYTE_ORDER_MARK.len() } else { 0 };
            (body.slice(start..), content_type.unwrap_or(JSON))
        };
        let text =
            str::from_utf8(&body).map_err(|error| Malformed::Encoding(error.valid_up_to()))?;
        Ok(Self {
            json: Document::parse(text)?,
            content_type: content_type.to_owned(),
            body,
        })
    }
}

/// Whether bodies of this type are forms.
pub(super) fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(FORM)
}

/// The JSON of a form: that in its only field `payload`, or else an object of its fields. A field that is a JSON object
/// or list becomes one, any other stays a text, and one that stands more than once becomes a list.
fn form(body: &[u8]) -> Result<Bytes, Malformed> {
    let fields: Vec<_> = form_urlencoded::parse(body).collect();
    if let [(name, payload)] = &fields[..]
        && name == PAYLOAD
    {
        return Ok(Bytes::copy_from_slice(payload.as_bytes()));
    }
    let mut object: Vec<(&str, Field)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, value) in &fields {
        let value = raw(value).map_err(|error| Malformed::Json(error.to_string()))?;
        match places.get(&**name) {
            Some(place) => object[*place].1.add(value),
            None => {
                places.insert(name, object.len());
                object.push((name, Field::One(value)));
            }
        }
    }
    let mut json = Vec::with_capacity(body.len() + 2);
    let fields = object.iter().map(|(name, value)| (name, value));
    let written = serde_json::Serializer::new(&mut json).collect_map(fields);
    written.map_err(|error| Malformed::Json(error.to_string()))?;
    Ok(json.into())
}

/// What stands under one name in a form.
#[derive(Serialize)]
#[serde(untagged)]
enum Field {
    One(Box<RawValue>),
    Many(Vec<Box<RawValue>>),
}

impl Field {
    fn add(&mut self, value: Box<RawValue>) {
        match self {
            Self::Many(values) => values.push(value),
            Self::One(first) => {
                let first = std::mem::take(first);
                *self = Self::Many(vec![first, value]);
            }
        }
    }
}

/// A value of a form as JSON.
fn raw(value: &str) -> serde_json::Result<Box<RawValue>> {
    let nested = value.starts_with(['{', '[']) && Document::parse(value).is_ok();
    let nested = nested.then(|| RawValue::from_string(value.to_owned()).ok());
    match nested.flatten() {
        Some(nested) => Ok(nested),
        None => to_raw_value(value),
    }
}

/// The text at a path of keys, if there is one.
pub(super) fn text_at(json: &Document, path: &[&str]) -> Option<String> {
    let item = path
        .iter()
        .try_fold(json.root(), |item, key| field(item, key));
    match item?.kind() {
        Kind::Plain | Kind::Escaped => Some(decoded(item?)),
        _ => None,
    }
}

/// The value of a key, if this is an object that has it.
pub(super) fn field<'a>(item: Item<'a>, key: &str) -> Option<Item<'a>> {
    match item.kind() {
        Kind::Object => item.field(key),
        _ => None,
    }
}

/// A text. One that has half of a surrogate pair stands for no characters, and stays as it is written.
fn decoded(item: Item<'_>) -> String {
    let text = item.text().map(Cow::into_owned);
    text.unwrap_or_else(|_| item.written().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(content_type: Option<&'static str>, body: &[u8]) -> Result<Content, Malformed> {
        let header = content_type.map(|text| (CONTENT_TYPE, HeaderValue::from_static(text)));
        Content::read(&HeaderMap::from_iter(header), Bytes::copy_from_slice(body))
    }

    fn form_json(body: &str) -> Value {
        let content = read(
            Some("application/x-www-form-urlencoded; charset=utf-8"),
            body.as_bytes(),
        );
        let content = content.unwrap();
        assert_eq!(content.content_type, JSON);
        serde_json::from_slice(&content.body).unwrap()
    }

    #[test]
    fn every_json_that_rowhook_sends_is_read() {
        let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
        let digits = format!(r#"{{"n":{}}}"#, "7".repeat(500));
        for body in [
            deep.as_bytes(),
            digits.as_bytes(),
            b"1e400",
            br#"{"a":"\ud800","b":"\udc00\ud800"}"#,
            b"\xef\xbb\xbf{}",
            b" null ",
            br#"{"a":1,"a":2}"#,
            br#"{"":-0.0e-400}"#,
        ] {
            let content = read(None, body).unwrap();
            assert!(body.ends_with(&content.body) && !content.body.starts_with(BYTE_ORDER_MARK));
        }
        assert!(read(None, "[".repeat(100_000).as_bytes()).is_err());
        for broken in [
            "",
            "{",
            "[1,]",
            "{'a':1}",
            "01",
            "1 2",
            "\"\n\"",
            "NaN",
            "nul",
            r#""\u12""#,
        ] {
            let error = read(None, broken.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("the body is not JSON: "),
                "{broken}: {error}"
            );
        }
    }

    #[test]
    fn a_form_is_read_as_the_json_that_it_carries() {
        assert_eq!(
            form_json("payload=%7B%22action%22%3A%22opened%22%2C%22n%22%3A+1%7D"),
            json!({"action": "opened", "n": 1})
        );
        assert_eq!(
            form_json("hook=%7B%22event%22%3A%22book.added%22%7D&data=%7B%22id%22%3A7%7D"),
            json!({"hook": {"event": "book.added"}, "data": {"id": 7}})
        );
        assert_eq!(
            form_json(
                "command=%2Fweather&text=94070+%22x%22&id=1&list=[1,&id=2&payload={}&%C3%A9=%F0%9F%98%80&blank&id=3"
            ),
            json!({"command": "/weather", "text": "94070 \"x\"", "id": ["1", "2", "3"], "list": "[1,", "payload": {},
                "\u{e9}": "\u{1f600}", "blank": ""})
        );
        assert_eq!(form_json(""), json!({}));
        let broken = read(Some(FORM), b"payload=%7B").unwrap_err().to_string();
        assert!(broken.starts_with("the body is not JSON: "), "{broken}");
    }

    #[test]
    fn a_value_of_a_form_keeps_what_no_number_of_ours_can_hold() {
        let content = read(
            Some(FORM),
            b"data=%7B%22n%22%3A1e400%2C%22t%22%3A%22%5Cud800%22%7D&a=1",
        );
        let body = content.unwrap().body;
        assert_eq!(&body[..], br#"{"data":{"n":1e400,"t":"\ud800"},"a":"1"}"#);
    }

    proptest! {
        #[test]
        fn a_form_of_texts_comes_back_as_they_are(fields in proptest::collection::hash_map("\\PC{1,8}", "[^{\\[]\\PC{0,20}", 1..6)) {
            prop_assume!(!(fields.len() == 1 && fields.contains_key(PAYLOAD)));
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            prop_assert_eq!(form_json(&body), json!(fields));
        }

        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), text in "\\PC*") {
            for content_type in [None, Some(FORM)] {
                let _ = read(content_type, &body);
                let _ = read(content_type, text.as_bytes());
            }
        }
    }
}
