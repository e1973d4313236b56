//! What a role's configuration means for TLS.

use crate::config;
use crate::transport::tls::Files;

/// Of a client.
pub(super) fn of_client(settings: &config::Tls) -> Files {
    Files {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        authorities: settings.ca.clone(),
        ..Files::default()
    }
}

/// Of a server. A certificate made for trying out names what clients may have been told: the domains, the addresses
/// listened at, and localhost.
pub(super) fn of_server(settings: &config::Server) -> Files {
    let names = || {
        // An address is in brackets as a domain, but not in a certificate.
        let domains = settings.domains.iter();
        let mut names: Vec<String> = domains
            .map(|domain| domain.trim_matches(['[', ']']).to_owned())
            .collect();
        names.push("localhost".to_owned());
        let listened = settings.listen.iter().map(|listen| listen.addr.ip());
        names.extend(
            listened
                .chain(settings.advertise)
                .filter(|ip| !ip.is_unspecified())
                .map(|ip| ip.to_string()),
        );
        names.sort();
        names.dedup();
        names
    };
    Files {
        self_signed: settings.tls.self_signed.then(names),
        client_authorities: settings.tls.client_ca.clone(),
        trusted: settings.tls.trusted.clone(),
        ..of_client(&settings.tls)
    }
}
