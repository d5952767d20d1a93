//! What all connections to NATS have in common: whom they trust.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// TLS that trusts the authorities in `ca`, which is PEM, or those of the system (or of `SSL_CERT_FILE`). It is used
/// where a URL or the server asks for it.
///
/// # Errors
/// When `ca` holds no authority.
pub fn tls(ca: Option<&[u8]>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let all = all.map_err(|_| "it is not PEM".to_owned())?;
            if all.is_empty() {
                return Err("it holds no certificate".to_owned());
            }
            for one in all {
                roots.add(one).map_err(|error| error.to_string())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    // Named explicitly: more than one provider is linked, so the process has no default.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
