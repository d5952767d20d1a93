//! `Idempotency-Key`: a POST that is repeated with the same key is done once, and answered as it was the first time.
//! Only what is shown once is not shown again, because it is kept nowhere.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{generation::Generation, problem::Problem};
use crate::manage::{hook_input::HookWithSecret, idempotency::KeyState};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// The largest response, in bytes. Responses to a POST are small, and a larger one is an error.
const LARGEST_RESPONSE: usize = 1 << 20;
/// Responses of these paths hold a new token or a link, which are kept nowhere.
const NEVER_KEPT: [&str; 2] = ["/api/tokens", "/api/portal"];

/// A hook with its new secret. A repetition of the request is answered without the secret.
pub(super) struct ShownOnce(pub(super) HookWithSecret);

/// What is kept of a response, where that is not the whole of it.
#[derive(Clone)]
struct Kept(Bytes);

impl IntoResponse for ShownOnce {
    fn into_response(self) -> Response {
        let Self(mut shown) = self;
        let mut response = axum::Json(&shown).into_response();
        shown.secret = None;
        match serde_json::to_vec(&shown) {
            Ok(kept) => {
                response.extensions_mut().insert(Kept(kept.into()));
                response
            }
            Err(error) => Problem::unavailable(&error.into()).into_response(),
        }
    }
}

/// Runs a request, unless its key says that it has been run before.
///
/// # Errors
/// When the key is malformed, in use, or was used for another request, or the database cannot be asked.
pub(super) async fn run_once(
    generation: &Generation,
    caller: &str,
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let named = parts.headers.get(&KEY);
    let Some(named) =
        named.filter(|_| parts.method == Method::POST && !NEVER_KEPT.contains(&parts.uri.path()))
    else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let key = read_key(named)?;
    let fingerprint = fingerprint(&parts.uri, &body);
    // The connection is returned before the request is run, which borrows one of its own.
    let known = {
        let admin = generation.admin(caller).await?;
        admin.claim_key(caller, &key, &fingerprint).await?
    };
    match known {
        KeyState::Claimed => {}
        KeyState::Completed { status, body } => return Ok(replay(status, body)),
        KeyState::InProgress => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "the request with this Idempotency-Key is still being done",
            ));
        }
        KeyState::Mismatch => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was used for another request",
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, LARGEST_RESPONSE).await;
    let admin = generation.admin(caller).await?;
    let Ok(body) = body else {
        admin.finish_key(caller, &key, None).await?;
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be made",
        ));
    };
    let kept = head.extensions.remove::<Kept>();
    let kept = kept.map_or_else(|| body.clone(), |Kept(kept)| kept);
    // A request that failed on our side may be tried again.
    let kept = (!head.status.is_server_error()).then_some((head.status.as_u16(), &kept[..]));
    admin.finish_key(caller, &key, kept).await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Reads the key of a request.
fn read_key(header: &HeaderValue) -> Result<String, Problem> {
    let key = header.to_str().ok();
    let key = key.filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    key.map(str::to_owned).ok_or_else(|| {
        Problem::bad_request("the Idempotency-Key is not of 1 to 255 plain characters")
    })
}

/// A hash that two requests share only if they ask for the same. Lengths are part of it, so that no byte can move from
/// one part into the other.
fn fingerprint(uri: &Uri, body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [uri.to_string().as_bytes(), body] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// The response that was kept, marked as a repetition.
fn replay(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = match status.is_client_error() {
        true => "application/problem+json",
        false => "application/json",
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
