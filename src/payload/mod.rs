//! The bodies that receivers get. A body is rendered once and kept as bytes: attempts and signatures are over the same.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    change::{Change, Image, RowChange},
    config::{Columns, PayloadFormat},
    event::{Event, Subject},
    hook::{Hook, HookId},
};

/// What all payloads are sent as.
pub const CONTENT_TYPE: &str = "application/json";

/// Renders one event for any number of hooks; what they share is rendered once.
#[derive(Debug)]
pub struct Renderer<'a> {
    event: &'a Event,
    data: Row,
    standard: Option<Bytes>,
}

/// A row as a JSON object.
#[derive(Debug, Default)]
struct Row {
    json: Vec<u8>,
    /// Columns that it lacks because the stream did, and nobody could say.
    unchanged: Vec<String>,
}

impl<'a> Renderer<'a> {
    /// Renders what is common to all payloads.
    pub fn new(event: &'a Event) -> Self {
        let data = match &event.subject {
            Subject::Row { change, .. } => match change.shown() {
                Some(image) => Row::render(event, image),
                None => Row::of(b"null"),
            },
            Subject::Message(message) => Row::of(message.payload.get().as_bytes()),
        };
        Self {
            event,
            data,
            standard: None,
        }
    }

    /// The body for `hook`; a thin one, of the key and the names of what was left out, when it would be too large.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
        let body = match hook.delivery.payload {
            PayloadFormat::RestHooks if self.has_hook_meta() => {
                self.rest_hooks(hook, &self.data.json, None)
            }
            PayloadFormat::Row | PayloadFormat::RestHooks => {
                Bytes::copy_from_slice(&self.data.json)
            }
            PayloadFormat::Standard => match &self.standard {
                Some(body) => body.clone(),
                None => self.standard.insert(self.render_standard()).clone(),
            },
        };
        if body.len() <= hook.delivery.max_body {
            body
        } else {
            self.thin(hook)
        }
    }

    /// A message may ask for its payload to be sent bare.
    fn has_hook_meta(&self) -> bool {
        match &self.event.subject {
            Subject::Row { .. } => true,
            Subject::Message(message) => message.send_hook_meta,
        }
    }

    fn rest_hooks(&self, hook: &Hook, data: &[u8], left_out: Option<&[&str]>) -> Bytes {
        let head = RestHook {
            id: &hook.id,
            event: &self.event.name,
            target: hook.target.display(),
        };
        let mut body = Vec::with_capacity(data.len() + 160);
        body.extend_from_slice(br#"{"hook":"#);
        put(&mut body, &head);
        body.extend_from_slice(br#","data":"#);
        body.extend_from_slice(data);
        put_field(&mut body, "left_out", left_out);
        body.push(b'}');
        body.into()
    }

    fn render_standard(&self) -> Bytes {
        let old = match self.event.change().map(|change| &change.row) {
            Some(RowChange::Update { old, .. }) => {
                old.image().map(|image| Row::render(self.event, image))
            }
            // What is known of a deleted row is its data already.
            Some(RowChange::Insert { .. } | RowChange::Delete { .. }) | None => None,
        };
        let old = old.map_or(b"null".to_vec(), |old| old.json);
        self.standard_body(&self.data.json, &old, None)
    }

    fn standard_body(&self, data: &[u8], old: &[u8], left_out: Option<&[&str]>) -> Bytes {
        let event = self.event;
        let mut body = Vec::with_capacity(data.len() + old.len() + 400);
        body.extend_from_slice(br#"{"type":"#);
        put(&mut body, &*event.name);
        body.extend_from_slice(br#","timestamp":"#);
        put(&mut body, &timestamp(event.commit_time));
        body.extend_from_slice(br#","data":"#);
        body.extend_from_slice(data);
        body.extend_from_slice(br#","old":"#);
        body.extend_from_slice(old);
        put_field(&mut body, "changed", Some(event.changed_names()));
        put_field(&mut body, "unchanged", Some(&self.data.unchanged));
        let change = event.change();
        let table = change.map(|change| {
            let relation = &change.relation;
            format!("{}.{}", relation.schema, relation.name)
        });
        put_field(&mut body, "table", Some(table));
        let operation = change.map(|change| operation(&change.row));
        put_field(&mut body, "op", Some(operation));
        put_field(&mut body, "owner", Some(event.owner.as_deref()));
        let position = Position {
            lsn: event.position.commit_lsn.to_string(),
            index: event.position.index,
        };
        put_field(&mut body, "position", Some(position));
        put_field(&mut body, "left_out", left_out);
        body.push(b'}');
        body.into()
    }

    fn thin(&self, hook: &Hook) -> Bytes {
        let (key, left_out) = match self.event.change() {
            Some(change) => self.thin_row(change),
            None => (b"null".to_vec(), vec!["data"]),
        };
        match hook.delivery.payload {
            PayloadFormat::RestHooks => self.rest_hooks(hook, &key, Some(&left_out)),
            PayloadFormat::Standard => self.standard_body(&key, b"null", Some(&left_out)),
            PayloadFormat::Row => {
                // An object that is still open, with the fields of the key.
                let mut body = match key.strip_suffix(b"}") {
                    Some(open) => open.to_vec(),
                    None => b"{".to_vec(),
                };
                let first = body.len() <= 1;
                put_field(&mut body, "left_out", Some(&left_out));
                if first {
                    body.remove(1);
                }
                body.push(b'}');
                body.into()
            }
        }
    }

    /// The key of the row as an object, and the columns that are not in it.
    fn thin_row(&self, change: &Change) -> (Vec<u8>, Vec<&str>) {
        let mut key = Vec::new();
        if let Some(image) = change.shown() {
            change.relation.write_key(image.tuple(), &mut key);
        }
        let shown = self.event.shown_columns();
        let left_out = shown
            .into_iter()
            .filter(|(at, _)| !change.relation.key.contains(at))
            .map(|(_, name)| name)
            .collect();
        (key, left_out)
    }
}

/// What expressions may look at: the row after and before, as a payload shows it, or the payload of a message.
pub fn values(event: &Event) -> (Value, Value) {
    let parse = |json: &[u8]| serde_json::from_slice(json).unwrap_or_default();
    match &event.subject {
        Subject::Row { change, .. } => {
            let value = |image: Option<Image<'_>>| {
                image.map_or(Value::Null, |image| parse(&Row::render(event, image).json))
            };
            (
                value(change.after().map(Image::Whole)),
                value(change.before()),
            )
        }
        Subject::Message(message) => (parse(message.payload.get().as_bytes()), Value::Null),
    }
}

impl Row {
    fn of(json: &[u8]) -> Self {
        Self {
            json: json.to_vec(),
            unchanged: Vec::new(),
        }
    }

    fn render(event: &Event, image: Image<'_>) -> Self {
        let Subject::Row { change, columns } = &event.subject else {
            return Self::of(b"null");
        };
        let relation = &change.relation;
        let mut json = Vec::with_capacity(256);
        let key_columns;
        let show = match image {
            Image::Whole(_) => columns,
            Image::Key(_) => {
                let known = event.shown_columns().into_iter();
                let known = known.filter(|(at, _)| {
                    relation
                        .columns
                        .get(*at)
                        .is_some_and(|column| column.identity_key)
                });
                key_columns = Columns::Only(known.map(|(_, name)| name.to_owned()).collect());
                &key_columns
            }
        };
        let unchanged = relation.write_row(image.tuple(), show, &mut json);
        Self { json, unchanged }
    }
}

#[derive(Serialize)]
struct RestHook<'a> {
    id: &'a HookId,
    event: &'a str,
    target: &'a str,
}

#[derive(Serialize)]
struct Position {
    lsn: String,
    index: u64,
}

/// The word of SQL for what happened.
pub fn operation(row: &RowChange) -> &'static str {
    match row {
        RowChange::Insert { .. } => "insert",
        RowChange::Update { .. } => "update",
        RowChange::Delete { .. } => "delete",
    }
}

/// RFC 3339, in UTC, with microseconds: what Postgres keeps.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

fn put_field(body: &mut Vec<u8>, name: &str, value: Option<impl Serialize>) {
    let Some(value) = value else { return };
    body.push(b',');
    put(body, name);
    body.push(b':');
    put(body, &value);
}

fn put(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(body, value)
        .expect("texts, numbers and lists of them are JSON, and a Vec takes all");
}
