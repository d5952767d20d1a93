//! A hook's own TLS: the certificate that it presents, and the authorities that its endpoint is trusted by.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Certificates and keys that have been checked and are ready for use.
///
/// Two values are equal when they were read from the same PEM. `Debug` never prints the key.
#[derive(Clone)]
pub struct Tls {
    identity: Option<Arc<CertifiedKey>>,
    authorities: Option<Arc<RootCertStore>>,
    fingerprint: Fingerprint,
}

/// The SHA-256 of the PEM that a [`Tls`] was read from, by which one is told apart from another.
pub type Fingerprint = [u8; 32];

/// PEM that cannot be used, by what it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTls {
    /// The client certificate.
    #[error("it holds no certificate: {0}")]
    Certificate(String),
    /// The private key of the client certificate.
    #[error("it holds no private key: {0}")]
    Key(String),
    /// The certificate and the key do not belong together.
    #[error("it is not the key of the certificate")]
    Pair,
    /// The certificates of the endpoint's authorities.
    #[error("it holds no certificate of an authority: {0}")]
    Authority(String),
}

impl Tls {
    /// Reads PEM.
    ///
    /// `identity` is a certificate chain and its unencrypted private key. `authorities` are trusted in place of the
    /// public ones.
    ///
    /// # Errors
    /// When one of them cannot be used, or the key is not that of the certificate.
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

    /// The client certificate and its key.
    pub(crate) fn identity(&self) -> Option<&Arc<CertifiedKey>> {
        self.identity.as_ref()
    }

    /// The authorities to trust in place of the public ones.
    pub(crate) fn authorities(&self) -> Option<&Arc<RootCertStore>> {
        self.authorities.as_ref()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The cryptography that certificates are checked and connections are made with.
///
/// It is named, not installed, because which provider is the process's default depends on who asks first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
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
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| BadTls::Key(reason(&error)))?;
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

/// All certificates of the PEM, of which there must be at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(reason(&pem::Error::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(reason(&error)),
    }
}

/// What is wrong with PEM. The error's own text may repeat some of it, and it may hold a key.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in it".into(),
        _ => "it is not PEM".into(),
    }
}
