//! JWTs of the application, which are verified with a key or a key set.

use std::fs;

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header,
    jwk::{Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::{Map, Value};

use crate::config::{Jwt, JwtAlgorithm, JwtKeys};

/// Verifies JWTs.
pub(super) struct Verifier {
    algorithms: Vec<Algorithm>,
    keys: Keys,
    owner_claim: String,
    issuer: Option<String>,
    audience: Option<String>,
}

/// The keys that a signature may be made with.
pub(super) enum Keys {
    One(Box<DecodingKey>),
    Set(Vec<(Jwk, DecodingKey)>),
}

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no key for the algorithms.
    pub(super) fn new(jwt: &Jwt) -> Result<Self> {
        let algorithms: Vec<Algorithm> = jwt.algorithms.iter().copied().map(algorithm).collect();
        Ok(Self {
            keys: Keys::read(&jwt.keys, &algorithms)?,
            algorithms,
            owner_claim: jwt.owner_claim.clone(),
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
        })
    }

    /// The owner that a token names; `None` if the token is not valid now.
    pub(super) fn owner(&self, token: &str) -> Option<String> {
        let header = decode_header(token).ok()?;
        if !is_understood(token) {
            return None;
        }
        // The algorithm in a token's header is chosen by whoever made the token, so only configured ones are accepted.
        if !self.algorithms.contains(&header.alg) {
            return None;
        }
        let key = self.keys.find(&header)?;
        let validation = self.validation(header.alg);
        let claims = decode::<Map<String, Value>>(token, key, &validation).ok()?;
        match claims.claims.get(&self.owner_claim)? {
            Value::String(owner) if !owner.is_empty() => Some(owner.clone()),
            Value::Number(owner) if owner.is_i64() || owner.is_u64() => Some(owner.to_string()),
            _ => None,
        }
    }

    /// What is required of the claims.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

impl Keys {
    fn read(keys: &JwtKeys, algorithms: &[Algorithm]) -> Result<Self> {
        match keys {
            JwtKeys::Secret(secret) => {
                let key = DecodingKey::from_secret(secret.expose().as_bytes());
                Ok(Self::One(Box::new(key)))
            }
            JwtKeys::PublicKey(path) => {
                let pem = fs::read(path)
                    .with_context(|| format!("read public_key_file {}", path.display()))?;
                let key = public_key(&pem, algorithms).with_context(|| {
                    format!(
                        "public_key_file {} holds no public key for {algorithms:?}",
                        path.display()
                    )
                })?;
                Ok(Self::One(Box::new(key)))
            }
            JwtKeys::Jwks(path) => {
                let text =
                    fs::read(path).with_context(|| format!("read jwks_file {}", path.display()))?;
                Self::of_set(&text).with_context(|| {
                    format!("jwks_file {} holds no key that can be used", path.display())
                })
            }
        }
    }

    /// The keys of a key set; `None` if it is none, or holds none that can be used. A key of a kind that is not known
    /// is left out.
    pub(super) fn of_set(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let listed = set.get("keys")?.as_array()?.iter();
        let jwks = listed.filter_map(|jwk| serde_json::from_value(jwk.clone()).ok());
        let keys = jwks.filter(is_for_signatures).filter_map(|jwk: Jwk| {
            let key = DecodingKey::from_jwk(&jwk).ok()?;
            Some((jwk, key))
        });
        let keys: Vec<_> = keys.collect();
        (!keys.is_empty()).then_some(Self::Set(keys))
    }

    /// The key that a token with this header has to be signed with. In a set, it is the key with the header's `kid`;
    /// the `kid` may be left out only if there is a single key.
    pub(super) fn find(&self, header: &Header) -> Option<&DecodingKey> {
        let keys = match self {
            Self::One(key) => return Some(key),
            Self::Set(keys) => keys,
        };
        let named = keys.iter().find(|(jwk, _)| jwk.common.key_id == header.kid);
        let (jwk, key) = match (named, keys.as_slice()) {
            (Some(named), _) => named,
            (None, [only]) if header.kid.is_none() => only,
            _ => return None,
        };
        // A key is used only with algorithms of its family, and only with its own one if it names one.
        let fits = jwk
            .common
            .key_algorithm
            .is_none_or(|own| own.to_string() == format!("{:?}", header.alg));
        (fits && key.family() == algorithm_family(header.alg)).then_some(key)
    }
}

/// Whether nothing in the header of a token is critical and not understood. Extensions are none of ours, and RFC 7515
/// has a token refused that names one in `crit`.
pub(super) fn is_understood(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    header.is_some_and(|header| !header.contains_key("crit"))
}

/// Whether the set allows a key to verify signatures. One that is meant for encryption may be known to others.
fn is_for_signatures(jwk: &Jwk) -> bool {
    let common = &jwk.common;
    let usage = common.public_key_use.as_ref();
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    usage.is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(verifies)
}

fn algorithm_family(algorithm: Algorithm) -> jsonwebtoken::AlgorithmFamily {
    use jsonwebtoken::AlgorithmFamily::{Ec, Ed, Hmac, Rsa};
    [Hmac, Rsa, Ec, Ed]
        .into_iter()
        .find(|family| family.algorithms().contains(&algorithm))
        .unwrap_or(Hmac)
}

fn algorithm(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Hs384 => Algorithm::HS384,
        JwtAlgorithm::Hs512 => Algorithm::HS512,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// Reads a public key from a PEM, of the one family that all `algorithms` belong to.
fn public_key(pem: &[u8], algorithms: &[Algorithm]) -> Result<DecodingKey> {
    let read = [
        DecodingKey::from_rsa_pem,
        DecodingKey::from_ec_pem,
        DecodingKey::from_ed_pem,
    ];
    for read in read {
        if let Ok(key) = read(pem)
            && algorithms
                .iter()
                .all(|algorithm| algorithm_family(*algorithm) == key.family())
        {
            return Ok(key);
        }
    }
    bail!("no public key of a kind that fits")
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        time::{SystemTime, UNIX_EPOCH},
    };

    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
        rand::SystemRandom,
        rsa::KeySize,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
        },
    };
    use base64::prelude::BASE64_STANDARD;
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::secret::Secret;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn pem(der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// A key to sign with, and its public key in PEM.
    fn ed() -> (EncodingKey, String) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (
            EncodingKey::from_ed_der(document.as_ref()),
            pem(public.as_ref()),
        )
    }

    fn ec() -> (EncodingKey, String) {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (
            EncodingKey::from_ec_der(document.as_ref()),
            pem(public.as_ref()),
        )
    }

    fn rsa() -> (EncodingKey, String) {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = BASE64_STANDARD.encode(private.as_ref());
        let text = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (
            EncodingKey::from_rsa_pem(text.as_bytes()).unwrap(),
            pem(public.as_ref()),
        )
    }

    fn now() -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    }

    fn token(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: Value) -> String {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        encode(&header, &claims, key).unwrap()
    }

    fn verifier(algorithms: &[JwtAlgorithm], keys: JwtKeys) -> Verifier {
        Verifier::new(&Jwt {
            algorithms: algorithms.to_vec(),
            keys,
            owner_claim: "sub".into(),
            issuer: None,
            audience: None,
        })
        .unwrap()
    }

    fn anna() -> Value {
        json!({"sub": "anna", "exp": now() + 60})
    }

    #[test]
    fn a_token_of_each_kind_is_known_by_its_public_key() {
        for (algorithm, named, (private, public)) in [
            (Algorithm::RS256, JwtAlgorithm::Rs256, rsa()),
            (Algorithm::PS512, JwtAlgorithm::Ps512, rsa()),
            (Algorithm::ES256, JwtAlgorithm::Es256, ec()),
            (Algorithm::EdDSA, JwtAlgorithm::EdDsa, ed()),
        ] {
            let file = file(&public);
            let verifier = verifier(&[named], JwtKeys::PublicKey(file.path().to_owned()));
            let good = token(algorithm, None, &private, anna());
            assert_eq!(
                verifier.owner(&good).as_deref(),
                Some("anna"),
                "{algorithm:?}"
            );
            let mut bad = good.clone();
            bad.replace_range(good.len() - 8..good.len() - 4, "AAAA");
            assert_eq!(verifier.owner(&bad), None, "{algorithm:?}");
            // The public key is known to everyone, and must not be used as a shared secret.
            let shared = EncodingKey::from_secret(public.as_bytes());
            let forged = token(Algorithm::HS256, None, &shared, anna());
            assert_eq!(verifier.owner(&forged), None, "{algorithm:?}");
        }
    }

    #[test]
    fn a_key_set_is_used_by_the_kid_and_for_what_a_key_is_meant() {
        let ((ed, ed_public), (ec, _), (stranger, _)) = (ed(), ec(), ec());
        let mut of_ec = Jwk::from_encoding_key(&ec, Algorithm::ES256).unwrap();
        of_ec.common.key_id = Some("ec".into());
        let body: String = ed_public
            .lines()
            .filter(|line| !line.contains("---"))
            .collect();
        let der = BASE64_STANDARD.decode(body).unwrap();
        let point = BASE64_URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
        let of_ed =
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "ed", "x": point});
        let set = json!({"keys": [of_ed, of_ec]});
        let file = file(&set.to_string());
        let algorithms = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256];
        let verifier = verifier(&algorithms, JwtKeys::Jwks(file.path().to_owned()));
        for (algorithm, kid, key, expected) in [
            (Algorithm::EdDSA, Some("ed"), &ed, Some("anna")),
            (Algorithm::ES256, Some("ec"), &ec, Some("anna")),
            (Algorithm::ES256, Some("ed"), &ec, None),
            (Algorithm::ES256, Some("other"), &ec, None),
            (Algorithm::ES256, None, &ec, None),
            (Algorithm::ES256, Some("ec"), &stranger, None),
        ] {
            let token = token(algorithm, kid, key, anna());
            assert_eq!(
                verifier.owner(&token).as_deref(),
                expected,
                "{algorithm:?} {kid:?}"
            );
        }
    }

    #[test]
    fn a_key_that_is_not_for_signatures_opens_nothing() {
        let (key, _) = ec();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("a".into());
        let good = token(Algorithm::ES256, Some("a"), &key, anna());
        let owner = |more: Value| {
            let mut jwk = json!(jwk);
            jwk.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let other = json!({"kty": "oct", "kid": "b", "k": "AAAA"});
            let file = file(&json!({"keys": [jwk, other]}).to_string());
            let keys = JwtKeys::Jwks(file.path().to_owned());
            verifier(&[JwtAlgorithm::Es256], keys).owner(&good)
        };
        for allowed in [
            json!({}),
            json!({"use": "sig"}),
            json!({"key_ops": ["verify"]}),
        ] {
            assert_eq!(owner(allowed.clone()).as_deref(), Some("anna"), "{allowed}");
        }
        for other in [
            json!({"use": "enc"}),
            json!({"use": "anything"}),
            json!({"key_ops": ["wrapKey"]}),
            json!({"key_ops": []}),
        ] {
            assert_eq!(owner(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn a_token_with_a_critical_extension_opens_nothing() {
        use hmac::{Hmac, KeyInit, Mac};
        let verifier = verifier(&[JwtAlgorithm::Hs256], JwtKeys::Secret(Secret::new(SECRET)));
        let owner = |header: Value| {
            let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(anna()));
            let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
            let code = mac.chain_update(&signed).finalize().into_bytes();
            verifier.owner(&format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(code)))
        };
        assert_eq!(owner(json!({"alg": "HS256"})).as_deref(), Some("anna"));
        for critical in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
            assert_eq!(owner(json!({"alg": "HS256", "crit": critical})), None);
        }
    }

    #[test]
    fn a_claim_that_does_not_hold_opens_nothing() {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let mut verifier = verifier(&[JwtAlgorithm::Hs256], JwtKeys::Secret(Secret::new(SECRET)));
        verifier.issuer = Some("https://app.example".into());
        verifier.audience = Some("rowhook".into());
        let good =
            json!({"sub": 7, "exp": now() + 60, "iss": "https://app.example", "aud": ["rowhook"]});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            token(Algorithm::HS256, None, &key, claims)
        };
        assert_eq!(
            verifier.owner(&with("sub", json!("anna"))).as_deref(),
            Some("anna")
        );
        assert_eq!(verifier.owner(&with("x", json!(1))).as_deref(), Some("7"));
        for (name, value) in [
            ("sub", json!("")),
            ("sub", json!(null)),
            ("sub", json!(1.5)),
            ("sub", json!(["anna"])),
            ("exp", json!(now() - 120)),
            ("exp", json!(null)),
            ("nbf", json!(now() + 120)),
            ("iss", json!("https://evil.example")),
            ("iss", json!(null)),
            ("aud", json!("other")),
            ("aud", json!(null)),
        ] {
            assert_eq!(
                verifier.owner(&with(name, value.clone())),
                None,
                "{name} {value}"
            );
        }
        let other = EncodingKey::from_secret(b"another secret that is long enough");
        assert_eq!(
            verifier.owner(&token(Algorithm::HS256, None, &other, good.clone())),
            None
        );
        assert_eq!(
            verifier.owner(&token(Algorithm::HS512, None, &key, good.clone())),
            None
        );
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(json!({"alg": "none"})), part(good));
        assert_eq!(verifier.owner(&unsigned), None);
    }
}
