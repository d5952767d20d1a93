//! `content = "form"`: a body as a form, for receivers that read nothing else.
//!
//! Each key of the body is a field. A text stands there as it is, and every other value as JSON. A body that is no
//! object is the field `payload`, as GitHub and Slack have it.

use bytes::Bytes;
use url::form_urlencoded::Serializer;

use crate::expression::document::{Document, Item, Kind};

/// The content type of a form.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The form of a body that is JSON.
pub(super) fn encode(json: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(json);
    let mut form = Serializer::new(String::with_capacity(2 * json.len()));
    match Document::parse(&*text) {
        Ok(body) if body.root().kind() == Kind::Object => {
            for (key, value) in body.root().fields() {
                form.append_pair(&written(key), &written(value));
            }
        }
        _ => {
            form.append_pair("payload", &text);
        }
    }
    form.finish().into()
}

/// A text as it is, and every other value as JSON. So is a text that stands for no characters.
fn written(value: Item<'_>) -> String {
    match (value.kind(), value.text()) {
        (Kind::Plain | Kind::Escaped, Ok(text)) => text.into_owned(),
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use url::form_urlencoded::parse;

    use super::*;

    fn fields(json: &str) -> Vec<(String, String)> {
        let form = encode(json.as_bytes());
        parse(&form).into_owned().collect()
    }

    #[test]
    fn each_key_is_a_field_and_what_is_no_text_is_json() {
        let form = encode(br#"{"title":"Dune & \u00e9","price":19.9000,"sold":null,"tags":["a b"],"deep":{"n":1e400}}"#);
        assert_eq!(
            form,
            "title=Dune+%26+%C3%A9&price=19.9000&sold=null&tags=%5B%22a+b%22%5D&deep=%7B%22n%22%3A1e400%7D"
        );
        assert_eq!(
            fields(r#"{"odd":"\ud800"}"#),
            [("odd".to_owned(), r#""\ud800""#.to_owned())]
        );
        assert_eq!(
            fields("[1, 2]"),
            [("payload".to_owned(), "[1, 2]".to_owned())]
        );
        assert_eq!(fields("{}"), []);
    }

    proptest! {
        #[test]
        fn texts_come_back_as_they_are(texts in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..6)) {
            let expected: Vec<(String, String)> = texts.clone().into_iter().collect();
            prop_assert_eq!(fields(&json!(texts).to_string()), expected);
        }
    }
}
