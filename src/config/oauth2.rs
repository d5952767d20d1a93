//! `auth = { oauth2 = { … } }`: how a hook gets the token that its endpoint wants.

use std::hash::{Hash, Hasher};

use url::Url;

use super::{
    reader::{Keys, Value},
    target,
};
use crate::secret::Secret;

const KEYS: Keys = Keys {
    known: &["token_url", "client_id", "client_secret", "scope"],
    later: &[],
};

/// A client that gets tokens with its own credentials (OAuth 2.0, RFC 6749, section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where tokens are asked for.
    pub token_url: Url,
    /// The name of the client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What the token is to be good for, as the server names it. Default: what the server gives without being asked.
    pub scope: Option<String>,
}

/// Secrets are compared, and not hashed: equal credentials have the same name at the same place.
impl Hash for ClientCredentials {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.token_url.hash(state);
        self.client_id.hash(state);
    }
}

/// Reads the table of the key `oauth2`.
pub(super) fn read(value: &Value<'_>, allow_http: bool) -> Option<ClientCredentials> {
    let table = value.table(&KEYS)?;
    let token_url = table
        .need("token_url", "token_url = \"https://login.example/token\"")
        .and_then(|value| target::read(value, allow_http));
    let client_id = table
        .need("client_id", "client_id = \"…\"")
        .and_then(Value::string);
    let client_secret = table
        .need("client_secret", "client_secret = \"${CLIENT_SECRET}\"")
        .and_then(Value::secret);
    let scope = table.string("scope");
    Some(ClientCredentials {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
    })
}
