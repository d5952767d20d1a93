//! Writes a JSON object field by field, into bytes that are sent as they are.

use bytes::Bytes;
use serde::Serialize;

/// A JSON object that is being written.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    /// An empty object, with room for about this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut open = Vec::with_capacity(bytes);
        open.push(b'{');
        Self(open)
    }

    /// Goes on with an object that was closed. If `object` is not a JSON object, begins with an empty one.
    pub(super) fn reopen(mut object: Vec<u8>) -> Self {
        match object.pop() {
            Some(b'}') => Self(object),
            Some(_) | None => Self::with_capacity(64),
        }
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        put(&mut self.0, value);
    }

    /// Adds a field if there is a value.
    pub(super) fn some(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.field(name, &value);
        }
    }

    /// Adds a field whose value is JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(json);
    }

    /// Closes the object.
    pub(super) fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    /// Closes the object, as bytes that can be shared.
    pub(super) fn finish(self) -> Bytes {
        self.close().into()
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        put(&mut self.0, name);
        self.0.push(b':');
    }
}

fn put(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(body, value)
        .expect("texts, numbers and lists of them are JSON, and a Vec takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_order_in_which_they_are_written() {
        let mut object = Object::with_capacity(0);
        object.field("b", "x\"y");
        object.raw("a", b"[1, 2]");
        object.some("left", None::<u8>);
        assert_eq!(object.finish(), r#"{"b":"x\"y","a":[1, 2]}"#);
    }

    #[test]
    fn an_object_is_opened_again_and_anything_else_begins_anew() {
        for (json, expected) in [
            (r#"{"id":1}"#, r#"{"id":1,"more":true}"#),
            ("{}", r#"{"more":true}"#),
            ("null", r#"{"more":true}"#),
            ("", r#"{"more":true}"#),
        ] {
            let mut object = Object::reopen(json.as_bytes().to_vec());
            object.field("more", &true);
            assert_eq!(object.finish(), expected, "{json}");
        }
    }
}
