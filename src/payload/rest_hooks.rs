//! `rest-hooks`: `{"hook": {"id", "event", "target"}, "data": ROW}`

use bytes::Bytes;
use serde::Serialize;

use super::object::Object;
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
pub(super) fn render(event: &Event, hook: &Hook, data: &[u8], left_out: Option<&[&str]>) -> Bytes {
    let mut body = Object::with_capacity(data.len() + 160);
    let head = Head {
        id: &hook.id,
        event: &event.name,
        target: hook.target.display(),
    };
    body.field("hook", &head);
    body.raw("data", data);
    body.some("left_out", left_out);
    body.finish()
}
