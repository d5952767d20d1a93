//! Checks ID tokens.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, get_current_timestamp};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::server::jwt::{Keys, is_understood};

/// The algorithms that a provider may sign with. Those with a shared secret are not among them: its keys are public.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What an ID token has to say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
}

/// The claims of an ID token that was made by the provider, for us, for this login, and that is not over.
pub(super) fn verify(
    token: &str,
    keys: &Keys,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, String> {
    let header = decode_header(token).map_err(|_| "the ID token is no JSON Web Token")?;
    if !is_understood(token) {
        return Err("the ID token asks for an extension that is not known".to_owned());
    }
    if !ALGORITHMS.contains(&header.alg) {
        return Err(format!("the ID token is signed with {:?}", header.alg));
    }
    let key = keys.find(&header);
    let key = key.ok_or("the ID token is signed with a key that the provider does not publish")?;
    let mut validation = Validation::new(header.alg);
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let decoded = decode::<Map<String, Value>>(token, key, &validation);
    let claims = decoded.map_err(|error| format!("the ID token is not valid: {error}"))?;
    let claims = claims.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let nonce = text("nonce").unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err("the ID token was made for another login".to_owned());
    }
    if text("azp").is_some_and(|azp| azp != expected.client_id) {
        return Err("the ID token was made for another application".to_owned());
    }
    Ok(claims)
}

/// How long the token is good from now on.
pub(super) fn life(claims: &Map<String, Value>) -> Duration {
    let end = claims
        .get("exp")
        .and_then(Value::as_f64)
        .unwrap_or_default();
    Duration::from_secs((end as u64).saturating_sub(get_current_timestamp()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
    };
    use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
    use serde_json::json;

    use super::*;

    fn key() -> EncodingKey {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        EncodingKey::from_ec_der(document.as_ref())
    }

    fn published(keys: &[(&str, &EncodingKey)]) -> Keys {
        let keys = keys.iter().map(|(kid, key)| {
            let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
            jwk.common.key_id = Some((*kid).to_owned());
            json!(jwk)
        });
        // A key of a kind that nobody knows yet is in nobody's way.
        let keys: Vec<Value> = keys.chain([json!({"kty": "new", "kid": "c"})]).collect();
        Keys::of_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn token(key: &EncodingKey, kid: &str, more: Value) -> String {
        let mut claims = json!({
            "iss": "https://id.example",
            "aud": "rowhook",
            "sub": "anna",
            "nonce": "n",
            "exp": get_current_timestamp() + 600,
        });
        let more = more.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(more);
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, &claims, key).unwrap()
    }

    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://id.example",
        client_id: "rowhook",
        nonce: "n",
    };

    #[test]
    fn a_token_is_good_that_the_provider_made_for_this_login() {
        let (one, other) = (key(), key());
        let keys = published(&[("a", &one), ("b", &other)]);
        let good = |more: Value| verify(&token(&one, "a", more), &keys, &EXPECTED).is_ok();
        assert!(good(json!({})));
        assert!(good(
            json!({"aud": ["rowhook", "another"], "azp": "rowhook"})
        ));
        assert!(verify(&token(&other, "b", json!({})), &keys, &EXPECTED).is_ok());
        for bad in [
            json!({"iss": "https://id.example/"}),
            json!({"aud": "another"}),
            json!({"aud": ["rowhook", "another"], "azp": "another"}),
            json!({"nonce": "another"}),
            json!({"nonce": null}),
            json!({"exp": get_current_timestamp() - 600}),
            json!({"nbf": get_current_timestamp() + 600}),
            json!({"sub": null}),
        ] {
            assert!(!good(bad.clone()), "{bad}");
        }
    }

    #[test]
    fn a_key_that_the_provider_has_replaced_opens_nothing() {
        let (old, new) = (key(), key());
        let keys = published(&[("new", &new)]);
        for (key, kid) in [(&old, "old"), (&old, "new")] {
            assert!(verify(&token(key, kid, json!({})), &keys, &EXPECTED).is_err());
        }
        assert!(verify(&token(&new, "new", json!({})), &keys, &EXPECTED).is_ok());
    }

    #[test]
    fn a_shared_secret_and_no_signature_at_all_open_nothing() {
        let keys = published(&[("a", &key())]);
        let claims = json!({"iss": "https://id.example", "aud": "rowhook", "sub": "a", "nonce": "n",
            "exp": get_current_timestamp() + 600});
        let shared = EncodingKey::from_secret(b"a");
        let forged = encode(&Header::new(Algorithm::HS256), &claims, &shared).unwrap();
        assert!(verify(&forged, &keys, &EXPECTED).is_err());
        // {"alg":"none"}
        let (_, rest) = forged.split_once('.').unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0);
        assert!(verify(&unsigned, &keys, &EXPECTED).is_err());
    }

    #[test]
    fn the_life_of_a_token_is_what_is_left_of_it() {
        let claims = |exp: Value| json!({ "exp": exp }).as_object().unwrap().clone();
        assert_eq!(life(&claims(json!(1))), Duration::ZERO);
        assert_eq!(life(&claims(json!("x"))), Duration::ZERO);
        let left = life(&claims(json!(get_current_timestamp() + 600)));
        assert!((599..=600).contains(&left.as_secs()), "{left:?}");
    }
}
