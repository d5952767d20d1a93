//! One span: an attempt, or a delivery's part in one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    hook::Hook,
    send::{answer::Answer, traceparent},
};

/// One attempt of a delivery, or of an array of them.
#[derive(Debug)]
pub(super) struct Span {
    /// The trace that it belongs to, and its own id there.
    pub(super) context: traceparent::Context,
    /// Where the delivery was sent in an array, the span of that request.
    pub(super) request: Option<traceparent::Context>,
    /// The hook, as it was when the request was made.
    pub(super) hook: Arc<Hook>,
    /// The `webhook-id`.
    pub(super) id: Arc<str>,
    /// What was sent.
    pub(super) of: Of,
    /// When the request was begun.
    pub(super) started_at: SystemTime,
    /// The time from there to the end of the answer.
    pub(super) took: Duration,
    /// The status, if there was an answer.
    pub(super) status: Option<u16>,
    /// The kind of the error; `None` for a success.
    pub(super) error: Option<Arc<str>>,
}

/// What was sent.
#[derive(Debug)]
pub(super) enum Of {
    /// A single delivery.
    Delivery {
        /// The event's name.
        event: Arc<str>,
        /// Which attempt of the delivery, from 1.
        number: u32,
    },
    /// An array of this many deliveries.
    Array(usize),
}

/// A request that has ended, and what came of it.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The hook, as it was when the request was made.
    pub hook: &'a Arc<Hook>,
    /// The answer, or why there was none.
    pub answer: &'a Answer,
    /// Whether the endpoint has taken what was sent.
    pub delivered: bool,
    /// When the request was begun.
    pub started_at: SystemTime,
    /// The time from there to the end of the answer.
    pub took: Duration,
}

impl Ended<'_> {
    /// The span of the request, or of one of the deliveries that it carried.
    pub(super) fn span(
        &self,
        context: traceparent::Context,
        request: Option<traceparent::Context>,
        id: &Arc<str>,
        of: Of,
    ) -> Span {
        let (status, error) = match self.answer {
            Answer::Status { code, .. } => (Some(*code), code.to_string().into()),
            Answer::Failed(failure) => (None, failure.kind().into()),
        };
        Span {
            context,
            request,
            hook: Arc::clone(self.hook),
            id: Arc::clone(id),
            of,
            started_at: self.started_at,
            took: self.took,
            status,
            error: (!self.delivered).then_some(error),
        }
    }
}
