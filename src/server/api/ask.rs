//! `/api/ask`: asks hooks before something is done.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    before::{Verdict, Why},
    server::{
        access::Caller,
        problem::Problem,
        request::{Json, OptionalJson, Path},
    },
};

/// What the hooks of an event say.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asked {
    /// Whether it may be done.
    allowed: bool,
    /// Whether a hook has not answered, so that its silence has decided.
    silent: bool,
    /// The hook that refuses, or whose silence does; null where it is allowed.
    hook: Option<String>,
    /// Why, as far as the hook says so.
    reason: Option<String>,
}

/// Ask the hooks of an event with `before = "custom"`, and wait for what they say. The body is the payload.
#[utoipa::path(post, path = "/api/ask/{event}", tag = "events", operation_id = "askHooks",
    params(("event" = String, Path, description = "The event's name")),
    request_body = Option<Object>, responses((status = 200, body = Asked)))]
pub(super) async fn ask(
    caller: Caller,
    Path(name): Path,
    OptionalJson(payload): OptionalJson<Option<Box<RawValue>>>,
) -> Result<Json<Asked>, Problem> {
    let generation = &caller.generation;
    let Some(asker) = generation.handles.health.asker() else {
        let known = generation.config.before.iter();
        return Err(match known.clone().any(|before| before.rule.name == name) {
            true => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "rowhook is starting; ask again in a moment",
            ),
            false => unknown(&name),
        });
    };
    let payload = payload.unwrap_or_else(|| RawValue::NULL.to_owned());
    let event = asker.event(&name, payload).ok_or_else(|| unknown(&name))?;
    Ok(Json(match asker.ask(vec![event]).await {
        Verdict::Allowed { silent } => Asked {
            allowed: true,
            silent,
            hook: None,
            reason: None,
        },
        Verdict::Refused(why) => Asked::refused(why, false),
        Verdict::Silent(why) => Asked::refused(why, true),
    }))
}

impl Asked {
    fn refused(why: Why, silent: bool) -> Self {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            allowed: false,
            silent,
            hook: told(&why.hook),
            reason: told(&why.reason),
        }
    }
}

fn unknown(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is no event {name:?} to ask about; [events] in hooks.toml needs one with before = \"custom\""
        ),
    )
}
