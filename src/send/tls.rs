//! TLS connections to endpoints: which authorities they are trusted by, and which certificate is presented to them.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    sign::SingleCertAndKey,
};
use rustls_platform_verifier::Verifier;

use crate::config::certificate::{Tls, provider};

/// The authorities that endpoints are trusted by where a hook names none.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl Trust {
    /// Trusts the authorities of the system, and `more` besides.
    pub(super) fn of_the_system(more: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let provider = provider();
        let verifier = Arc::new(Verifier::new_with_extra_roots(more, Arc::clone(&provider))?);
        Ok(Self { provider, verifier })
    }

    /// The settings of connections, with what a hook has of its `own` in place of the defaults.
    pub(super) fn configure(&self, own: Option<&Tls>) -> Result<ClientConfig, rustls::Error> {
        let verifier = match own.and_then(Tls::authorities) {
            None => Arc::clone(&self.verifier),
            Some(roots) => {
                let (roots, provider) = (Arc::clone(roots), Arc::clone(&self.provider));
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                verifier.map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            // rustls calls any verifier that it has not built itself dangerous. These two verify everything.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match own.and_then(Tls::identity) {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let identity = SingleCertAndKey::from(Arc::clone(identity));
                config.with_client_cert_resolver(Arc::new(identity))
            }
        })
    }
}
