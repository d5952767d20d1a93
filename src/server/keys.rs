//! `/.well-known/webhook-keys`: the public keys of hooks that sign with ed25519, as a JSON Web Key Set (RFC 7517).
//!
//! Only hooks of hooks.toml are in it. The owner of a row knows its private key, and a receiver that believed all keys
//! of the set would then believe every owner.

use std::{sync::Arc, time::SystemTime};

use axum::{extract::State, http::header, response::IntoResponse};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::state::AppState;
use crate::config::FileHook;

/// `GET /.well-known/webhook-keys`, for everyone.
pub(super) async fn serve(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    of_all(&[state])
}

/// The keys of several databases.
pub(super) fn of_all(databases: &[Arc<AppState>]) -> impl IntoResponse + use<> {
    let generations: Vec<_> = databases.iter().map(|state| state.current()).collect();
    let hooks = generations.iter().flat_map(|one| &one.config.hooks);
    let keys = key_set(hooks, SystemTime::now());
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        // A key that replaces another is there before long, and the other one signs beside it until then.
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, keys.to_string())
}

/// The keys of these hooks, each once.
fn key_set<'a>(hooks: impl Iterator<Item = &'a FileHook>, at: SystemTime) -> Value {
    let signers = hooks.filter_map(|hook| hook.signer.as_ref());
    let mut keys: Vec<[u8; 32]> = signers.flat_map(|signer| signer.public_keys(at)).collect();
    keys.sort_unstable();
    keys.dedup();
    let keys = keys.iter().map(|key| key_of(key));
    json!({"keys": keys.collect::<Vec<_>>()})
}

/// A key, with its thumbprint (RFC 7638) as its id.
fn key_of(public: &[u8]) -> Value {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let x = encode(public);
    let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
        "use": "sig",
        "alg": "EdDSA",
        "kid": encode(&thumbprint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8037.
    #[test]
    fn the_id_of_a_key_is_its_thumbprint() {
        let public = BASE64_URL_SAFE_NO_PAD
            .decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .unwrap();
        assert_eq!(
            key_of(&public)["kid"],
            json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        );
    }
}
