//! Extractors of requests. They refuse with a [`Problem`], as everything else here does.

use std::net::SocketAddr;

use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::problem::Problem;

/// The address that a request comes from. Behind a proxy, it is the proxy's.
pub(super) type Peer = ConnectInfo<SocketAddr>;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A body in JSON, which has to say so in its content type.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !content_type(&request).eq_ignore_ascii_case(JSON) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is not content-type: application/json",
            ));
        }
        let body = bytes(request, state).await?;
        read(&body).map(Self)
    }
}

/// A body in JSON or as a form, whichever its content type says. In a form, an empty field is null, and
/// `headers[X-Key]` is the field `X-Key` of the object `headers`.
pub(super) struct JsonOrForm<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonOrForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = content_type(&request);
        let is_form = kind.eq_ignore_ascii_case(FORM);
        if !is_form && !kind.eq_ignore_ascii_case(JSON) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the body is not content-type: {JSON}, nor {FORM}"),
            ));
        }
        let body = bytes(request, state).await?;
        match is_form {
            true => read_form(&body).map(Self),
            false => read(&body).map(Self),
        }
    }
}

/// A body in JSON that may be empty. Its content type is not looked at.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = bytes(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        read(&body).map(Self)
    }
}

/// The content type without its parameters.
fn content_type(request: &Request) -> &str {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|error| Problem::bad_request(error.to_string()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.windows(6).any(|part| part == br"\u0000") {
        return Err(zero_character());
    }
    serde_json::from_slice(body).map_err(|error| unusable(&error))
}

fn read_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut fields = Map::new();
    for (name, text) in url::form_urlencoded::parse(body) {
        if name.contains('\0') || text.contains('\0') {
            return Err(zero_character());
        }
        let value = match text.is_empty() {
            true => Value::Null,
            false => Value::String(text.into_owned()),
        };
        let inner = name.strip_suffix(']').and_then(|name| name.split_once('['));
        let before = match inner {
            None => fields.insert(name.clone().into_owned(), value),
            Some((outer, inner)) => {
                let object = fields.entry(outer).or_insert_with(|| Map::new().into());
                match object.as_object_mut() {
                    Some(object) => object.insert(inner.to_owned(), value),
                    None => Some(Value::Null),
                }
            }
        };
        if before.is_some() {
            return Err(Problem::bad_request(format!(
                "the form has the field {name:?} twice; send it once"
            )));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| unusable(&error))
}

fn unusable(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body cannot be used: {error}"))
}

/// Postgres cannot store U+0000 in a text.
fn zero_character() -> Problem {
    Problem::bad_request("the body has a zero character, which Postgres cannot keep")
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query string.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::bad_request(
                "the query has a zero character, which Postgres cannot keep",
            ));
        }
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// The parameters of the path, by default one id.
pub(super) struct Path<T = String>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing with a zero character in its id",
            ));
        }
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_the_object_that_it_stands_for() {
        let read = |form: &str| read_form::<Value>(form.as_bytes()).map_err(|bad| bad.status());
        assert_eq!(
            read("event=book.*&target=https%3A%2F%2Fa.example%2F%3Fx%3D1&note=&headers[X-Key]=a+b")
                .unwrap(),
            serde_json::json!({
                "event": "book.*",
                "target": "https://a.example/?x=1",
                "note": null,
                "headers": {"X-Key": "a b"},
            })
        );
        for form in ["a=1&a=2", "a=%00", "a[b]=1&a[b]=2", "a=1&a[b]=2"] {
            assert_eq!(read(form), Err(StatusCode::BAD_REQUEST), "{form}");
        }
    }
}
