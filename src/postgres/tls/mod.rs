//! The rustls configuration for the `ssl…` settings of an [`Address`](super::address::Address).

mod certificate;
mod key;

use std::{path::Path, sync::Arc};

pub(super) use self::certificate::binding;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject,
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::address::{Identity, Roots, Tls, TlsMode};

/// The name of Postgres' protocol in a handshake that is not announced.
pub(super) const PROTOCOL: &[u8] = b"postgresql";

/// A client configuration that verifies exactly as much as the mode requires.
///
/// # Errors
/// In one line, if a file that the address names cannot be used.
pub(super) fn client(tls: &Tls) -> Result<ClientConfig, String> {
    // Named explicitly, because the default provider of the process depends on who installed one first.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: Vec<&'static SupportedProtocolVersion> = [&TLS12, &TLS13]
        .into_iter()
        .zip(tls.versions)
        .filter_map(|(version, used)| used.then_some(version))
        .collect();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LikeLibpq::new(tls, provider.clone())?));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        // Not `with_client_auth_cert`, which has webpki read the certificate.
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(client_certificate(identity, &provider)?))
        }
    };
    config.enable_sni = tls.sni;
    if tls.direct {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
    }
    Ok(config)
}

/// The client certificate with its key.
fn client_certificate(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<SingleCertAndKey, String> {
    let chain = certificates(&identity.certificate, "sslcert")?;
    let key = provider
        .key_provider
        .load_private_key(key::read(identity)?)
        .map_err(|error| unusable("sslkey", &identity.key, &error))?;
    let Some(first) = chain.first() else {
        let path = identity.certificate.display();
        return Err(format!("sslcert {path} holds no certificate"));
    };
    let fits = key
        .public_key()
        .is_none_or(|public| certificate::public_key(first).as_deref() == Some(public.as_ref()));
    match fits {
        true => Ok(CertifiedKey::new(chain, key).into()),
        false => Err("sslcert and sslkey do not fit together".into()),
    }
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(key, path, &error))
}

fn unusable(key: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{key} {} cannot be used: {error}", path.display())
}

/// Verifies what the mode says, and takes every certificate that libpq takes.
///
/// webpki refuses certificates that OpenSSL takes, and that Postgres' own manual has people make: one that is its own
/// authority, one of X.509 version 1, and one with a common name alone. For these, `certificate` has rules of its own.
#[derive(Debug)]
struct LikeLibpq {
    /// Verifies the chain up to a trusted authority; `None` where that is not required.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The authorities that the address names.
    roots: Vec<CertificateDer<'static>>,
    /// Whether the certificate must be issued for the host's name.
    for_name: bool,
    /// Whether certificates may have been taken back.
    revocable: bool,
    provider: Arc<CryptoProvider>,
}

impl LikeLibpq {
    fn new(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let roots = match &tls.roots {
            Roots::File(path) => certificates(path, "sslrootcert")?,
            Roots::BuiltIn | Roots::System => Vec::new(),
        };
        let chain = match tls.verifies() {
            true => Some(chain_verifier(tls, &roots, provider.clone())?),
            false => None,
        };
        Ok(Self {
            chain,
            roots,
            for_name: tls.mode == TlsMode::VerifyFull,
            revocable: tls.crl.is_some(),
            provider,
        })
    }
}

fn chain_verifier(
    tls: &Tls,
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let built_in = || webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
    let mut store = RootCertStore::empty();
    match &tls.roots {
        Roots::BuiltIn => store.extend(built_in()),
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                store.extend(built_in());
            }
        }
        Roots::File(path) => {
            store.add_parsable_certificates(roots.iter().cloned());
            if roots.is_empty() || store.is_empty() {
                return Err(format!(
                    "sslrootcert {} holds no certificate",
                    path.display()
                ));
            }
        }
    }
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
    if let Some(path) = &tls.crl {
        let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| unusable("sslcrl", path, &error))?;
        if lists.is_empty() {
            return Err(format!("sslcrl {} holds no list", path.display()));
        }
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    builder.build().map_err(|error| error.to_string())
}

impl ServerCertVerifier for LikeLibpq {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let algorithms = &self.provider.signature_verification_algorithms;
        let other_name = match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now)
        {
            Ok(_) => None,
            // The name is verified last, so everything else is valid.
            Err(
                error @ rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                ),
            ) => Some(error),
            Err(error) => {
                // Our own rules know of no lists of certificates that were taken back.
                let direct = !self.revocable
                    && certificate::is_vouched_for(end_entity, &self.roots, now, algorithms);
                if !direct {
                    return Err(error);
                }
                None
            }
        };
        if self.for_name && !certificate::is_for(end_entity, &name.to_str()) {
            return Err(other_name.unwrap_or(CertificateError::NotValidForName.into()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms).or_else(
            |error| {
                certificate::verify_signature(message, certificate, signature, algorithms, error)
            },
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms).or_else(
            |error| {
                // The schemes of TLS 1.2 alone.
                match signature.scheme {
                    SignatureScheme::RSA_PKCS1_SHA1
                    | SignatureScheme::RSA_PKCS1_SHA256
                    | SignatureScheme::RSA_PKCS1_SHA384
                    | SignatureScheme::RSA_PKCS1_SHA512
                    | SignatureScheme::ECDSA_SHA1_Legacy => Err(error),
                    _ => certificate::verify_signature(
                        message,
                        certificate,
                        signature,
                        algorithms,
                        error,
                    ),
                }
            },
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
