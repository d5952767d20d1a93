//! What a hook's own TLS is made of: a certificate that it shows, and the authority that its endpoint is trusted by.

use std::{fmt, sync::Arc};

use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Checked, and ready to be used. Two of the same files are equal. It never prints its key.
#[derive(Clone)]
pub struct Tls {
    identity: Option<Identity>,
    authorities: Option<Vec<Certificate>>,
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

    pub(super) fn configure(&self, mut client: ClientBuilder) -> ClientBuilder {
        if let Some(identity) = &self.identity {
            client = client.identity(identity.clone());
        }
        if let Some(authorities) = &self.authorities {
            client = client.tls_certs_only(authorities.clone());
        }
        client
    }
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

fn check_pair(certificate: &[u8], key: &[u8]) -> Result<Identity, BadTls> {
    let chain = certificates(certificate).map_err(BadTls::Certificate)?;
    let parsed = PrivateKeyDer::from_pem_slice(key).map_err(|error| BadTls::Key(told(&error)))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    provider
        .key_provider
        .load_private_key(parsed.clone_key())
        .map_err(|error| BadTls::Key(error.to_string()))?;
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BadTls::Certificate(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, parsed)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => BadTls::Pair,
            error => BadTls::Certificate(error.to_string()),
        })?;
    // A file may end without a line's end.
    let both = [certificate, b"\n", key].concat();
    Identity::from_pem(&both).map_err(|_| BadTls::Key("its kind is not known".into()))
}

fn check_authorities(authorities: &[u8]) -> Result<Vec<Certificate>, BadTls> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(authorities).map_err(BadTls::Authority)? {
        store
            .add(certificate)
            .map_err(|error| BadTls::Authority(error.to_string()))?;
    }
    Certificate::from_pem_bundle(authorities).map_err(|_| BadTls::Authority("it is not PEM".into()))
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
