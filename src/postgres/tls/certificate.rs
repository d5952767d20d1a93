//! What a server's certificate says, read as OpenSSL and libpq read it.

use std::net::IpAddr;

use rustls::{
    DigitallySignedStruct,
    client::danger::HandshakeSignatureValid,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime},
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::{
    Certificate, Version,
    der::{Decode, Encode, oid::AssociatedOid},
    ext::pkix::{
        BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
        name::GeneralName,
    },
    spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned},
};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// The hash of a certificate that a session is bound to (`tls-server-end-point`, RFC 5929); `None` for certificates
/// that have none, such as those of Ed25519.
pub(crate) fn binding(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(match parsed.signature_algorithm.oid.to_string().as_str() {
        // MD5 and SHA-1 count as SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

/// The public key of a certificate, with its kind.
pub(super) fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .ok()
}

/// Whether a certificate is issued for this host. Its common name counts only where it names no host of that kind
/// otherwise.
pub(super) fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return false;
    };
    let address: Option<IpAddr> = host.parse().ok();
    let names = match certificate.tbs_certificate.get::<SubjectAltName>() {
        Ok(names) => names.map(|(_, names)| names.0).unwrap_or_default(),
        Err(_) => return false,
    };
    let mut by_common_name = true;
    for name in &names {
        let matches = match name {
            GeneralName::DnsName(name) => {
                by_common_name &= address.is_some();
                matches_name(name.as_str(), host, address)
            }
            GeneralName::IpAddress(bytes) => {
                by_common_name &= address.is_none();
                match address {
                    Some(IpAddr::V4(address)) => bytes.as_bytes() == address.octets(),
                    Some(IpAddr::V6(address)) => bytes.as_bytes() == address.octets(),
                    None => false,
                }
            }
            _ => false,
        };
        if matches {
            return true;
        }
    }
    let common_name = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|part| part.0.iter())
        .find(|attribute| attribute.oid == COMMON_NAME)
        .and_then(|attribute| std::str::from_utf8(attribute.value.value()).ok());
    by_common_name && common_name.is_some_and(|name| matches_name(name, host, address))
}

/// Whether a name, which may be `*.example.com`, is that of the host. The star stands for one label.
fn matches_name(name: &str, host: &str, address: Option<IpAddr>) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return !name.contains('\0');
    }
    match (name.strip_prefix("*."), host.split_once('.'), address) {
        (Some(rest), Some((first, domain)), None) => {
            !first.is_empty() && !rest.is_empty() && rest.eq_ignore_ascii_case(domain)
        }
        _ => false,
    }
}

/// Whether a certificate is one of the trusted ones itself and signed by nobody else, or was signed by one directly.
///
/// The rules are narrower than those for chains: what is not understood is refused.
pub(super) fn is_vouched_for(
    certificate: &CertificateDer<'_>,
    roots: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Ok(leaf) = Certificate::from_der(certificate) else {
        return false;
    };
    if !is_valid_at(&leaf, now) || !is_understood(&leaf) || !may_serve(&leaf) {
        return false;
    }
    roots.iter().any(|der| {
        let Ok(root) = Certificate::from_der(der) else {
            return false;
        };
        let is_itself = der.as_ref() == certificate.as_ref();
        root.tbs_certificate.subject == leaf.tbs_certificate.issuer
            && is_valid_at(&root, now)
            && is_understood(&root)
            && (is_itself || is_authority(&root))
            && is_signed(&leaf, &root, algorithms)
    })
}

fn is_valid_at(certificate: &Certificate, now: UnixTime) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    let from = validity.not_before.to_unix_duration().as_secs();
    let until = validity.not_after.to_unix_duration().as_secs();
    (from..=until).contains(&now.as_secs())
}

/// Whether it has no extension that limits it in a way that is not looked at here.
fn is_understood(certificate: &Certificate) -> bool {
    let known = [
        BasicConstraints::OID,
        KeyUsage::OID,
        ExtendedKeyUsage::OID,
        SubjectAltName::OID,
    ];
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    extensions.into_iter().all(|extension| {
        let is_limit = extension.critical || extension.extn_id == NameConstraints::OID;
        !is_limit || known.contains(&extension.extn_id)
    })
}

/// Whether a server may use it.
fn may_serve(certificate: &Certificate) -> bool {
    match certificate.tbs_certificate.get::<ExtendedKeyUsage>() {
        Ok(None) => true,
        Ok(Some((_, usage))) => {
            let mut purposes = usage.0.iter();
            purposes.any(|purpose| [SERVER_AUTH, ANY_PURPOSE].contains(purpose))
        }
        Err(_) => false,
    }
}

/// Whether it may sign others.
fn is_authority(certificate: &Certificate) -> bool {
    let own = &certificate.tbs_certificate;
    let constraints = match own.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca,
        // Version 1 had no way to say it.
        Ok(None) => own.version == Version::V1 && own.subject == own.issuer,
        Err(_) => false,
    };
    let usage = match own.get::<KeyUsage>() {
        Ok(usage) => usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
        Err(_) => false,
    };
    constraints && usage
}

fn is_signed(
    certificate: &Certificate,
    by: &Certificate,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let (Ok(signed), Some(signature)) = (
        certificate.tbs_certificate.to_der(),
        certificate.signature.as_bytes(),
    ) else {
        return false;
    };
    let Some(algorithm) = content(&certificate.signature_algorithm) else {
        return false;
    };
    let fitting = algorithms.all.iter().copied();
    let mut fitting = fitting.filter(|known| *known.signature_alg_id() == *algorithm);
    let key = &by.tbs_certificate.subject_public_key_info;
    fitting.any(|algorithm| is_signed_with(algorithm, key, &signed, signature))
}

/// Verifies the signature of a handshake for a certificate that webpki does not read; for others the error stands.
pub(super) fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    error: rustls::Error,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Err(error);
    };
    let mut fitting = algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signature.scheme)
        .flat_map(|(_, algorithms)| algorithms.iter().copied());
    let key = &certificate.tbs_certificate.subject_public_key_info;
    match fitting.any(|algorithm| is_signed_with(algorithm, key, message, signature.signature())) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(error),
    }
}

fn is_signed_with(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some(bits) = key.subject_public_key.as_bytes() else {
        return false;
    };
    content(&key.algorithm).is_some_and(|kind| *algorithm.public_key_alg_id() == *kind)
        && algorithm.verify_signature(bits, message, signature).is_ok()
}

/// What stands in the sequence of an AlgorithmIdentifier, which is always shorter than 128 bytes.
fn content(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    Some(der.get(2..)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label_of_a_name() {
        for (name, host, matches) in [
            ("db.example.com", "DB.example.com", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.", "db.", false),
            ("*.0.0.1", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("db", "db2", false),
        ] {
            let address = host.parse().ok();
            assert_eq!(matches_name(name, host, address), matches, "{name} {host}");
        }
    }
}
