//! A renderer whose panics stay with the body that it was rendering.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    event::Event,
    hook::Hook,
    panics::{Panic, caught_now},
    payload::{Renderer, outline::Outline},
};

/// Renders one event for any number of hooks, whatever becomes of each.
pub(super) struct Guarded<'a> {
    event: &'a Event,
    renderer: Result<Renderer<'a>, Panic>,
}

impl<'a> Guarded<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        Self {
            event,
            renderer: caught_now(|| Renderer::new(event)),
        }
    }

    /// What is rendered.
    pub(super) fn event(&self) -> &'a Event {
        self.event
    }

    /// See [`Renderer::flaw`].
    pub(super) fn flaw(&mut self, hook: &Hook) -> Option<String> {
        self.renderer.as_mut().ok()?.flaw(hook)
    }

    /// See [`Renderer::expected`].
    pub(super) fn expected(&self, hook: &Hook) -> usize {
        let renderer = self.renderer.as_ref();
        renderer.map_or(0, |renderer| renderer.expected(hook))
    }

    /// See [`Renderer::outline`]; `None` after a panic.
    pub(super) fn outline(&mut self, hook: &Hook) -> Option<Arc<Outline>> {
        let renderer = self.renderer.as_mut().ok()?;
        caught_now(|| renderer.outline(hook)).ok()
    }

    /// The body for `hook`, whose own template takes its steps from `allowance`. With a panic, it is as much as can be
    /// told of the row, which goes on record and is not sent.
    pub(super) fn render(&mut self, hook: &Hook, allowance: &mut u64) -> (Bytes, Option<Panic>) {
        let panic = match &mut self.renderer {
            Ok(renderer) => match caught_now(|| renderer.render_within(hook, allowance)) {
                Ok(body) => return (body, None),
                Err(panic) => panic,
            },
            Err(panic) => panic.clone(),
        };
        // What it shares among hooks may be half rendered.
        *self = Self::new(self.event);
        let thin = self.renderer.as_ref().ok();
        let thin = thin.and_then(|renderer| caught_now(|| renderer.render_thin(hook)).ok());
        (thin.unwrap_or(Bytes::from_static(b"null")), Some(panic))
    }
}
