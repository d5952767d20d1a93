//! Test requests: one that a person sends to a hook, and one that a target has to accept before a hook is made.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use url::Url;
use utoipa::ToSchema;

use super::{Actor, Admin, Error, Result, deliveries::Content};
use crate::{
    act::what,
    config::{
        Compression, Delivery, Verify,
        unfit::{Blame, Unfit},
    },
    delivery::load::Load,
    event::{Event, Position, Subject},
    hook::Hook,
    message::Message,
    payload::{Renderer, content_type},
    postgres::{Lsn, equality::Equality, time::timestamp},
    secret::Secret,
    send::{Request, Sender, answer::Answer, target::Target},
};

/// The event that a test sends. No hook gets it otherwise.
pub const TEST_EVENT: &str = "hook.test";

/// The header with a secret that a target has to echo, as in REST Hooks.
const HOOK_SECRET: &str = "x-hook-secret";
/// How long a target may take to answer while a person waits for it.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long resolving the name of a target may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a target answered a test.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TestResult {
    /// Whether the target accepted it.
    pub delivered: bool,
    /// The answer in a few words: `200`, `timed out after 15s`.
    pub answer: String,
    /// The HTTP status; null if there was no response.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// The `webhook-id` of the test.
    pub id: String,
    /// The body of the request.
    pub request_body: Content,
    /// The beginning of the response's body.
    pub response_body: Option<Content>,
}

/// A test that is ready to be sent. It holds no session with the database, however long its target takes.
pub struct Test {
    hook: Hook,
    id: String,
    load: Load,
    at: SystemTime,
}

impl Admin {
    /// Prepares a test of a hook, rendered and signed as its deliveries are, and puts it on record.
    ///
    /// # Errors
    /// When `actor` has no such hook, or it cannot be used.
    pub async fn prepare_test(&self, actor: &Actor, id: &str) -> Result<Test> {
        let hook = self.runtime_hook(actor, id).await?;
        let now = SystemTime::now();
        let payload = json!({"test": true, "sent_at": timestamp(now)});
        let event = Event {
            name: TEST_EVENT.into(),
            subject: Subject::Message(Arc::new(Message::own(TEST_EVENT, payload))),
            owner: hook.owner.clone(),
            position: Position {
                commit_lsn: Lsn::ZERO,
                index: 0,
            },
            commit_time: now,
            owner_equality: Equality::Text,
        };
        let body = Renderer::new(&event).render(&hook);
        let id = format!("msg_test_{:032x}", rand::random::<u128>());
        let mut act = self
            .act(what::HOOK_TESTED)
            .on_hook(hook.id.as_str(), hook.owner.as_deref());
        act.delivery = Some(id.clone());
        // Before it is sent, so that nothing is sent that is not on record.
        self.record(act).await?;
        let content_type = content_type(&hook.delivery);
        let load = Load::of_one(hook.delivery.batch, &id, content_type, &body);
        Ok(Test {
            hook,
            id,
            load,
            at: now,
        })
    }
}

impl Test {
    /// Sends the test. It is not retried, and its outcome does not count towards disabling the hook.
    pub async fn send(self, sender: &Sender) -> TestResult {
        let started = std::time::Instant::now();
        let answer = sender
            .send(Request {
                target: &self.hook.target,
                id: &self.id,
                batch: self.load.members.as_deref(),
                body: self.load.body.clone(),
                content_type: &self.load.content_type,
                compress: self.hook.delivery.compress,
                at: self.at,
                timeout: self.hook.delivery.timeout,
                span: None,
            })
            .await;
        TestResult::of(self.id, &answer, started.elapsed(), &self.load.body)
    }
}

/// Refuses a target that may not be called, by its URL and by what its name resolves to now.
///
/// # Errors
/// When it may not be called.
pub async fn check_target(sender: &Sender, target: &str) -> Result<()> {
    let url = Url::parse(target);
    let url = url.map_err(|error| format!("the target is not a URL: {error}"));
    let url = url.blame("target")?;
    // A name that does not resolve now may do so later. Its addresses are checked again with each request.
    match timeout(RESOLVE_TIMEOUT, sender.check(&url)).await {
        Ok(Err(refusal)) => Ok(Err(refusal).blame("target")?),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// Checks a target as [`check_target`] does, and verifies that it wants to be called, in the way that `[server] verify`
/// asks for. It holds no session with the database meanwhile.
///
/// # Errors
/// When it may not be called, or does not answer as it has to.
pub async fn verify_target(
    sender: &Sender,
    delivery: &Delivery,
    target: &str,
    how: Verify,
) -> Result<()> {
    check_target(sender, target).await?;
    if how == Verify::None {
        return Ok(());
    }
    let invalid = |reason: String| {
        Error::from(Unfit {
            part: Some("target"),
            reason,
        })
    };
    let url = Url::parse(target).map_err(|error| invalid(error.to_string()))?;
    let secret = format!("{:032x}", rand::random::<u128>());
    let echo = Secret::new(secret.as_str());
    let headers = [(HOOK_SECRET, &echo)];
    let headers = match how {
        Verify::SecretEcho => &headers[..],
        Verify::Ping | Verify::None => &[],
    };
    let target = Target::new(&url, None, headers).map_err(|bad| invalid(bad.to_string()))?;
    let body =
        json!({"hook": {"event": TEST_EVENT, "target": target.display()}, "data": {"test": true}});
    let answer = sender
        .send(Request {
            target: &target,
            id: &format!("msg_test_{:032x}", rand::random::<u128>()),
            batch: None,
            body: body.to_string().into(),
            content_type: "application/json",
            compress: Compression::None,
            at: SystemTime::now(),
            timeout: VERIFY_TIMEOUT.min(delivery.timeout),
            span: None,
        })
        .await;
    match &answer {
        Answer::Status {
            code: 200..=299,
            headers,
            ..
        } => match how {
            Verify::SecretEcho
                if headers
                    .get(HOOK_SECRET)
                    .is_none_or(|echo| echo.as_bytes() != secret.as_bytes()) =>
            {
                Err(invalid(format!(
                    "the target did not answer with the {HOOK_SECRET} that it was sent"
                )))
            }
            _ => Ok(()),
        },
        answer => Err(invalid(format!(
            "the target did not accept a test, and has to before a hook is made: {answer}"
        ))),
    }
}

impl TestResult {
    fn of(id: String, answer: &Answer, took: Duration, sent: &[u8]) -> Self {
        let (status, response) = match answer {
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
            response_body: response,
        }
    }
}
