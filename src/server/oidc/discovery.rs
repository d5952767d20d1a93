//! What a provider says of itself: where to ask it for what.

use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::{Attempt, Failure, request::send};
use crate::config::{Oidc, oidc::is_safe};

/// Where to ask the provider for what.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    authorization: Url,
    pub(super) token: Url,
    pub(super) keys: Url,
    /// Where more is said of a person than in the ID token.
    pub(super) userinfo: Option<Url>,
    /// Whether the secret goes into the body, because the provider does not take it as a login of HTTP.
    pub(super) secret_in_body: bool,
}

/// The part of OpenID Connect Discovery's document that is read.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Asks the provider.
pub(super) async fn ask(client: &Client, config: &Oidc) -> Result<Endpoints, Failure> {
    let issuer = config.issuer_text.trim_end_matches('/');
    let url = format!("{issuer}/.well-known/openid-configuration");
    let host = config.issuer.host_str().unwrap_or_default();
    let (status, body) = send(client.get(url), host).await?;
    let unusable = |reason: String| Failure::Unusable {
        host: host.to_owned(),
        reason,
    };
    if status != 200 {
        return Err(unusable(format!(
            "it answers {status} to the question who it is"
        )));
    }
    read(&body, &config.issuer_text).map_err(unusable)
}

fn read(body: &[u8], issuer: &str) -> Result<Endpoints, String> {
    let document: Document = serde_json::from_slice(body)
        .map_err(|error| format!("its description is not as it has to be: {error}"))?;
    if document.issuer != issuer {
        return Err(format!(
            "it calls itself {:?}; write that as issuer under [server.oidc]",
            document.issuer
        ));
    }
    let url = |name: &str, text: &str| {
        let url = Url::parse(text).ok().filter(is_safe);
        url.ok_or_else(|| format!("its {name} is not an https address"))
    };
    let userinfo = document.userinfo_endpoint.as_deref();
    let methods = document.token_endpoint_auth_methods_supported;
    let methods = methods.unwrap_or_else(|| vec!["client_secret_basic".to_owned()]);
    let takes = |method: &str| methods.iter().any(|known| known == method);
    Ok(Endpoints {
        authorization: url("authorization_endpoint", &document.authorization_endpoint)?,
        token: url("token_endpoint", &document.token_endpoint)?,
        keys: url("jwks_uri", &document.jwks_uri)?,
        userinfo: userinfo
            .map(|text| url("userinfo_endpoint", text))
            .transpose()?,
        secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
    })
}

impl Endpoints {
    /// The address that has the provider ask a person who they are.
    pub(super) fn ask(&self, config: &Oidc, attempt: &Attempt, back: &Url) -> Url {
        let mut url = self.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", back.as_str())
            .append_pair("scope", &config.scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        url
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn description(more: Value) -> Result<Endpoints, String> {
        let mut document = json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/auth?tenant=1",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/jwks",
        });
        let more = more.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(more);
        read(document.to_string().as_bytes(), "https://id.example")
    }

    #[test]
    fn a_provider_is_taken_at_its_word_and_nothing_secret_goes_over_plain_http() {
        let good = description(json!({})).unwrap();
        assert!(!good.secret_in_body && good.userinfo.is_none());
        for (more, expected) in [
            (
                json!({"issuer": "https://id.example/"}),
                "it calls itself \"https://id.example/\"; write that as issuer under [server.oidc]",
            ),
            (
                json!({"token_endpoint": "http://id.example/token"}),
                "its token_endpoint is not an https address",
            ),
            (
                json!({"userinfo_endpoint": "file:///etc/passwd"}),
                "its userinfo_endpoint is not an https address",
            ),
        ] {
            assert_eq!(description(more).unwrap_err(), expected);
        }
        assert!(description(json!({"jwks_uri": "http://127.0.0.1:1/jwks"})).is_ok());
    }

    #[test]
    fn the_secret_goes_into_the_body_only_where_nothing_else_is_taken() {
        for (methods, in_body) in [
            (json!(["client_secret_post"]), true),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["private_key_jwt"]), false),
        ] {
            let found = description(json!({"token_endpoint_auth_methods_supported": methods}));
            assert_eq!(found.unwrap().secret_in_body, in_body);
        }
    }
}
