//! Whom a certificate speaks for (RFC 5922, 7).

use std::sync::Arc;

use rollcall_core::sip;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use webpki::EndEntityCert;

/// Whether a certificate speaks for this domain: by a `sip:` URI without a user, or by a DNS name, of its
/// subjectAltName. A wildcard names no SIP domain, and the common name of the subject is not looked at: RFC 5922, 7.1
/// allows it for certificates without any subjectAltName only, and no authority issues those any more.
pub(super) fn names(certificate: &CertificateDer<'_>, domain: &str) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return false;
    };
    let domain = sip::domain(domain);
    let is_it = |name: &str| !name.starts_with('*') && sip::domain(name) == domain;
    certificate
        .valid_uri_names()
        .filter_map(sip_domain)
        .any(|name| name == domain)
        || certificate.valid_dns_names().any(is_it)
}

/// The domain of a URI that names one, and nobody in it.
fn sip_domain(uri: &str) -> Option<String> {
    let uri = sip::Uri::parse(uri).ok()?;
    let is_domain = uri.scheme == sip::Scheme::Sip && uri.user.is_none();
    is_domain.then(|| uri.parts().host().into_owned())
}

/// Checks the certificates of servers that we connect to.
#[derive(Debug)]
pub(super) struct SipVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SipVerifier {
    pub fn new(roots: Arc<RootCertStore>, provider: &CryptoProvider) -> Self {
        Self {
            roots,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for SipVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match server_name {
            ServerName::DnsName(domain) if names(end_entity, domain.as_ref()) => {}
            ServerName::DnsName(_) => {
                let certificate = EndEntityCert::try_from(end_entity)
                    .map_err(|_| CertificateError::BadEncoding)?;
                let names = certificate
                    .valid_uri_names()
                    .chain(certificate.valid_dns_names());
                let presented = names.map(str::to_owned).collect();
                let expected = server_name.to_owned();
                return Err(CertificateError::NotValidForNameContext {
                    expected,
                    presented,
                }
                .into());
            }
            // An address has no SIP domain: it must stand there as an address.
            _ => verify_server_name(&parsed, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
