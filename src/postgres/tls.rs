//! The rustls configuration for the `sslmode` of an [`Address`](super::address::Address).

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::address::{Tls, TlsMode};

/// A client configuration that verifies exactly as much as the mode requires.
///
/// # Errors
/// In one line, if a file that the address names cannot be used.
pub(super) fn client(tls: &Tls) -> Result<ClientConfig, String> {
    // Named explicitly, because the default provider of the process depends on who installed one first.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match tls.mode {
        TlsMode::VerifyFull => builder.with_root_certificates(roots(tls)?),
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                chain: chain_verifier(tls, provider.clone())?,
                provider,
            })),
    };
    let Some((certificate, key)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, "sslcert")?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("sslkey", key, &error))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("sslcert and sslkey do not fit together: {error}"))
}

/// The verifier of the certificate chain for verify-ca; `None` for the other modes.
fn chain_verifier(
    tls: &Tls,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, String> {
    if tls.mode != TlsMode::VerifyCa {
        return Ok(None);
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider)
        .build()
        .map(Some)
        .map_err(|error| error.to_string())
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let Some(path) = &tls.roots else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates(path, "sslrootcert")?);
    if usable == 0 {
        return Err(format!(
            "sslrootcert {} holds no certificate",
            path.display()
        ));
    }
    Ok(store)
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(key, path, &error))
}

fn unusable(key: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{key} {} cannot be used: {error}", path.display())
}

/// Verifies the certificate chain but not the host's name (verify-ca), or nothing (prefer, require).
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
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
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is verified last, so everything else is valid.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
