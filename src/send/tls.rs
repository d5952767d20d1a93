//! Whom endpoints are trusted by; and what a hook's own TLS is made of: a certificate that it shows, and the authority that its
//! endpoint is trusted by in place of the others.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Checked, and ready to be used. Two of the same files are equal. It never prints its key.
#[derive(Clone)]
pub struct Tls {
    identity: Option<Arc<CertifiedKey>>,
    authorities: Option<Arc<RootCertStore>>,
    fingerprint: Fingerprint,
}

/// Tells one [`Tls`] from another.
pub type Fingerprint = [u8; 32];

/// PEM that cannot be used, by what it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTls {
    /// The certificate that is shown.
    #[error("it holds no certificate: {0}")]
    Certificate(String),
    /// Its key.
    #[error("it holds no private key: {0}")]
    Key(String),
    /// The two together.
    #[error("it is not the key of the certificate")]
    Pair,
    /// The endpoint's authority.
    #[error("it holds no certificate of an authority: {0}")]
    Authority(String),
}

impl Tls {
    /// Reads PEM: a certificate, with those between it and its authority, and its key, which is not encrypted; and the
    /// authorities that are trusted in place of the public ones.
    ///
    /// # Errors
    /// When one of them cannot be used, or key and certificate are not of each other.
    pub fn new(
        identity: Option<(&[u8], &[u8])>,
        authorities: Option<&[u8]>,
    ) -> Result<Self, BadTls> {
        let mut hash = Sha256::new();
        let parts = [
            identity.map(|(certificate, _)| certificate),
            identity.map(|(_, key)| key),
            authorities,
        ];
        for part in parts.map(Option::unwrap_or_default) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Ok(Self {
            identity: identity
                .map(|(certificate, key)| check_pair(certificate, key))
                .transpose()?,
            authorities: authorities.map(check_authorities).transpose()?,
            fingerprint: hash.finalize().into(),
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The authorities that endpoints are trusted by, where a hook names none.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl Trust {
    /// Those of the system, and these.
    pub(super) fn of_the_system(more: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let provider = provider();
        let verifier = Arc::new(Verifier::new_with_extra_roots(more, Arc::clone(&provider))?);
        Ok(Self { provider, verifier })
    }

    /// TLS, as a hook demands it.
    pub(super) fn configure(&self, own: Option<&Tls>) -> Result<ClientConfig, rustls::Error> {
        let verifier = match own.and_then(|own| own.authorities.as_ref()) {
            None => Arc::clone(&self.verifier),
            Some(roots) => {
                let (roots, provider) = (Arc::clone(roots), Arc::clone(&self.provider));
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                verifier.map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            // Ours only by whom it was made with.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match own.and_then(|own| own.identity.as_ref()) {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let identity = SingleCertAndKey::from(Arc::clone(identity));
                config.with_client_cert_resolver(Arc::new(identity))
            }
        })
    }
}

/// Named, not installed: which is the process's default depends on who asked first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

fn check_pair(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, BadTls> {
    let chain = certificates(certificate).map_err(BadTls::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| BadTls::Key(told(&error)))?;
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(pair) => Ok(Arc::new(pair)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(BadTls::Pair),
        Err(rustls::Error::InvalidCertificate(error)) => {
            Err(BadTls::Certificate(error.to_string()))
        }
        Err(error) => Err(BadTls::Key(error.to_string())),
    }
}

fn check_authorities(authorities: &[u8]) -> Result<Arc<RootCertStore>, BadTls> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(authorities).map_err(BadTls::Authority)? {
        store
            .add(certificate)
            .map_err(|error| BadTls::Authority(error.to_string()))?;
    }
    Ok(Arc::new(store))
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(told(&pem::Error::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(told(&error)),
    }
}

/// What is wrong with PEM. Its own words may repeat some of it.
fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in it".into(),
        _ => "it is not PEM".into(),
    }
}
