//! A test: one request to a hook's target, made now, with what came of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Office, Result, Who, deliveries::Content};
use crate::{
    delivery::{
        answer::Answer,
        batch::Load,
        send::{Request, Sender},
    },
    event::{Event, Position, Subject},
    message::Message,
    payload::{self, Renderer},
    postgres::Lsn,
};

/// The event that a test sends. Nobody can hear it otherwise.
pub const TEST_EVENT: &str = "hook.test";

/// What came of a test.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Tested {
    /// Did the target accept it?
    pub delivered: bool,
    /// The answer in a few words: `200`, `timed out after 15s`.
    pub answer: String,
    /// The status; null: there was no answer.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// The `webhook-id` of the test.
    pub id: String,
    /// What was sent.
    pub request_body: Content,
    /// The beginning of what was answered.
    pub response_body: Option<Content>,
}

impl Office {
    /// Sends a test to a hook, made and signed as its deliveries are. Nothing is retried, and the hook is not judged by it.
    ///
    /// # Errors
    /// When `who` has no such hook, or it cannot be used.
    pub async fn test_hook(&self, who: &Who, id: &str) -> Result<Tested> {
        let hook = self.live_hook(who, id).await?;
        let now = SystemTime::now();
        let payload = json!({"test": true, "sent_at": payload::timestamp(now)});
        let event = Event {
            name: TEST_EVENT.into(),
            subject: Subject::Message(Arc::new(Message::own(TEST_EVENT, payload))),
            owner: hook.owner.clone(),
            position: Position {
                commit_lsn: Lsn::ZERO,
                index: 0,
            },
            commit_time: now,
        };
        let body = Renderer::new(&event).render(&hook);
        let id = format!("msg_test_{:032x}", rand::random::<u128>());
        let content_type = hook.delivery.payload.content_type();
        let load = Load::alone(hook.delivery.batch, &id, &body, content_type);
        let sender = Sender::new(&self.config.delivery)?;
        let started = std::time::Instant::now();
        let answer = sender
            .send(Request {
                target: &hook.target,
                id: &load.id,
                batch: load.members.as_deref(),
                body: load.body.clone(),
                content_type: &load.content_type,
                at: now,
                timeout: hook.delivery.timeout,
            })
            .await;
        Ok(Tested::of(id, &answer, started.elapsed(), &load.body))
    }
}

impl Tested {
    fn of(id: String, answer: &Answer, took: Duration, sent: &[u8]) -> Self {
        let (status, said) = match answer {
            Answer::Status { code, body, .. } => (Some(*code), Some(Content::of(body))),
            Answer::Failed(_) => (None, None),
        };
        Self {
            delivered: status.is_some_and(|status| (200..300).contains(&status)),
            answer: answer.to_string(),
            status,
            took_ms: took.as_secs_f64() * 1000.0,
            id,
            request_body: Content::of(sent),
            response_body: said,
        }
    }
}
