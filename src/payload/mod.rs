//! The bodies that receivers get, a file for each dialect. A body is rendered once and kept as bytes: attempts and
//! signatures are over the same.

mod object;
mod rest_hooks;
mod row;
mod standard;

use std::time::SystemTime;

use bytes::Bytes;

pub use self::row::values;
use self::{
    object::Object,
    row::{Row, Thin},
};
use crate::{
    change::RowChange,
    config::PayloadFormat,
    event::{Event, Subject},
    hook::Hook,
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

impl<'a> Renderer<'a> {
    /// Renders what is common to all payloads.
    pub fn new(event: &'a Event) -> Self {
        Self {
            event,
            data: Row::of_event(event),
            standard: None,
        }
    }

    /// The body for `hook`; a thin one, of the key and the names of what was left out, when it would be too large.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
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
