//! Settings of TLS: our certificate, and whom we believe.

use std::path::PathBuf;

use super::PATH;
use super::address::DOMAIN;
use super::kind::{List, Optional, Truth};
use super::section::Section;

/// What TLS rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whether to make a certificate when there is none.
    pub self_signed: bool,
    /// Authorities of the peers that we connect to.
    pub ca: Option<PathBuf>,
    /// Authorities of those that connect to us.
    pub client_ca: Option<PathBuf>,
    /// Names in their certificates that speak for anybody.
    pub trusted: Vec<String>,
}

impl Tls {
    /// Of a server, which is connected to.
    pub(super) fn read_server(s: &mut Section<'_>) -> Self {
        let (certificate, key) = own(s);
        let self_signed = s.key(
            "self_signed",
            "Makes a certificate at each start, when there is no file. For trying out: nobody can check it.",
            Truth,
            false,
        );
        let ca = authorities(s);
        let client_ca: Option<PathBuf> = s.key(
            "client_ca",
            "Authorities, PEM, of the certificates that are asked of those who connect. Who shows none is still served, by \
             password.",
            Optional { none: "", meaning: "none are asked for", kind: PATH },
            None,
        );
        let trusted: Vec<String> = s.key(
            "trusted",
            "Names in such certificates whose owners need no password and may publish for anybody: proxies, Presence \
             Clients.",
            List { least: 0, kind: DOMAIN },
            Vec::new(),
        );
        if client_ca.is_none() && !trusted.is_empty() {
            let sentence = "no certificates are asked for: tls.client_ca names the authorities that issue them";
            s.problem("trusted", sentence.to_owned());
        }
        Self {
            certificate,
            key,
            self_signed,
            ca,
            client_ca,
            trusted,
        }
    }

    /// Of a client, which connects.
    pub(super) fn read_client(s: &mut Section<'_>) -> Self {
        let (certificate, key) = own(s);
        let ca = authorities(s);
        Self {
            certificate,
            key,
            ca,
            ..Self::default()
        }
    }

    /// Whether there is something to be known by.
    pub fn has_certificate(&self) -> bool {
        self.certificate.is_some() || self.self_signed
    }
}

fn own(s: &mut Section<'_>) -> (Option<PathBuf>, Option<PathBuf>) {
    let certificate: Option<PathBuf> = s.key(
        "certificate",
        "Our certificate and the chain above it, PEM. Read at the start, and again at SIGHUP.",
        Optional {
            none: "",
            meaning: "no certificate",
            kind: PATH,
        },
        None,
    );
    let key: Option<PathBuf> = s.key(
        "key",
        "Its private key, PEM.",
        Optional {
            none: "",
            meaning: "the key in the file of the certificate",
            kind: PATH,
        },
        None,
    );
    if key.is_some() && certificate.is_none() {
        s.problem(
            "key",
            "a key needs its certificate: tls.certificate".to_owned(),
        );
    }
    // Without a file of its own, the key is in that of the certificate.
    if let Some((name, path)) = key
        .as_deref()
        .map(|path| ("key", path))
        .or(certificate.as_deref().map(|path| ("certificate", path)))
    {
        s.check_secret(name, path);
    }
    (certificate, key)
}

fn authorities(s: &mut Section<'_>) -> Option<PathBuf> {
    s.key(
        "ca",
        "Authorities, PEM, that the certificates of servers we connect to are checked with.",
        Optional {
            none: "",
            meaning: "the authorities of this machine",
            kind: PATH,
        },
        None,
    )
}
