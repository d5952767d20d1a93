//! The bodies that receivers get, a file for each dialect. A body is rendered once and kept as bytes: attempts and
//! signatures are over the same.

mod cloudevents;
pub mod django;
mod facts;
mod netbox;
mod object;
mod python;
mod rest_hooks;
mod row;
mod standard;

use std::time::SystemTime;

use bytes::Bytes;

pub use self::{facts::facts, row::values};
use self::{
    object::Object,
    row::{Row, Thin},
};
use crate::expression::template::{self, View};
use crate::{
    change::{Change, RowChange},
    config::PayloadFormat,
    event::{Event, Subject},
    hook::Hook,
};

/// What stands around the row in a body, and a good deal more of it.
const ENVELOPE: usize = 384;

/// Renders one event for any number of hooks; what they share is rendered once.
#[derive(Debug)]
pub struct Renderer<'a> {
    event: &'a Event,
    data: Row,
    /// Why the table's template made nothing of the row.
    flaw: Option<String>,
    /// `data` in the words of Django, once it is needed.
    django: Option<Vec<u8>>,
    /// Bodies that are the same for all hooks.
    shared: Vec<(PayloadFormat, Bytes)>,
}

/// What bodies are made of, in any dialect.
struct Parts<'a> {
    /// What the event tells of, as JSON.
    data: &'a [u8],
    /// The row before an update; else null.
    old: &'a [u8],
    /// Columns that `data` lacks because nobody knows them.
    unchanged: &'a [String],
    /// Columns that `data` lacks because the body would be too large.
    left_out: Option<&'a [&'a str]>,
}

impl<'a> Renderer<'a> {
    /// Renders what is common to all payloads.
    pub fn new(event: &'a Event) -> Self {
        let mut data = Row::of_event(event);
        let flaw = match shaped(event, &data.json) {
            None => None,
            Some(Ok(json)) => {
                data.json = json;
                None
            }
            Some(Err(error)) => Some(format!("the template failed: {error}")),
        };
        Self {
            event,
            data,
            flaw,
            django: None,
            shared: Vec::new(),
        }
    }

    /// Why bodies are thin although they are not too large: the table has a template, which failed.
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// How many bytes the body for `hook` will have, or a few more; in rare cases there are more than this.
    pub fn expected(&self, hook: &Hook) -> usize {
        self.data.json.len().min(hook.delivery.max_body) + ENVELOPE
    }

    /// The body for `hook`; a thin one, of the key and the names of what was left out, when it would be too large.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
        if self.flaw.is_none() {
            let body = self.render_whole(hook);
            if body.len() <= hook.delivery.max_body {
                return body;
            }
        }
        let thin = Thin::of_event(self.event);
        let key = match hook.delivery.payload {
            PayloadFormat::Django => django::thin(self.event),
            _ => thin.key,
        };
        let parts = Parts {
            data: &key,
            old: b"null",
            unchanged: &self.data.unchanged,
            left_out: Some(&thin.left_out),
        };
        dialect(self.event, hook, &parts)
    }

    fn render_whole(&mut self, hook: &Hook) -> Bytes {
        let payload = hook.delivery.payload;
        if let Some((_, body)) = self.shared.iter().find(|(format, _)| *format == payload) {
            return body.clone();
        }
        let old = match payload {
            PayloadFormat::Standard | PayloadFormat::Netbox => Row::before_update(self.event),
            PayloadFormat::RestHooks
            | PayloadFormat::Django
            | PayloadFormat::Cloudevents
            | PayloadFormat::Row => Row::default(),
        };
        let data = match payload {
            PayloadFormat::Django => self
                .django
                .get_or_insert_with(|| django::data(self.event, &self.data.json)),
            _ => &self.data.json,
        };
        let parts = Parts {
            data,
            old: &old.json,
            unchanged: &self.data.unchanged,
            left_out: None,
        };
        let body = dialect(self.event, hook, &parts);
        if !matches!(payload, PayloadFormat::RestHooks | PayloadFormat::Django) {
            self.shared.push((payload, body.clone()));
        }
        body
    }
}

/// The body in the dialect of `hook`.
fn dialect(event: &Event, hook: &Hook, parts: &Parts<'_>) -> Bytes {
    match hook.delivery.payload {
        PayloadFormat::RestHooks | PayloadFormat::Django
            if is_bare(event) && parts.left_out.is_none() =>
        {
            Bytes::copy_from_slice(parts.data)
        }
        PayloadFormat::RestHooks => rest_hooks::render(event, hook, parts),
        PayloadFormat::Django => django::render(event, hook, parts),
        PayloadFormat::Standard => standard::render(event, parts),
        PayloadFormat::Cloudevents => cloudevents::render(event, parts),
        PayloadFormat::Netbox => netbox::render(event, parts),
        PayloadFormat::Row => match parts.left_out {
            None => Bytes::copy_from_slice(parts.data),
            Some(left_out) => {
                let mut body = Object::reopen(parts.data.to_vec());
                body.field("left_out", left_out);
                body.finish()
            }
        },
    }
}

/// A message may ask for its payload to be sent without the hook.
fn is_bare(event: &Event) -> bool {
    match &event.subject {
        Subject::Row { .. } => false,
        Subject::Message(message) => !message.send_hook_meta,
    }
}

/// What the template of the event's table makes of it; `None` where there is none.
fn shaped(event: &Event, data: &[u8]) -> Option<Result<Vec<u8>, template::Error>> {
    let Subject::Row { change, shape, .. } = &event.subject else {
        return None;
    };
    let template = shape.template()?;
    let (new, old) = values(event);
    let changed = event.changed();
    let view = View {
        data: serde_json::from_slice(data).unwrap_or_default(),
        new,
        old,
        changed: changed.map(|all| all.iter().map(|column| column.column).collect()),
        event: &event.name,
        owner: event.owner.as_deref(),
        table: full_name(change),
        op: operation(&change.row),
        timestamp: timestamp(event.commit_time),
    };
    Some(template.render(&view))
}

/// The table of a change, with its schema.
fn full_name(change: &Change) -> String {
    let relation = &change.relation;
    format!("{}.{}", relation.schema, relation.name)
}

impl PayloadFormat {
    /// What bodies of this shape are sent as.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Cloudevents => "application/cloudevents+json",
            Self::RestHooks | Self::Django | Self::Standard | Self::Netbox | Self::Row => {
                "application/json"
            }
        }
    }
}

/// The word of SQL for what happened, or the action that was fired.
pub fn operation(row: &RowChange) -> &str {
    match row {
        RowChange::Insert { .. } => "insert",
        RowChange::Update { .. } => "update",
        RowChange::Delete { .. } => "delete",
        RowChange::Fired { action, .. } => action,
    }
}

/// RFC 3339, in UTC, with microseconds: what Postgres keeps.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
