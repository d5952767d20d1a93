//! Renders the bodies that are sent to receivers, with a file for each format. A body is rendered once and kept as
//! bytes, so that all attempts send and sign the same.

mod cloudevents;
pub mod django;
pub mod facts;
mod netbox;
mod object;
mod parts;
mod python;
mod rest_hooks;
mod row;
mod standard;

use bytes::Bytes;

pub use self::parts::operation;
use self::{
    object::Object,
    parts::{Parts, full_name},
    row::{Row, Thin, values},
};
use crate::expression::{
    document::{self, Document},
    template::{self, View},
};
use crate::{
    config::PayloadFormat,
    event::{Event, Subject},
    hook::Hook,
    postgres::time::timestamp,
};

/// An upper estimate of the bytes around the row in a body.
const ENVELOPE: usize = 384;

/// Renders one event for any number of hooks. What they share is rendered once.
#[derive(Debug)]
pub struct Renderer<'a> {
    event: &'a Event,
    data: Row,
    /// Why the table's template failed.
    flaw: Option<String>,
    /// `data` as Django serializes it, made when it is first needed.
    django: Option<Vec<u8>>,
    /// The bodies that are the same for all hooks.
    shared: Vec<(PayloadFormat, Bytes)>,
}

impl<'a> Renderer<'a> {
    /// Renders what all bodies of the event have in common.
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

    /// Why the table's template failed, if it did. All bodies are thin then.
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// An estimate of the bytes of the body for `hook`. It is rarely too low.
    pub fn expected(&self, hook: &Hook) -> usize {
        self.data.json.len().min(hook.delivery.max_body) + ENVELOPE
    }

    /// The body for `hook`. One that would be too large is replaced by a thin one, which holds the key and the names of
    /// what was left out.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
        if self.flaw.is_none() {
            let body = self.render_whole(hook);
            if body.len() <= hook.delivery.max_body {
                return body;
            }
        }
        self.render_thin(hook)
    }

    /// The body for `hook` with the key of the row alone, and the names of what was left out.
    pub fn render_thin(&self, hook: &Hook) -> Bytes {
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
        format_body(self.event, hook, &parts)
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
        let body = format_body(self.event, hook, &parts);
        if !matches!(payload, PayloadFormat::RestHooks | PayloadFormat::Django) {
            self.shared.push((payload, body.clone()));
        }
        body
    }
}

/// The body in the format of `hook`.
fn format_body(event: &Event, hook: &Hook, parts: &Parts<'_>) -> Bytes {
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

/// Does the message ask for its payload to be sent without the `hook` around it?
fn is_bare(event: &Event) -> bool {
    match &event.subject {
        Subject::Row { .. } => false,
        Subject::Message(message) => !message.send_hook_meta,
    }
}

/// The output of the template of the event's table; `None`: the table has no template.
fn shaped(event: &Event, data: &[u8]) -> Option<Result<Vec<u8>, template::Error>> {
    let Subject::Row { change, shape, .. } = &event.subject else {
        return None;
    };
    let template = shape.template()?;
    // A template makes something of a row, and after TRUNCATE there is none.
    change.shown()?;
    let (new, old) = values(event);
    let changed = event.changed();
    let documents = || {
        let data = Document::parse(String::from_utf8_lossy(data))?;
        Ok::<_, document::Error>((data, Document::parse(new)?, Document::parse(old)?))
    };
    let (data, new, old) = match documents() {
        Ok(documents) => documents,
        Err(error) => return Some(Err(error.into())),
    };
    let view = View {
        data,
        new,
        old,
        changed: changed.map(|all| all.iter().map(|column| column.column).collect()),
        event: &event.name,
        owner: event.owner.as_deref(),
        table: full_name(change),
        op: operation(&change.row),
        timestamp: timestamp(event.commit_time),
    };
    Some(template.render(view))
}

impl PayloadFormat {
    /// The `Content-Type` of bodies in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Cloudevents => "application/cloudevents+json",
            Self::RestHooks | Self::Django | Self::Standard | Self::Netbox | Self::Row => {
                "application/json"
            }
        }
    }
}
