//! Whose certificate the load generator believes, when it loads a server over TLS.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of the authorities that this machine believes.
    System,
    /// Those of the authorities in this file, PEM.
    File(PathBuf),
    /// Anybody's: a load generator tells nothing that anybody could want to know.
    Anybody,
}

/// How to begin a TLS connection: what is believed, and the name that the certificate must have.
#[derive(Clone, Debug)]
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secure {
    /// For a server of this name or address. Errors are sentences.
    pub(super) fn new(trust: &Trust, host: &str) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new(&provider)))
                .with_no_client_auth(),
            Trust::System | Trust::File(_) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(match trust {
                    Trust::File(path) => authorities(path)?,
                    _ => rustls_native_certs::load_native_certs().certs,
                });
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| format!("{host} can't be the name of a certificate: {error}"))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// A connection before its handshake. It takes whatever is written to it, however slow its peer is.
    pub(super) fn connection(&self) -> io::Result<ClientConnection> {
        let begun = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut connection = begun.map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        Ok(connection)
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all.map_err(|error| wrong(&error))? {
        none if none.is_empty() => Err(wrong(&"there is no certificate in it")),
        some => Ok(some),
    }
}

/// What to do about an error of the handshake.
pub(super) fn advice(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(_)) => io::Error::other(format!(
            "{error}; --ca FILE names the authority of the server's certificate, --insecure believes any"
        )),
        _ => error,
    }
}

/// Believes whatever certificate is shown, if its owner has the key.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_and_a_name_that_is_none_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let told = |trust: &Trust, host: &str| Secure::new(trust, host).map(drop);
        let missing = told(&Trust::File(path.clone()), "localhost").expect_err("no file");
        assert!(missing.contains("ca.pem: No such file"), "{missing}");
        std::fs::write(&path, "").expect("a file");
        let empty = told(&Trust::File(path), "localhost").expect_err("nothing in it");
        assert!(
            empty.ends_with("ca.pem: there is no certificate in it"),
            "{empty}"
        );
        let name = told(&Trust::Anybody, "a b").expect_err("no name");
        assert!(name.starts_with("a b can't be the name"), "{name}");
        assert_eq!(told(&Trust::Anybody, "127.0.0.1"), Ok(()));
    }
}
