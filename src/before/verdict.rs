//! What an endpoint's answer means, and what follows for the transaction. It is decided on values alone.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use crate::send::answer::Answer;

/// The content type by which servo-webhooks wants an event to be cancelled.
const CANCEL_ERROR: &str = "application/vnd.opsani.servo.errors.cancelevent";

/// What becomes of what was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Allowed {
        /// Some hook has not answered, and its silence allows.
        silent: bool,
    },
    /// An endpoint has refused it.
    Refused(Why),
    /// An endpoint has not answered, and its silence refuses.
    Silent(Why),
}

/// Why something does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The event.
    pub event: Arc<str>,
    /// The id of the hook.
    pub hook: Arc<str>,
    /// What its endpoint says, or why it says nothing.
    pub reason: String,
}

impl Why {
    /// As it is told to SQL: in three lines.
    pub(super) fn text(&self) -> String {
        format!("{}\n{}\n{}", self.event, self.hook, self.reason)
    }
}

/// What an endpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It may go on.
    Goes,
    /// It must not, and why, as far as the endpoint says so.
    Refuses(String),
    /// That is no answer, and why.
    Nothing(String),
}

impl Reply {
    /// What an answer means.
    pub(super) fn of(answer: &Answer) -> Self {
        let Answer::Status {
            code,
            headers,
            body,
            ..
        } = answer
        else {
            return Self::Nothing(answer.to_string());
        };
        let said = serde_json::from_slice::<Said>(body);
        let said = said.as_ref();
        match code {
            200..=299 if is(headers, CANCEL_ERROR) => {
                Self::Refuses(reason(said.ok(), String::new()))
            }
            200..=299 => match said {
                Ok(said) if said.cancel == Some(true) => {
                    Self::Refuses(reason(Some(said), String::new()))
                }
                // What breaks off may have been a refusal.
                Err(error) if error.is_eof() && !body.is_empty() && is(headers, JSON) => {
                    Self::Nothing(format!("{code}, with JSON that breaks off"))
                }
                Ok(_) | Err(_) => Self::Goes,
            },
            403 | 409 | 422 => {
                let text = match is(headers, "text/plain") {
                    true => line(&String::from_utf8_lossy(body)),
                    false => String::new(),
                };
                Self::Refuses(reason(said.ok(), text))
            }
            code => Self::Nothing(code.to_string()),
        }
    }
}

const JSON: &str = "application/json";

/// What the body of an answer may say.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    cancel: Option<bool>,
    #[serde(default)]
    reason: Option<String>,
}

/// The reason that an endpoint gives.
fn reason(said: Option<&Said>, otherwise: String) -> String {
    let said = said.and_then(|said| said.reason.as_deref());
    said.map_or(otherwise, line)
}

/// The text as one line, without characters that a terminal would obey.
fn line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Whether the content type begins so, in any case.
fn is(headers: &HeaderMap, expected: &str) -> bool {
    let found = headers.get(CONTENT_TYPE);
    let found = found.and_then(|value| value.to_str().ok());
    found.is_some_and(|found| found.trim().to_ascii_lowercase().starts_with(expected))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::send::answer::Failure;

    fn answer(code: u16, content_type: &'static str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Answer::Status {
            code,
            retry_after: None,
            headers,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn an_answer_goes_on_refuses_or_is_none() {
        let refuses = |reason: &str| Reply::Refuses(reason.to_owned());
        let nothing = |why: &str| Reply::Nothing(why.to_owned());
        let servo = "application/vnd.opsani.servo.errors.CancelEventError+json";
        for (code, content_type, body, expected) in [
            (200, "", "", Reply::Goes),
            (204, "", "", Reply::Goes),
            (200, "text/plain", "ok", Reply::Goes),
            (200, JSON, r#"{"ok": true}"#, Reply::Goes),
            (200, JSON, r#"{"cancel": false}"#, Reply::Goes),
            (200, JSON, "[1]", Reply::Goes),
            (200, JSON, r#"{"cancel": true}"#, refuses("")),
            (
                202,
                "",
                r#"{"cancel": true, "reason": "on\nloan\u001b"}"#,
                refuses("on loan"),
            ),
            (200, servo, r#"{"reason": "busy"}"#, refuses("busy")),
            (200, servo, "", refuses("")),
            (
                200,
                JSON,
                r#"{"cancel": true, "reason": "cut o"#,
                nothing("200, with JSON that breaks off"),
            ),
            (403, "", "", refuses("")),
            (409, JSON, r#"{"reason": "on loan"}"#, refuses("on loan")),
            (422, "text/plain", "on loan\n", refuses("on loan")),
            (422, "text/html", "<p>no</p>", refuses("")),
            (404, "", "", nothing("404")),
            (500, "", "", nothing("500")),
            (302, "", "", nothing("302")),
        ] {
            let found = Reply::of(&answer(code, content_type, body));
            assert_eq!(found, expected, "{code} {content_type} {body}");
        }
        let closed = Answer::Failed(Failure::Closed);
        assert!(matches!(Reply::of(&closed), Reply::Nothing(_)));
    }
}
