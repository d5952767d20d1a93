//! Renders the bodies that are sent to receivers, with a file for each format. A body is rendered once and kept as
//! bytes, so that all attempts send and sign the same.

mod cloudevents;
pub mod django;
pub mod facts;
mod form;
mod netbox;
mod object;
pub mod outline;
mod parts;
mod python;
mod range;
mod rest_hooks;
mod row;
mod standard;

use std::sync::Arc;

use bytes::Bytes;

pub use self::parts::operation;
use self::{
    object::Object,
    outline::Outline,
    parts::{Parts, full_name},
    row::{Row, Thin, values},
};
use crate::expression::{
    document::{self, Document},
    filter::STEPS,
    template::{self, Template, View},
};
use crate::{
    config::{Delivery, Encoding, PayloadFormat},
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
    /// The row or message, without any template.
    plain: Bytes,
    /// Columns that `plain` lacks because their values are unknown.
    unchanged: Vec<String>,
    /// What templates see of the row, made when it is first needed; they share it.
    rows: Option<Result<Rows, document::Error>>,
    /// What each template made of the row, or why it failed.
    shaped: Vec<(TemplateKey, Result<Bytes, String>)>,
    /// The same of the last hook that has a template of its own. There may be a thousand, and each may make megabytes.
    own: Option<(TemplateKey, Result<Bytes, String>)>,
    /// The data as Django serializes it, made when it is first needed.
    django: Option<(TemplateKey, Vec<u8>)>,
    /// The bodies that are the same for all hooks.
    shared: Vec<((PayloadFormat, TemplateKey), Bytes)>,
    /// What is left of the bodies of each format when the row is forgotten.
    outlines: Vec<((PayloadFormat, Encoding), Arc<Outline>)>,
}

/// Tells templates apart while an event is rendered; 0 stands for none.
type TemplateKey = usize;

impl<'a> Renderer<'a> {
    /// Renders what all bodies of the event have in common.
    pub fn new(event: &'a Event) -> Self {
        let Row {
            json, unchanged, ..
        } = Row::of_event(event);
        Self {
            event,
            plain: json.into(),
            unchanged,
            rows: None,
            shaped: Vec::new(),
            own: None,
            django: None,
            shared: Vec::new(),
            outlines: Vec::new(),
        }
    }

    /// Why the template that makes the data of `hook` failed, if it did. Its body is thin then.
    pub fn flaw(&mut self, hook: &Hook) -> Option<String> {
        self.data(hook).err()
    }

    /// An estimate of the bytes of the body for `hook`. It is rarely too low.
    pub fn expected(&self, hook: &Hook) -> usize {
        self.plain.len().min(hook.delivery.max_body) + ENVELOPE
    }

    /// The body for `hook`. One that would be too large is replaced by a thin one, which holds the key and the names of
    /// what was left out.
    pub fn render(&mut self, hook: &Hook) -> Bytes {
        self.render_within(hook, &mut { STEPS })
    }

    /// The body for `hook`. A template of its own takes at most `allowance` steps; what it takes is taken from that.
    pub fn render_within(&mut self, hook: &Hook, allowance: &mut u64) -> Bytes {
        if let Ok((key, data)) = self.data_within(hook, allowance) {
            let body = encoded(hook, self.render_whole(hook, key, &data));
            if body.len() <= hook.delivery.max_body {
                return body;
            }
        }
        self.render_thin(hook)
    }

    /// The body for `hook` with the key of the row alone, and the names of what was left out.
    pub fn render_thin(&self, hook: &Hook) -> Bytes {
        let thin = self.thin(hook.delivery.payload);
        let parts = Parts {
            data: &thin.key,
            old: b"null",
            unchanged: &self.unchanged,
            left_out: Some(&thin.left_out),
        };
        encoded(hook, format_body(self.event, hook, &parts))
    }

    /// What the body for `hook` is made anew from when the row is forgotten.
    pub fn outline(&mut self, hook: &Hook) -> Arc<Outline> {
        let (payload, encoding) = (hook.delivery.payload, hook.delivery.content.encoding);
        let mut known = self.outlines.iter();
        if let Some((_, outline)) = known.find(|(of, _)| *of == (payload, encoding)) {
            return Arc::clone(outline);
        }
        let Thin { key, left_out } = self.thin(payload);
        let columns = self.event.change().map(|change| &change.relation);
        let columns = columns.into_iter().flat_map(|relation| {
            let columns = relation.key.iter();
            columns.filter_map(|at| Some(relation.columns.get(*at)?.name.as_str()))
        });
        let columns: Vec<&str> = columns.collect();
        let is_bare = is_bare(self.event);
        let outline = Outline::new(payload, encoding, is_bare, key, &columns, &left_out);
        let outline = Arc::new(outline);
        let kept = Arc::clone(&outline);
        self.outlines.push(((payload, encoding), kept));
        outline
    }

    fn thin(&self, payload: PayloadFormat) -> Thin<'a> {
        let thin = Thin::of_event(self.event);
        match payload {
            PayloadFormat::Django => Thin {
                key: django::thin(self.event),
                ..thin
            },
            _ => thin,
        }
    }

    /// What is sent of the row or message: itself, or what a template makes of it.
    fn data(&mut self, hook: &Hook) -> Result<(TemplateKey, Bytes), String> {
        self.data_within(hook, &mut { STEPS })
    }

    /// The same, where a template of the hook's own takes at most `allowance` steps. What it takes is taken from that.
    fn data_within(
        &mut self,
        hook: &Hook,
        allowance: &mut u64,
    ) -> Result<(TemplateKey, Bytes), String> {
        let Some(template) = template_for(self.event, hook) else {
            return Ok((0, self.plain.clone()));
        };
        let key = std::ptr::from_ref(template).addr();
        let mut known = self.own.iter().chain(&self.shaped);
        if let Some((_, shaped)) = known.find(|(known, _)| *known == key) {
            return shaped.clone().map(|data| (key, data));
        }
        let is_own = hook.delivery.template_is_own;
        let mut unlimited = STEPS;
        let allowance = if is_own { allowance } else { &mut unlimited };
        let rows = self
            .rows
            .get_or_insert_with(|| Rows::of(self.event, &self.plain));
        let shaped = shaped(self.event, template, rows, allowance);
        let shaped = shaped.map(Bytes::from);
        let shaped = shaped.map_err(|error| format!("the template failed: {error}"));
        match is_own {
            true => self.own = Some((key, shaped.clone())),
            false => self.shaped.push((key, shaped.clone())),
        }
        shaped.map(|data| (key, data))
    }

    fn render_whole(&mut self, hook: &Hook, key: TemplateKey, data: &[u8]) -> Bytes {
        let payload = hook.delivery.payload;
        let shared = self.shared.iter();
        if let Some((_, body)) = shared.clone().find(|(known, _)| *known == (payload, key)) {
            return body.clone();
        }
        let old = match payload {
            PayloadFormat::Standard | PayloadFormat::Netbox(_) => Row::before_update(self.event),
            PayloadFormat::RestHooks
            | PayloadFormat::Django
            | PayloadFormat::Cloudevents
            | PayloadFormat::Row => Row::default(),
        };
        if payload == PayloadFormat::Django && self.django.as_ref().is_none_or(|(of, _)| *of != key)
        {
            self.django = Some((key, django::data(self.event, data)));
        }
        let data = match (&self.django, payload) {
            (Some((_, django)), PayloadFormat::Django) => django,
            _ => data,
        };
        let parts = Parts {
            data,
            old: &old.json,
            unchanged: &self.unchanged,
            left_out: None,
        };
        let body = format_body(self.event, hook, &parts);
        let is_own = self.own.as_ref().is_some_and(|(own, _)| *own == key);
        if !is_own && !matches!(payload, PayloadFormat::RestHooks | PayloadFormat::Django) {
            self.shared.push(((payload, key), body.clone()));
        }
        body
    }
}

/// The body as it is sent. It is what is signed, too.
fn encoded(hook: &Hook, body: Bytes) -> Bytes {
    match hook.delivery.content.encoding {
        Encoding::Json => body,
        Encoding::Form => form::encode(&body),
    }
}

/// The content type of the requests of a hook with these settings.
pub fn content_type(delivery: &Delivery) -> &str {
    let content = &delivery.content;
    match (&content.content_type, content.encoding) {
        (Some(own), _) => own,
        (None, Encoding::Form) => form::CONTENT_TYPE,
        (None, Encoding::Json) => delivery.payload.content_type(),
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
        PayloadFormat::Netbox(version) => netbox::render(event, parts, version),
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

/// The template that makes the data for `hook`: its own, or else that of the table, or else that of all tables.
fn template_for<'b>(event: &'b Event, hook: &'b Hook) -> Option<&'b Template> {
    let Subject::Row { change, shape, .. } = &event.subject else {
        return None;
    };
    // A template makes something of a row, and after TRUNCATE there is none.
    change.shown()?;
    let delivery = &hook.delivery;
    let of_hook = delivery.template.as_deref();
    match delivery.template_is_own {
        true => of_hook,
        false => shape.template().or(of_hook),
    }
}

/// What templates see of a row.
#[derive(Debug)]
struct Rows {
    data: Arc<Document>,
    new: Arc<Document>,
    old: Arc<Document>,
}

impl Rows {
    /// `data` is what is sent of the row without a template.
    ///
    /// # Errors
    /// When the row is not JSON.
    fn of(event: &Event, data: &[u8]) -> Result<Self, document::Error> {
        let (new, old) = values(event, &|_| true);
        Ok(Self {
            data: Arc::new(Document::parse(String::from_utf8_lossy(data))?),
            new: Arc::new(Document::parse(new)?),
            old: Arc::new(Document::parse(old)?),
        })
    }
}

/// The output of a template that takes at most `allowance` steps.
fn shaped(
    event: &Event,
    template: &Template,
    rows: &Result<Rows, document::Error>,
    allowance: &mut u64,
) -> Result<Vec<u8>, template::Error> {
    let rows = rows.as_ref().map_err(Clone::clone)?;
    let change = event.change();
    let changed = event.changed();
    let view = View {
        data: Arc::clone(&rows.data),
        new: Arc::clone(&rows.new),
        old: Arc::clone(&rows.old),
        changed: changed.map(|all| all.iter().map(|column| column.column).collect()),
        event: &event.name,
        owner: event.owner.as_deref(),
        table: change.map(full_name).unwrap_or_default(),
        op: change
            .map(|change| operation(&change.row))
            .unwrap_or_default(),
        timestamp: timestamp(event.commit_time),
    };
    template.render_within(view, allowance)
}

impl PayloadFormat {
    /// The `Content-Type` of bodies in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Cloudevents => "application/cloudevents+json",
            Self::RestHooks | Self::Django | Self::Standard | Self::Netbox(_) | Self::Row => {
                "application/json"
            }
        }
    }
}
