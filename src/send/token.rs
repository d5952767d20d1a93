//! Tokens of OAuth 2.0 for the requests of an endpoint.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::{
    answer::Failure,
    client::{Client, explain},
};
use crate::config::ClientCredentials;

/// The most bytes of an answer with a token.
const LARGEST_ANSWER: usize = 64 << 10;
/// How long a token counts whose server does not say it, and at most.
const USUAL_LIFE: Duration = Duration::from_secs(300);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a token is not used any more: it has to arrive, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);
/// How long the server is left alone after it gave none.
const PAUSE: Duration = Duration::from_secs(1);
/// The most of an error's name that is shown.
const LONGEST_ERROR: usize = 60;

/// The token that these credentials get. It is asked for when it is first needed, once for all requests that wait for
/// it.
pub(super) struct Tokens {
    client: Client,
    credentials: Arc<ClientCredentials>,
    held: Mutex<Option<Held>>,
}

/// What the server has given last, and until when that counts.
struct Held {
    token: Result<HeaderValue, Failure>,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(client: Client, credentials: Arc<ClientCredentials>) -> Self {
        Self {
            client,
            credentials,
            held: Mutex::default(),
        }
    }

    /// The value of `Authorization`. One that the endpoint has `refused` is not given again.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn token(
        &self,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && Instant::now() < held.until
            && (refused.is_none() || held.token.as_ref().ok() != refused)
        {
            return held.token.clone();
        }
        let asked = self.ask().await;
        let (token, life) = match asked {
            Ok((token, life)) => (Ok(token), life),
            Err(failure) => (Err(failure), PAUSE),
        };
        let until = Instant::now() + life;
        held.insert(Held { token, until }).token.clone()
    }

    /// Asks for a token. Returns the time for which it counts, too.
    async fn ask(&self) -> Result<(HeaderValue, Duration), Failure> {
        let wrong = |reason: &str| Failure::Token(reason.to_owned());
        let request = request(&self.credentials)?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| match explain(&error, error.is_connect()) {
            proxy @ Failure::Proxy(_) => proxy,
            failure => Failure::Token(failure.to_string()),
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect();
        let body = body
            .await
            .map_err(|_| wrong("its answer breaks off, or is too large"))?;
        let body = body.to_bytes();
        if !status.is_success() {
            return Err(Failure::Token(refusal(status.as_u16(), &body)));
        }
        read(&body).map_err(wrong)
    }
}

/// The credentials are not shown.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// The request for a token. Every server takes the credentials as those of HTTP Basic.
fn request(credentials: &ClientCredentials) -> Result<Request<Full<Bytes>>, Failure> {
    let ClientCredentials {
        token_url,
        client_id,
        client_secret,
        scope,
    } = credentials;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let login = format!("{}:{}", encoded(client_id), encoded(client_secret.expose()));
    let login = format!("Basic {}", BASE64_STANDARD.encode(login));
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        body.append_pair("scope", scope);
    }
    let uri = Uri::try_from(token_url.as_str());
    let request = uri.map_err(http::Error::from).and_then(|uri| {
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(AUTHORIZATION, login)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(body.finish()))
    });
    request.map_err(|error| Failure::Token(error.to_string()))
}

/// What an answer without a token says.
fn refusal(status: u16, body: &[u8]) -> String {
    let error = serde_json::from_slice(body).ok();
    let error = error
        .as_ref()
        .and_then(|answer: &Value| answer.get("error")?.as_str());
    // RFC 6749 has names for errors, of plain characters.
    let is_name = |error: &&str| {
        error.len() <= LONGEST_ERROR && error.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match error.filter(is_name) {
        Some(error) => format!("its server answers {status}, {error}"),
        None => format!("its server answers {status}"),
    }
}

/// The token in an answer, and the time for which it counts.
fn read(body: &[u8]) -> Result<(HeaderValue, Duration), &'static str> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let token = token.ok_or("the answer has no access_token")?;
    let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
    if !answer
        .get("token_type")
        .and_then(Value::as_str)
        .is_none_or(is_bearer)
    {
        return Err("the token is not one for bearers");
    }
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let mut header = header.map_err(|_| "the token cannot stand in a header")?;
    header.set_sensitive(true);
    // Some servers write it as a text.
    let seconds = answer.get("expires_in").and_then(|life| match life {
        Value::String(life) => life.parse().ok(),
        life => life.as_u64(),
    });
    let life = seconds
        .map_or(USUAL_LIFE, Duration::from_secs)
        .min(LONGEST_LIFE);
    Ok((header, life.saturating_sub(MARGIN).max(PAUSE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_for_less_than_its_server_says() {
        let life = |body: &str| read(body.as_bytes()).map(|(_, life)| life.as_secs());
        assert_eq!(life(r#"{"access_token": "a", "expires_in": 60}"#), Ok(50));
        assert_eq!(life(r#"{"access_token": "a", "expires_in": "60"}"#), Ok(50));
        assert_eq!(life(r#"{"access_token": "a", "expires_in": 3}"#), Ok(1));
        assert_eq!(life(r#"{"access_token": "a"}"#), Ok(290));
        assert_eq!(
            life(r#"{"access_token": "a", "expires_in": 1e99}"#),
            Ok(290)
        );
        assert_eq!(
            life(r#"{"access_token": "a", "expires_in": 9999999}"#),
            Ok(LONGEST_LIFE.as_secs() - 10)
        );
        for bad in [
            "",
            "{}",
            r#"{"access_token": 7}"#,
            r#"{"access_token": "a\nb"}"#,
            r#"{"access_token": "a", "token_type": "mac"}"#,
        ] {
            assert!(life(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_its_error_and_nothing_else() {
        assert_eq!(
            refusal(401, br#"{"error": "invalid_client"}"#),
            "its server answers 401, invalid_client"
        );
        for body in [
            "",
            "<html>",
            r#"{"error": {}}"#,
            "{\"error\": \"a\\u001bb\"}",
        ] {
            assert_eq!(refusal(400, body.as_bytes()), "its server answers 400");
        }
    }
}
