//! Errors as RFC 9457 describes them: `application/problem+json`.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::manage;

/// Why a request failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The reason phrase of the status.
    #[schema(example = "Not Found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What is wrong, and how to fix it.
    detail: String,
    /// Sent as the `Retry-After` header.
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// The part of a hook that is to blame, as the API calls it.
    #[serde(skip)]
    part: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
            part: None,
        }
    }

    /// The same, said in other words.
    pub(super) fn saying(&self, detail: String) -> Self {
        Self {
            detail,
            ..self.clone()
        }
    }

    /// What it says.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The part of a hook that is to blame; `None`: no part alone, or it is about something else.
    pub(super) fn part(&self) -> Option<&'static str> {
        self.part
    }

    /// Whether whoever has written something can write it otherwise.
    pub(super) fn is_about_input(&self) -> bool {
        let status = self.status();
        status.is_client_error()
            && !matches!(
                status,
                StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS
            )
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "a token is needed that is good: authorization: Bearer …",
        )
    }

    pub(super) fn no_such_address() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this address")
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn too_many_requests(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests in a minute; see requests_per_minute under [server]",
            )
        }
    }

    pub(super) fn too_many_tests(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many tests in a minute; see tests_per_minute under [limits]",
            )
        }
    }

    /// Too much is being asked at the same time.
    pub(super) fn busy() -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too much is being asked of the database at the same time; ask again",
            )
        }
    }

    /// The caller can do nothing about this error. It is logged, and kept from them.
    pub(super) fn unavailable(error: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "a request failed");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database could not be asked; the log of rowhook says why",
        )
    }
}

impl From<manage::Error> for Problem {
    fn from(error: manage::Error) -> Self {
        let status = match &error {
            manage::Error::NotFound { .. } => StatusCode::NOT_FOUND,
            manage::Error::Invalid(_) | manage::Error::Unfit { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            manage::Error::Forbidden(_) => StatusCode::FORBIDDEN,
            manage::Error::Conflict(_) | manage::Error::Changed(_) => StatusCode::CONFLICT,
            manage::Error::Failed(error) => return Self::unavailable(error),
        };
        let part = match &error {
            manage::Error::Unfit { part, .. } => Some(*part),
            _ => None,
        };
        Self {
            part,
            ..Self::new(status, error.to_string())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs_f64().ceil() as u64),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Answers for paths that have no route.
pub(super) async fn not_found() -> Problem {
    Problem::no_such_address()
}

/// Answers for methods that a route does not have.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not know the method",
    )
}
