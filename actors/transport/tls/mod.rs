//! TLS by rustls: our certificate for those who connect to us, and whom we believe when we connect (RFC 3261, 26.3; RFC 5922).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{Duplex, Stream};

mod certificate;
mod identity;
#[cfg(test)]
mod tests;

pub use certificate::CertificateError;
use certificate::Shelf;
use identity::SipVerifier;

/// Which files a node's TLS rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Our certificate and the chain above it, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Makes a certificate for these names, when there is no file: for trying out, since nobody can check it.
    pub self_signed: Option<Vec<String>>,
    /// Certificates of the authorities that peers' certificates are checked with when we connect; the system's when
    /// `None`.
    pub authorities: Option<PathBuf>,
    /// Authorities of the certificates that we ask of those who connect to us; none are asked for when `None`.
    pub client_authorities: Option<PathBuf>,
    /// Names in such certificates whose owners speak for anybody, as a trusted address does.
    pub trusted: Vec<String>,
}

/// A node's TLS.
#[derive(Clone, Default)]
pub struct Tls {
    own: Option<Arc<Shelf>>,
    acceptor: Option<TlsAcceptor>,
    roots: Option<Arc<RootCertStore>>,
    /// Made when first needed: reading the system's authorities takes a while, and few nodes connect by TLS.
    connector: Arc<OnceLock<TlsConnector>>,
    trusted: Arc<[String]>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("accepts", &self.acceptor.is_some())
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

/// A stream that somebody opened to us, after the handshake.
pub struct Accepted {
    /// What is encrypted on the wire and plain here.
    pub stream: Stream,
    /// Whether the peer has shown a certificate with a trusted name.
    pub trusted: bool,
    /// The certificate that it has shown, if any, which one of our authorities has signed.
    pub shown: Option<Shown>,
}

/// The certificate of a peer.
#[derive(Clone, Debug)]
pub struct Shown(CertificateDer<'static>);

impl Shown {
    /// Whether it speaks for this domain (RFC 5922, 7.1).
    pub fn names(&self, domain: &str) -> bool {
        identity::names(&self.0, domain)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

impl Tls {
    /// Reads the files. Errors name the file and what is wrong with it.
    pub fn open(files: &Files) -> Result<Self, CertificateError> {
        let own = certificate::own(files, &provider())?
            .map(Shelf::new)
            .map(Arc::new);
        let roots = files
            .authorities
            .as_deref()
            .map(certificate::authorities)
            .transpose()?;
        let mut acceptor = None;
        if let Some(own) = &own {
            let builder = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(CertificateError::Unusable)?;
            let builder = match &files.client_authorities {
                None => builder.with_no_client_auth(),
                Some(path) => {
                    let roots = Arc::new(certificate::authorities(path)?);
                    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error| CertificateError::file(path, error))?;
                    builder.with_client_cert_verifier(verifier)
                }
            };
            let config = builder.with_cert_resolver(own.clone());
            acceptor = Some(TlsAcceptor::from(Arc::new(config)));
        }
        Ok(Self {
            own,
            acceptor,
            roots: roots.map(Arc::new),
            connector: Arc::default(),
            trusted: files.trusted.clone().into(),
        })
    }

    /// Reads certificate and key again: connections that begin from now on get them. With an error all stays as it was.
    pub fn reload(&self, files: &Files) -> Result<(), CertificateError> {
        let made = files.certificate.is_none();
        if let Some(own) = self.own.as_ref().filter(|_| !made)
            && let Some(fresh) = certificate::own(files, &provider())?
        {
            own.put(fresh);
        }
        Ok(())
    }

    /// The certificate that peers are shown, when there is one: its SHA-256 fingerprint, as `openssl x509 -fingerprint`
    /// prints it.
    pub fn fingerprint(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.fingerprint())
    }

    /// Whether peers that we connect to are shown a certificate.
    pub fn has_certificate(&self) -> bool {
        self.own.is_some()
    }

    /// Shakes hands with somebody who has connected. There is no time limit but the caller's.
    pub async fn accept(&self, stream: Stream) -> io::Result<Accepted> {
        let acceptor = self
            .acceptor
            .as_ref()
            .ok_or_else(|| other("there is no certificate"))?;
        let stream = acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let end = chain.and_then(|chain| chain.first());
        let shown = end.map(|end| Shown(end.clone().into_owned()));
        let trusted = shown
            .as_ref()
            .is_some_and(|shown| self.trusted.iter().any(|name| shown.names(name)));
        Ok(Accepted {
            stream: Box::new(stream),
            trusted,
            shown,
        })
    }

    /// Shakes hands with the host that we have connected to, whose certificate must name it (RFC 5922, 7.3).
    pub async fn connect(&self, stream: Stream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(other)?;
        let connector = match self.connector.get() {
            Some(connector) => connector,
            None => {
                let made = self.connector()?;
                self.connector.get_or_init(|| made)
            }
        };
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => Arc::new(certificate::system_authorities()),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SipVerifier::new(roots, &provider())));
        let config = match &self.own {
            Some(own) => builder.with_client_cert_resolver(own.clone()),
            None => builder.with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Duplex for server::TlsStream<Stream> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.peer_addr()
    }
}

impl Duplex for client::TlsStream<Stream> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.peer_addr()
    }
}
