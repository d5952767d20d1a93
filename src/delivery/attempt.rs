//! The record of one request of a delivery.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{lane::Place, whose::Whose};
use crate::{event::Position, hook::Hook, send::answer::Answer};

/// One request of a delivery, and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// The hook, as it was when the request was made.
    pub hook: Arc<Hook>,
    /// The delivery's id.
    pub delivery: Arc<str>,
    /// Where the delivery was sent in an array, the `webhook-id` of that array.
    pub batch: Option<Arc<str>>,
    /// The name of the event.
    pub event: Arc<str>,
    /// Where the event stands among all events.
    pub position: Position,
    /// When the row was committed.
    pub commit_time: SystemTime,
    /// Whose the delivery is.
    pub whose: Whose,
    /// What the delivery is about, as numbers; see [`about`](super::about).
    pub about: Arc<[i64]>,
    /// The lanes that the delivery stands in.
    pub place: Place,
    /// The content type of the request.
    pub content_type: Arc<str>,
    /// The number of the attempt among those of the delivery, from 1.
    pub number: u32,
    /// When the request was begun.
    pub started_at: SystemTime,
    /// The time from there to the end of the answer.
    pub took: Duration,
    /// Whether the endpoint has taken the delivery.
    pub delivered: bool,
    /// What was sent of the delivery; `None` where it is not kept.
    pub body: Option<Bytes>,
    /// What came back.
    pub answer: Answer,
}
