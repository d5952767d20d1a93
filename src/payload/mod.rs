//! The bodies that receivers get, a file for each dialect. A body is rendered once and kept as bytes: attempts and
//! signatures are over the same.

mod object;
mod rest_hooks;
mod row;
mod shape;
mod standard;
pub mod template;

use std::time::SystemTime;

use bytes::Bytes;

use self::{
    object::Object,
    row::{Row, Thin},
    template::View,
};
pub use self::{row::values, shape::Shape};
use crate::{
    change::{Change, RowChange},
    config::PayloadFormat,
    event::{Event, Subject},
    hook::Hook,
};

/// Renders one event for any number of hooks; what they share is rendered once.
#[derive(Debug)]
pub struct Renderer<'a> {
    event: &'a Event,
    data: Row,
    /// Why the table's template made nothing of the row.
    flaw: Option<String>,
    standard: Option<Bytes>,
}

impl<'a> Renderer<'a> {
    /// Renders what is common to all payloads.
    pub fn new(event: &'a Event) -> Self {
        let mut data = Row::of_event(event);
        let shaped = shaped(event, &data.json);
        let flaw = match shaped {
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
            standard: None,
        }
    }

    /// Why bodies are thin although they are not too large: the table has a template, which failed.
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// The body for `hook`; a thin one, of the key and the names of what was left out, when it would be too large.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
        if self.flaw.is_some() {
            return self.render_thin(hook);
        }
        let (event, data) = (self.event, &self.data);
        let body = match hook.delivery.payload {
            PayloadFormat::RestHooks if self.has_hook_meta() => {
                rest_hooks::render(event, hook, &data.json, None)
            }
            PayloadFormat::Row | PayloadFormat::RestHooks => Bytes::copy_from_slice(&data.json),
            PayloadFormat::Standard => {
                let body = self.standard.get_or_insert_with(|| {
                    let old = standard::old(event);
                    standard::render(event, &data.json, &data.unchanged, &old, None)
                });
                body.clone()
            }
        };
        if body.len() <= hook.delivery.max_body {
            body
        } else {
            self.render_thin(hook)
        }
    }

    /// A message may ask for its payload to be sent bare.
    fn has_hook_meta(&self) -> bool {
        match &self.event.subject {
            Subject::Row { .. } => true,
            Subject::Message(message) => message.send_hook_meta,
        }
    }

    fn render_thin(&self, hook: &Hook) -> Bytes {
        let (event, thin) = (self.event, Thin::of_event(self.event));
        let left_out = Some(&thin.left_out[..]);
        match hook.delivery.payload {
            PayloadFormat::RestHooks => rest_hooks::render(event, hook, &thin.key, left_out),
            PayloadFormat::Standard => {
                let unchanged = &self.data.unchanged;
                standard::render(event, &thin.key, unchanged, b"null", left_out)
            }
            PayloadFormat::Row => {
                let mut body = Object::reopen(thin.key);
                body.some("left_out", left_out);
                body.finish()
            }
        }
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
        "application/json"
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
