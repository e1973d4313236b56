//! Certificates and keys: read from files, made for trying out, exchanged while running.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore, SignatureScheme};

use super::Files;
use crate::secret;

/// Why there is no certificate to use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read, or does not hold what it should.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Making(#[from] rcgen::Error),
    /// Certificate and key don't fit, or are of a kind that we can't use.
    #[error("the certificate can't be used: {0}")]
    Unusable(rustls::Error),
}

impl CertificateError {
    pub(super) fn file(path: &Path, error: impl Display) -> Self {
        Self::File {
            path: path.to_owned(),
            error: error.to_string(),
        }
    }
}

/// Holds the certificate that new connections get.
#[derive(Debug)]
pub(super) struct Shelf(RwLock<Arc<CertifiedKey>>);

impl Shelf {
    pub fn new(key: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(key)))
    }

    pub fn put(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// SHA-256 of the end certificate, in pairs of hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let key = self.get();
        let end = key.cert.first().map(|end| &**end).unwrap_or_default();
        let pairs: Vec<String> = Sha256::digest(end)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        pairs.join(":")
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl ResolvesClientCert for Shelf {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Our certificate: from its files, or made, or none.
pub(super) fn own(
    files: &Files,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, CertificateError> {
    let (chain, key) = match (&files.certificate, &files.self_signed) {
        (Some(certificate), _) => {
            let path = files.key.as_deref().unwrap_or(certificate);
            let key = PrivateKeyDer::from_pem_slice(&read_secret(path)?).map_err(|error| {
                CertificateError::file(path, format!("holds no private key: {error}"))
            })?;
            (chain(certificate)?, key)
        }
        (None, Some(names)) => {
            let made = rcgen::generate_simple_self_signed(names.clone())?;
            let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
            (vec![made.cert.der().clone()], key.into())
        }
        (None, None) => return Ok(None),
    };
    let key = CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Unusable)?;
    Ok(Some(key))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|error| CertificateError::file(path, error))
}

fn read_secret(path: &Path) -> Result<Vec<u8>, CertificateError> {
    secret::read(path).map_err(|error| CertificateError::file(path, error))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(CertificateError::file(path, "holds no certificate in PEM"))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(CertificateError::file(path, format!("is no PEM: {error}"))),
    }
}

/// The authorities of a file.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots
            .add(certificate)
            .map_err(|error| CertificateError::file(path, error))?;
    }
    Ok(roots)
}

/// The authorities of this machine. What of them can't be used is left out, as everybody does.
pub(super) fn system_authorities() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (used, _) = roots.add_parsable_certificates(found.certs);
    if used == 0 {
        tracing::warn!(
            "this machine has no certificates of authorities: no peer's certificate can be checked"
        );
    }
    roots
}
