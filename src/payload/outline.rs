//! What is left of a body when its row is forgotten: the key of the row, and the names of what is left out.
//!
//! The new body has the format of the old one. Of the old one, it takes only what rowhook itself has put around the
//! row, and not the owner.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::{RawValue, to_raw_value};
use url::form_urlencoded;

use super::{form, object::Object, python};
use crate::config::{Encoding, NetboxVersion, PayloadFormat};

/// What a body is made anew from when its row is forgotten. As JSON, it is kept with what is parked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outline {
    #[serde(serialize_with = "to_name", deserialize_with = "from_name")]
    payload: PayloadFormat,
    /// Is the body a form?
    #[serde(default)]
    form: bool,
    /// Is the body nothing but what a message carries?
    #[serde(default)]
    bare: bool,
    /// The key of the row, as the format has it.
    key: Box<RawValue>,
    /// The columns of that key.
    columns: Vec<String>,
    /// The names of what is left out, as a JSON list. There is an outline in memory for each event, and a list of texts
    /// would take several times as much.
    left_out: Box<RawValue>,
}

/// The fields of a body, each as JSON.
type Fields = BTreeMap<String, Box<RawValue>>;

impl Outline {
    /// `key` is the key of the row as JSON, and `columns` are those of the key.
    pub(super) fn new(
        payload: PayloadFormat,
        encoding: Encoding,
        bare: bool,
        key: Vec<u8>,
        columns: &[&str],
        left_out: &[&str],
    ) -> Self {
        let key = String::from_utf8(key).ok();
        let key = key.and_then(|key| RawValue::from_string(key).ok());
        Self {
            payload,
            form: encoding == Encoding::Form,
            bare,
            key: key.unwrap_or_else(|| RawValue::NULL.to_owned()),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            left_out: to_raw_value(left_out).expect("texts are JSON"),
        }
    }

    /// That of a body of which only the key of its row is known, as JSON.
    pub fn of_key(key: &str) -> Self {
        let columns: Option<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(key).ok();
        let columns = columns.unwrap_or_default();
        let columns: Vec<&str> = columns.keys().map(String::as_str).collect();
        let (payload, encoding) = (PayloadFormat::Row, Encoding::Json);
        let key = key.as_bytes().to_vec();
        Self::new(payload, encoding, true, key, &columns, &["data"])
    }

    /// The form in which it is kept with what is parked.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and JSON are JSON")
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        let columns = self
            .columns
            .iter()
            .map(|name| name.len() + size_of::<String>());
        let texts = self.left_out.get().len() + self.key.get().len();
        columns.sum::<usize>() + texts + size_of::<Self>()
    }

    /// The columns of the row's key.
    pub fn key_columns(&self) -> &[String] {
        &self.columns
    }

    /// The body in place of `whole`.
    pub fn body(&self, whole: &[u8]) -> Bytes {
        let fields = self.fields(whole);
        let body = match self.payload {
            PayloadFormat::RestHooks => self.rest_hooks(&fields),
            PayloadFormat::Django => self.django(&fields),
            PayloadFormat::Standard => self.standard(&fields),
            PayloadFormat::Cloudevents => self.cloudevents(&fields),
            PayloadFormat::Netbox(version) => self.netbox(&fields, version),
            PayloadFormat::Row => self.row(),
        };
        match self.form {
            true => form::encode(&body),
            false => body,
        }
    }

    /// The fields of a body. Those of a form are texts, which a form has as they are.
    fn fields(&self, whole: &[u8]) -> Fields {
        if self.bare {
            return Fields::new();
        }
        if !self.form {
            return serde_json::from_slice(whole).unwrap_or_default();
        }
        let fields = form_urlencoded::parse(whole);
        fields
            .filter_map(|(name, value)| Some((name.into_owned(), to_raw_value(&value).ok()?)))
            .collect()
    }

    fn rest_hooks(&self, fields: &Fields) -> Bytes {
        let mut body = Object::with_capacity(self.size());
        keep(&mut body, fields, &["hook"]);
        body.raw("data", self.key.get().as_bytes());
        keep(&mut body, fields, &["unchanged"]);
        body.raw("left_out", self.left_out.get().as_bytes());
        body.finish()
    }

    /// As Python writes it.
    fn django(&self, fields: &Fields) -> Bytes {
        let mut body = b"{".to_vec();
        if let Some(hook) = fields.get("hook") {
            body.extend_from_slice(br#""hook": "#);
            body.extend_from_slice(hook.get().as_bytes());
            body.extend_from_slice(b", ");
        }
        body.extend_from_slice(br#""data": "#);
        body.extend_from_slice(self.key.get().as_bytes());
        if let Some(unchanged) = fields.get("unchanged") {
            body.extend_from_slice(br#", "unchanged": "#);
            body.extend_from_slice(unchanged.get().as_bytes());
        }
        body.extend_from_slice(br#", "left_out": "#);
        python::redump(self.left_out.get().as_bytes(), &mut body);
        body.push(b'}');
        body.into()
    }

    fn standard(&self, fields: &Fields) -> Bytes {
        let mut body = Object::with_capacity(self.size());
        keep(&mut body, fields, &["type", "timestamp"]);
        body.raw("data", self.key.get().as_bytes());
        body.raw("old", b"null");
        keep(&mut body, fields, &["changed", "unchanged", "table", "op"]);
        body.raw("owner", b"null");
        keep(&mut body, fields, &["position"]);
        body.raw("left_out", self.left_out.get().as_bytes());
        body.finish()
    }

    fn cloudevents(&self, fields: &Fields) -> Bytes {
        let mut body = Object::with_capacity(self.size());
        let ours = ["specversion", "id", "source", "type", "time", "subject"];
        keep(&mut body, fields, &ours);
        keep(&mut body, fields, &["datacontenttype", "op", "unchanged"]);
        let names: Vec<String> = serde_json::from_str(self.left_out.get()).unwrap_or_default();
        body.field("leftout", &names.join(","));
        body.raw("data", self.key.get().as_bytes());
        body.finish()
    }

    fn netbox(&self, fields: &Fields, version: NetboxVersion) -> Bytes {
        let mut body = Object::with_capacity(2 * self.size());
        keep(
            &mut body,
            fields,
            &["event", "timestamp", "object_type", "model"],
        );
        if version <= NetboxVersion::V4_6 {
            body.field("username", "");
            keep(&mut body, fields, &["request_id"]);
        }
        let key = self.key.get().as_bytes();
        body.raw("data", key);
        if version >= NetboxVersion::V4_6 {
            let request = fields.get("request").map(|request| text_or_json(request));
            let request: Option<Fields> =
                request.and_then(|request| serde_json::from_str(&request).ok());
            let mut made = Object::with_capacity(120);
            keep(&mut made, &request.unwrap_or_default(), &["id"]);
            made.raw("method", b"null");
            made.raw("path", b"null");
            made.field("user", "");
            body.raw("request", &made.close());
        }
        let happened = fields.get("event").map(|event| text_or_json(event));
        let null: &[u8] = b"null";
        let (before, after) = match happened.as_deref() {
            Some("deleted") => (key, null),
            Some("truncated") => (null, null),
            Some(_) | None => (null, key),
        };
        let mut snapshots = Object::with_capacity(before.len() + after.len() + 40);
        snapshots.raw("prechange", before);
        snapshots.raw("postchange", after);
        body.raw("snapshots", &snapshots.close());
        keep(&mut body, fields, &["unchanged"]);
        body.raw("left_out", self.left_out.get().as_bytes());
        body.finish()
    }

    fn row(&self) -> Bytes {
        let mut body = Object::reopen(self.key.get().as_bytes().to_vec());
        body.raw("left_out", self.left_out.get().as_bytes());
        body.finish()
    }

    fn size(&self) -> usize {
        self.left_out.get().len() + self.key.get().len() + 400
    }
}

/// Adds the fields of these names, as they were.
fn keep(body: &mut Object, fields: &Fields, names: &[&str]) {
    for name in names {
        if let Some(json) = fields.get(*name) {
            body.raw(name, json.get().as_bytes());
        }
    }
}

/// A text as it is, and any other value as JSON.
fn text_or_json(value: &RawValue) -> String {
    let text: Option<String> = serde_json::from_str(value.get()).ok();
    text.unwrap_or_else(|| value.get().to_owned())
}

fn to_name<S: Serializer>(payload: &PayloadFormat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&payload.name())
}

fn from_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PayloadFormat, D::Error> {
    let name = String::deserialize(deserializer)?;
    let payload = PayloadFormat::parse(&name);
    payload.ok_or_else(|| de::Error::custom(format!("no payload is called {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(payload: PayloadFormat, encoding: Encoding) -> Outline {
        let key = br#"{"id":7}"#.to_vec();
        let made = Outline::new(payload, encoding, false, key, &["id"], &["title", "owner"]);
        // As it comes back from the table.
        serde_json::from_str(&made.to_json()).unwrap()
    }

    #[test]
    fn what_rowhook_has_put_around_the_row_stays_and_nothing_else() {
        for (payload, whole, left) in [
            (
                PayloadFormat::RestHooks,
                r#"{"hook":{"id":1,"event":"a","target":"t"},"data":{"id":7,"title":"x"},"unchanged":["big"]}"#,
                r#"{"hook":{"id":1,"event":"a","target":"t"},"data":{"id":7},"unchanged":["big"],"left_out":["title","owner"]}"#,
            ),
            (
                PayloadFormat::Django,
                r#"{"hook": {"id": 1}, "data": {"model": "a.b", "pk": 7, "fields": {"title": "x"}}}"#,
                r#"{"hook": {"id": 1}, "data": {"id":7}, "left_out": ["title", "owner"]}"#,
            ),
            (
                PayloadFormat::Standard,
                r#"{"type":"a","timestamp":"t","data":{"x":"x"},"old":{"x":"x"},"changed":["x"],"unchanged":[],"table":"b","op":"update","owner":"x","position":{"lsn":"0/1","index":0},"more":"x"}"#,
                r#"{"type":"a","timestamp":"t","data":{"id":7},"old":null,"changed":["x"],"unchanged":[],"table":"b","op":"update","owner":null,"position":{"lsn":"0/1","index":0},"left_out":["title","owner"]}"#,
            ),
            (
                PayloadFormat::Cloudevents,
                r#"{"specversion":"1.0","id":"i","source":"/b","type":"a","time":"t","subject":"7","datacontenttype":"application/json","op":"insert","owner":"x","data":"x"}"#,
                r#"{"specversion":"1.0","id":"i","source":"/b","type":"a","time":"t","subject":"7","datacontenttype":"application/json","op":"insert","leftout":"title,owner","data":{"id":7}}"#,
            ),
            (
                PayloadFormat::Netbox(NetboxVersion::V4_6),
                r#"{"event":"deleted","timestamp":"t","object_type":"a.b","username":"x","request_id":"r","data":{"x":"x"},"request":{"id":"r","method":null,"path":null,"user":"x"},"snapshots":{"prechange":{"x":"x"},"postchange":null}}"#,
                r#"{"event":"deleted","timestamp":"t","object_type":"a.b","username":"","request_id":"r","data":{"id":7},"request":{"id":"r","method":null,"path":null,"user":""},"snapshots":{"prechange":{"id":7},"postchange":null},"left_out":["title","owner"]}"#,
            ),
            (
                PayloadFormat::Row,
                r#"{"type":"x","id":7}"#,
                r#"{"id":7,"left_out":["title","owner"]}"#,
            ),
            (
                PayloadFormat::Standard,
                "no JSON at all",
                r#"{"data":{"id":7},"old":null,"owner":null,"left_out":["title","owner"]}"#,
            ),
        ] {
            let body = outline(payload, Encoding::Json).body(whole.as_bytes());
            assert_eq!(body, left, "{payload:?}");
        }
    }

    #[test]
    fn a_form_stays_one() {
        let whole = form::encode(
            br#"{"type":"a","data":{"title":"x"},"old":null,"changed":["b"],"owner":"x","position":{"lsn":"0/1"}}"#,
        );
        let left = form::encode(
            br#"{"type":"a","data":{"id":7},"old":null,"changed":["b"],"owner":null,"position":{"lsn":"0/1"},"left_out":["title","owner"]}"#,
        );
        let outline = outline(PayloadFormat::Standard, Encoding::Form);
        assert_eq!(outline.body(&whole), left);
    }

    #[test]
    fn of_what_a_message_carries_nothing_stays() {
        let payload = PayloadFormat::RestHooks;
        let key = b"null".to_vec();
        let outline = Outline::new(payload, Encoding::Json, true, key, &[], &["data"]);
        let body = outline.body(br#"{"hook":"x"}"#);
        assert_eq!(body, r#"{"data":null,"left_out":["data"]}"#);
        let body = Outline::of_key(r#"{"id":7}"#).body(b"x");
        assert_eq!(body, r#"{"id":7,"left_out":["data"]}"#);
        assert_eq!(Outline::of_key(r#"{"id":7}"#).key_columns(), ["id"]);
        assert_eq!(Outline::of_key("null").key_columns(), [""; 0]);
    }
}
