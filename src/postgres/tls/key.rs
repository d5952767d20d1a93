//! The key of a client certificate.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use crate::postgres::address::Identity;

/// Reads the key of a client certificate, and decrypts it if it is encrypted.
///
/// # Errors
/// In one line, if the file cannot be used, or others may read it, which libpq refuses too.
pub(super) fn read(identity: &Identity) -> Result<PrivateKeyDer<'static>, String> {
    let path = identity.key.display();
    let unusable = |error: &dyn std::fmt::Display| format!("sslkey {path} cannot be used: {error}");
    let metadata = fs::metadata(&identity.key).map_err(|error| unusable(&error))?;
    // A key of root may be readable by a group.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(format!(
            "sslkey {path} can be read by others; run: chmod 600 {path}"
        ));
    }
    let pem = fs::read(&identity.key).map_err(|error| unusable(&error))?;
    let text = String::from_utf8_lossy(&pem);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "sslkey {path} is encrypted in an old form; run: openssl pkcs8 -topk8 -in {path} -out new.key"
        ));
    }
    if !text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(&error));
    }
    let Some(password) = &identity.password else {
        return Err(format!("sslkey {path} is encrypted; give sslpassword"));
    };
    let (_, sealed) = SecretDocument::from_pem(&text).map_err(|error| unusable(&error))?;
    let sealed =
        EncryptedPrivateKeyInfo::try_from(sealed.as_bytes()).map_err(|error| unusable(&error))?;
    let key = sealed.decrypt(password.expose()).map_err(|_| {
        format!("sslkey {path} cannot be decrypted; is sslpassword right, and the key one of AES?")
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
