//! `Idempotency-Key`: a POST that is made again with the same key is answered as before, and done once.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{generation::House, problem::Problem};
use crate::manage::idempotency::Once;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST_KEY: usize = 255;
/// Answers are small; one that is not is given and not kept.
const LARGEST_ANSWER: usize = 1 << 20;
/// A token is shown once, and kept nowhere.
const NEVER_KEPT: &str = "/api/tokens";

/// Does a request, unless it was done before.
pub(super) async fn once(
    house: &Arc<House>,
    caller: &str,
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let named = parts.headers.get(&KEY);
    if parts.method != Method::POST || named.is_none() || parts.uri.path() == NEVER_KEPT {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    }
    let key = named.and_then(|key| key.to_str().ok()).map(str::to_owned);
    let key = key.filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Problem::bad_request("the Idempotency-Key is not of 1 to 255 plain characters")
    })?;
    let mut hash = Sha256::new();
    for part in [parts.uri.to_string().as_bytes(), &body[..]] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let fingerprint = hash.finalize();
    let failed = |error: anyhow::Error| Problem::failed(&error);
    // Given back before the request is done, which wants one of its own.
    let known = {
        let office = house.office().await.map_err(failed)?;
        office.begin_once(caller, &key, &fingerprint).await?
    };
    match known {
        Once::New => {}
        Once::Done { status, body } => return Ok(again(status, body)),
        Once::Doing => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "the request with this Idempotency-Key is still being done",
            ));
        }
        Once::Other => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was used for another request",
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (head, body) = response.into_parts();
    let body = to_bytes(body, LARGEST_ANSWER).await;
    let office = house.office().await.map_err(failed)?;
    let Ok(body) = body else {
        office.end_once(caller, &key, None).await?;
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be made",
        ));
    };
    // What failed for reasons of ours may be tried again.
    let kept = (!head.status.is_server_error()).then_some((head.status.as_u16(), &body[..]));
    office.end_once(caller, &key, kept).await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

fn again(status: u16, body: Vec<u8>) -> Response {
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
