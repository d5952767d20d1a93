//! `signature`: how bodies are signed. Hook tables hold the same as JSON, which [`SignatureScheme::parse`] reads.

use super::reader::{Keys, Value};
use crate::signature::{Algorithm, Encoding, HeaderSignature, SignatureScheme};

const KEYS: Keys = Keys {
    known: &["header", "algorithm", "encoding", "prefix"],
    later: &[],
};

pub(super) fn read(value: &Value<'_>) -> Option<SignatureScheme> {
    if !value.is_table() {
        return value.choice(&[("standard", SignatureScheme::Standard)]);
    }
    let table = value.table(&KEYS)?;
    let header = table
        .need("header", "header = \"X-Hook-Signature\"")
        .and_then(|value| Some((value, value.string()?)));
    let algorithm = table.find("algorithm").map(|value| {
        value.choice(&[
            ("sha1", Algorithm::Sha1),
            ("sha256", Algorithm::Sha256),
            ("sha512", Algorithm::Sha512),
        ])
    });
    let encoding = table
        .find("encoding")
        .map(|value| value.choice(&[("hex", Encoding::Hex), ("base64", Encoding::Base64)]));
    let prefix = match table.find("prefix") {
        Some(value) if value.text_of(&[""]).is_none() => value.string(),
        Some(_) | None => Some(String::new()),
    };
    let (value, header) = header?;
    let signature = HeaderSignature::new(
        &header,
        algorithm.unwrap_or(Some(Algorithm::default()))?,
        encoding.unwrap_or(Some(Encoding::default()))?,
        &prefix?,
    );
    match signature {
        Ok(signature) => Some(SignatureScheme::Header(signature)),
        Err(reason) => {
            value.wrong(format!("{}: {reason}", table.name));
            None
        }
    }
}
