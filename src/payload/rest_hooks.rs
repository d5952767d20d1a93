//! `rest-hooks`: `{"hook": {"id", "event", "target"}, "data": ROW}`, with `unchanged` where values are unknown.

use bytes::Bytes;
use serde::Serialize;

use super::{object::Object, parts::Parts};
use crate::{
    event::Event,
    hook::{Hook, HookId},
};

/// The `hook` of a body.
#[derive(Serialize)]
struct Head<'a> {
    id: &'a HookId,
    event: &'a str,
    target: &'a str,
}

/// The body for one hook.
pub(super) fn render(event: &Event, hook: &Hook, parts: &Parts<'_>) -> Bytes {
    let mut body = Object::with_capacity(parts.data.len() + 160);
    let head = Head {
        id: &hook.id,
        event: &event.name,
        target: hook.target.display(),
    };
    body.field("hook", &head);
    body.raw("data", parts.data);
    let unknown = Some(parts.unchanged).filter(|names| !names.is_empty());
    body.some("unchanged", unknown);
    body.some("left_out", parts.left_out);
    body.finish()
}
