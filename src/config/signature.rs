//! `signature`: how a body is signed. It is written in hooks.toml, and in hook tables as JSON.

use http::header::{AUTHORIZATION, HeaderName};
use serde::Deserialize;

use super::{
    Algorithm, Encoding, HeaderSignature, SignatureScheme,
    reader::{Keys, Value},
};
use crate::send::target::is_reserved;

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

/// As a hook table has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    header: String,
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    prefix: String,
}

impl SignatureScheme {
    /// `standard`, as a text or a JSON string, or a JSON object with the keys that the table in hooks.toml has.
    ///
    /// # Errors
    /// What is wrong with it, for the owner of the hook.
    pub fn parse(text: &str) -> Result<Self, String> {
        if matches!(text.trim(), "standard" | "\"standard\"") {
            return Ok(Self::Standard);
        }
        let written: Written = serde_json::from_str(text).map_err(|_| {
            "its signature is neither standard nor an object of header, algorithm (sha1, sha256, sha512), encoding (hex, base64) and prefix"
                .to_owned()
        })?;
        HeaderSignature::new(
            &written.header,
            written.algorithm,
            written.encoding,
            &written.prefix,
        )
        .map(Self::Header)
        .map_err(|reason| format!("its signature: {reason}"))
    }
}

impl HeaderSignature {
    /// Checks what it is made of.
    ///
    /// # Errors
    /// When the header is none, or is one that HTTP or rowhook sets; or when the prefix cannot stand in one.
    pub fn new(
        header: &str,
        algorithm: Algorithm,
        encoding: Encoding,
        prefix: &str,
    ) -> Result<Self, String> {
        let name = HeaderName::try_from(header).map_err(|_| {
            format!("{header:?} is no header; write a name such as \"x-signature\"")
        })?;
        if is_reserved(name.as_str()) || name == AUTHORIZATION {
            return Err(format!(
                "the header {header:?} is set by rowhook or HTTP itself; choose another name"
            ));
        }
        let printable = |c: char| (' '..='~').contains(&c);
        if !prefix.chars().all(printable) || prefix.starts_with(' ') {
            return Err(format!(
                "the prefix {prefix:?} cannot begin a header's value; write printable ASCII"
            ));
        }
        Ok(Self {
            header: name,
            algorithm,
            encoding,
            prefix: prefix.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_table_has_it_as_text_or_json() {
        assert_eq!(
            SignatureScheme::parse("standard"),
            Ok(SignatureScheme::Standard)
        );
        assert_eq!(
            SignatureScheme::parse("\"standard\""),
            Ok(SignatureScheme::Standard)
        );
        let header = SignatureScheme::parse(
            r#"{"header": "X-Sig", "algorithm": "sha1", "encoding": "base64", "prefix": "sha1="}"#,
        );
        let expected = HeaderSignature {
            header: HeaderName::from_static("x-sig"),
            algorithm: Algorithm::Sha1,
            encoding: Encoding::Base64,
            prefix: "sha1=".into(),
        };
        assert_eq!(header, Ok(SignatureScheme::Header(expected)));
    }

    #[test]
    fn what_is_none_is_refused_with_its_mend() {
        for (text, told) in [
            ("", "neither standard nor an object"),
            ("md5", "neither standard nor an object"),
            ("{}", "neither standard nor an object"),
            (
                r#"{"header": "x", "algorithm": "md5"}"#,
                "sha1, sha256, sha512",
            ),
            (r#"{"header": "x", "secret": "y"}"#, "neither standard"),
            (r#"{"header": "a b"}"#, "\"a b\" is no header"),
            (r#"{"header": "Webhook-Id"}"#, "choose another name"),
            (r#"{"header": "Authorization"}"#, "choose another name"),
            (r#"{"header": "x", "prefix": "a\nb"}"#, "printable ASCII"),
        ] {
            let refused = SignatureScheme::parse(text).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
