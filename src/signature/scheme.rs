//! How the bodies of a hook are signed, as hooks.toml and hook tables say.

use http::header::{AUTHORIZATION, HeaderName};
use serde::{Deserialize, Serialize};

/// The JSON object that hook tables hold.
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
    /// Reads `standard`, as a text or a JSON string, or a JSON object with the keys that `signature` has in hooks.toml.
    ///
    /// # Errors
    /// What is wrong with it, in words for the owner of the hook.
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
    /// The same for the previous secret, in a header of its own.
    pub fn of_previous(&self) -> Self {
        let name = format!("{}-previous", self.header);
        Self {
            // What is added is valid in a name, which is only too long then if it was as long as one can be.
            header: HeaderName::try_from(name).unwrap_or_else(|_| self.header.clone()),
            ..self.clone()
        }
    }

    /// Checks the parts of a rule.
    ///
    /// # Errors
    /// When the header is not valid or is one that HTTP or rowhook sets, or when the prefix cannot stand in a header.
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

/// How bodies are signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0.0: `webhook-signature`.
    #[default]
    Standard,
    /// A header of the receiver's choice.
    Header(HeaderSignature),
}

/// The HMAC of the body in a header of the receiver's choice. The key is the text of the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSignature {
    /// The name of the header, which HTTP and rowhook do not set.
    pub header: HeaderName,
    /// The hash function. Default `sha256`.
    pub algorithm: Algorithm,
    /// How the HMAC is encoded. Default `hex`.
    pub encoding: Encoding,
    /// A text before the HMAC, such as `sha256=`. Default: none.
    pub prefix: String,
}

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-1, for receivers that support nothing better.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the bytes of an HMAC are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal digits in lower case.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Is it a header that users must not set? Such headers frame the request, or belong to rowhook.
pub fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "expect",
        "upgrade",
        "te",
        "user-agent",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("webhook-") || name == "rowhook-batch"
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
    fn what_is_none_is_refused_with_its_remedy() {
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
