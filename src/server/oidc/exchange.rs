//! What is asked of a provider about a person: a token for the code, the keys, and the rest.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Client, RequestBuilder,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{
    Attempt, Failure, Person, discovery::Endpoints, failure::error_name, id_token, person,
    request::send,
};
use crate::{config::Oidc, secret::Secret, server::jwt::Keys};

/// Somebody who has shown the provider who they are.
pub(in crate::server) struct Entered {
    pub(in crate::server) person: Person,
    /// How long the session may last at most, where the ID token bounds it.
    pub(in crate::server) life: Option<Duration>,
}

/// What is needed to ask the provider.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    pub(super) config: &'a Oidc,
    pub(super) endpoints: &'a Endpoints,
}

/// The answer of the token endpoint.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl Exchange<'_> {
    /// Exchanges the code for an ID token, checks that, and reads from it who it is.
    pub(super) async fn enter(
        &self,
        attempt: &Attempt,
        back: &Url,
        code: &str,
    ) -> Result<Entered, Failure> {
        let tokens = self.tokens(attempt, back, code).await?;
        let keys = self.keys().await?;
        let config = self.config;
        let expected = id_token::Expected {
            issuer: &config.issuer_text,
            client_id: &config.client_id,
            nonce: &attempt.nonce,
        };
        let claims = id_token::verify(&tokens.id_token, &keys, &expected);
        let mut claims = claims.map_err(|reason| self.unusable(reason))?;
        let life = match config.end_with_token {
            true => Some(id_token::life(&claims)),
            false => None,
        };
        if person::groups(&claims, &config.role_claim).is_none()
            && let Some(token) = &tokens.access_token
        {
            self.add_userinfo(&mut claims, token).await?;
        }
        let person = Person::read(&claims, config);
        let person = person.map_err(|reason| self.unusable(reason))?;
        Ok(Entered { person, life })
    }

    async fn tokens(&self, attempt: &Attempt, back: &Url, code: &str) -> Result<Tokens, Failure> {
        let request = self.token_request(attempt, back, code);
        let (status, answer) = send(request, self.host(&self.endpoints.token)).await?;
        if status != 200 {
            let error: Option<Value> = serde_json::from_slice(&answer).ok();
            let name = error
                .as_ref()
                .and_then(|error| error.get("error")?.as_str());
            let name = error_name(name.unwrap_or_default());
            return Err(self.unusable(format!("it gives no token: {status}, {name}")));
        }
        serde_json::from_slice(&answer)
            .map_err(|_| self.unusable("its answer has no id_token; ask for the scope openid"))
    }

    fn token_request(&self, attempt: &Attempt, back: &Url, code: &str) -> RequestBuilder {
        let config = self.config;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", back.as_str())
            .append_pair("code_verifier", &attempt.verifier);
        let mut request = self
            .client
            .post(self.endpoints.token.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match &config.client_secret {
            None => {
                body.append_pair("client_id", &config.client_id);
            }
            Some(secret) if self.endpoints.secret_in_body => {
                body.append_pair("client_id", &config.client_id)
                    .append_pair("client_secret", secret.expose());
            }
            Some(secret) => {
                request = request.header(AUTHORIZATION, login(&config.client_id, secret));
            }
        }
        request.body(body.finish())
    }

    async fn keys(&self) -> Result<Keys, Failure> {
        let url = &self.endpoints.keys;
        let (status, body) = send(self.client.get(url.clone()), self.host(url)).await?;
        let keys = Keys::of_set(&body).filter(|_| status == 200);
        keys.ok_or_else(|| self.unusable(format!("its keys cannot be read: status {status}")))
    }

    /// Adds what the provider says of the person elsewhere. What the ID token says goes before it.
    async fn add_userinfo(
        &self,
        claims: &mut Map<String, Value>,
        token: &str,
    ) -> Result<(), Failure> {
        let Some(url) = &self.endpoints.userinfo else {
            return Ok(());
        };
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| self.unusable("its access token cannot be sent"))?;
        let request = self.client.get(url.clone());
        let request = request.header(AUTHORIZATION, sensitive(bearer));
        let (status, body) = send(request, self.host(url)).await?;
        // A signed answer, which a client has to ask for, is no object and so is not read.
        let told: Option<Map<String, Value>> = serde_json::from_slice(&body).ok();
        let told = told.filter(|_| status == 200);
        let told = told.ok_or_else(|| {
            self.unusable(format!("it answers {status} to the question who it is"))
        })?;
        if told.get("sub") != claims.get("sub") {
            return Err(self.unusable("it tells of another person than the ID token"));
        }
        for (name, value) in told {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn host<'a>(&self, url: &'a Url) -> &'a str {
        url.host_str().unwrap_or_default()
    }

    fn unusable(&self, reason: impl Into<String>) -> Failure {
        Failure::Unusable {
            host: self.host(&self.config.issuer).to_owned(),
            reason: reason.into(),
        }
    }
}

/// The login of HTTP for the token endpoint. Both parts are encoded as in a form, as RFC 6749 has it.
fn login(client_id: &str, secret: &Secret) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
    let header = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    sensitive(header.unwrap_or(HeaderValue::from_static("")))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
