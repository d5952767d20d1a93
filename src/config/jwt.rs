//! `[server.jwt]`: the application's JSON Web Tokens, with which its users manage their hooks.

use crate::secret::Secret;
use std::path::PathBuf;

use super::reader::{Keys, Table};

/// `[server.jwt]`: how JSON Web Tokens of the application are checked.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// The algorithms that tokens may be signed with.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The keys that signatures are checked with.
    pub keys: JwtKeys,
    /// The claim that holds the owner: a text or a whole number. Default `sub`.
    pub owner_claim: String,
    /// The value that `iss` must have; `None`: it is not checked.
    pub issuer: Option<String>,
    /// A value that `aud` must contain; `None`: it is not checked.
    pub audience: Option<String>,
}

/// The keys that tokens are checked with.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// A secret that signs and checks.
    Secret(Secret),
    /// A file with a public key in PEM.
    PublicKey(PathBuf),
    /// A file with a JSON Web Key Set.
    Jwks(PathBuf),
}

/// A signature algorithm of RFC 7518.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what RFC 7518 calls them")]
pub enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl JwtAlgorithm {
    /// Does the algorithm sign and check with the same secret?
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "algorithms",
        "secret",
        "public_key_file",
        "jwks_file",
        "owner_claim",
        "issuer",
        "audience",
    ],
    later: &[],
};

const ALGORITHMS: [(&str, JwtAlgorithm); 12] = [
    ("HS256", JwtAlgorithm::Hs256),
    ("HS384", JwtAlgorithm::Hs384),
    ("HS512", JwtAlgorithm::Hs512),
    ("RS256", JwtAlgorithm::Rs256),
    ("RS384", JwtAlgorithm::Rs384),
    ("RS512", JwtAlgorithm::Rs512),
    ("PS256", JwtAlgorithm::Ps256),
    ("PS384", JwtAlgorithm::Ps384),
    ("PS512", JwtAlgorithm::Ps512),
    ("ES256", JwtAlgorithm::Es256),
    ("ES384", JwtAlgorithm::Es384),
    ("EdDSA", JwtAlgorithm::EdDsa),
];

/// The fewest characters of a secret: a shorter one could be guessed from any token.
const SHORTEST_SECRET: usize = 32;

pub(super) fn read(section: &Table<'_>) -> Option<Jwt> {
    let remedy = "algorithms = [\"RS256\"]";
    let listed = section.need("algorithms", remedy);
    let algorithms = listed.and_then(|value| {
        let algorithms = value.list_of("a list such as [\"RS256\"]", |value| {
            value.choice(&ALGORITHMS)
        })?;
        if algorithms.is_empty() {
            value.wrong(format!("{} is empty; write {remedy}", value.key));
            return None;
        }
        Some(algorithms)
    });
    let secret = section.find("secret").and_then(|value| {
        let secret = value.secret()?;
        if secret.expose().len() < SHORTEST_SECRET {
            value.wrong(format!(
                "{} is shorter than {SHORTEST_SECRET} characters, and could be guessed; use a longer one",
                value.key
            ));
        }
        Some(JwtKeys::Secret(secret))
    });
    let file = |key: &str| section.string(key).map(PathBuf::from);
    let public_key = file("public_key_file").map(JwtKeys::PublicKey);
    let jwks = file("jwks_file").map(JwtKeys::Jwks);
    let owner_claim = section.string("owner_claim");
    let (issuer, audience) = (section.string("issuer"), section.string("audience"));
    let named = ["secret", "public_key_file", "jwks_file"];
    let named = named.into_iter().filter(|key| section.find(key).is_some());
    if named.count() != 1 {
        section.reader.wrong(
            section.place,
            "server.jwt needs exactly one of secret, public_key_file and jwks_file",
        );
        return None;
    }
    let (algorithms, keys) = (algorithms?, secret.or(public_key).or(jwks)?);
    // Were a public key taken for a shared secret, anyone could sign tokens.
    let shared = matches!(keys, JwtKeys::Secret(_));
    let mixed = algorithms
        .iter()
        .any(|algorithm| algorithm.is_shared() != shared);
    if mixed && !matches!(keys, JwtKeys::Jwks(_)) {
        section.reader.wrong(
            section.place,
            "server.jwt: the HS algorithms go with secret, and the others with public_key_file or jwks_file",
        );
        return None;
    }
    Some(Jwt {
        algorithms,
        keys,
        owner_claim: owner_claim.unwrap_or_else(|| "sub".to_owned()),
        issuer,
        audience,
    })
}
