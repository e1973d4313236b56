//! Handshakes within the process: which certificates are believed, and what a reload changes.

use std::fs;
use std::path::Path;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// An authority whose certificate stands in `ca.pem`.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate and its key into one file.
    fn issue(&self, file: &str, names: Vec<SanType>) -> PathBuf {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let path = self.path(file);
        fs::write(&path, certificate.pem() + &key.serialize_pem()).expect("written");
        path
    }

    fn server(&self, certificate: &Path) -> Tls {
        Tls::open(&Files {
            certificate: Some(certificate.to_owned()),
            ..Files::default()
        })
        .expect("a server's TLS")
    }

    fn client(&self) -> Tls {
        Tls::open(&Files {
            authorities: Some(self.path("ca.pem")),
            ..Files::default()
        })
        .expect("a client's TLS")
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).expect("a name"))
}

fn uri(uri: &str) -> SanType {
    SanType::URI(Ia5String::try_from(uri).expect("a URI"))
}

/// One handshake, and one line over it. Whether the server trusts the client, or the client's error.
async fn meet(server: &Tls, client: &Tls, host: &str) -> Result<bool, String> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serving = async {
        let Accepted {
            mut stream,
            trusted,
            ..
        } = server.accept(Box::new(theirs)).await?;
        let mut line = [0; 5];
        stream.read_exact(&mut line).await?;
        stream.write_all(&line).await?;
        stream.flush().await?;
        io::Result::Ok(trusted)
    };
    let asking = async {
        let mut stream = client.connect(Box::new(ours), host).await?;
        stream.write_all(b"hello").await?;
        let mut line = [0; 5];
        stream.read_exact(&mut line).await?;
        assert_eq!(&line, b"hello");
        io::Result::Ok(())
    };
    let (served, asked) = tokio::join!(serving, asking);
    asked.map_err(|error| error.to_string())?;
    served.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_certificate_speaks_for_the_domains_of_its_uris_and_names_and_for_no_others() {
    let authority = Authority::new();
    let client = authority.client();
    let names = vec![
        dns("host.example.com"),
        dns("*.example.org"),
        uri("sip:Example.COM"),
        uri("sip:alice@people.example.com"),
        uri("https://web.example.com"),
        SanType::IpAddress("127.0.0.1".parse().expect("an address")),
    ];
    let server = authority.server(&authority.issue("server.pem", names));
    for host in [
        "host.example.com",
        "example.com",
        "HOST.example.com",
        "127.0.0.1",
    ] {
        assert_eq!(meet(&server, &client, host).await, Ok(false), "{host}");
    }
    for host in [
        "a.example.org",
        "people.example.com",
        "web.example.com",
        "example.net",
        "127.0.0.2",
    ] {
        let refused = meet(&server, &client, host).await;
        assert!(
            refused
                .as_ref()
                .is_err_and(|e| e.contains("not valid for name")),
            "{host}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_not_believed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = stranger.server(&stranger.issue("server.pem", vec![dns("example.com")]));
    let refused = meet(&server, &authority.client(), "example.com").await;
    assert!(
        refused.as_ref().is_err_and(|e| e.contains("certificate")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_client_with_a_trusted_name_is_trusted_and_one_without_is_served() {
    let authority = Authority::new();
    let server = Tls::open(&Files {
        certificate: Some(authority.issue("server.pem", vec![dns("example.com")])),
        client_authorities: Some(authority.path("ca.pem")),
        trusted: vec!["proxy.example.com".to_owned()],
        ..Files::default()
    })
    .expect("a server's TLS");
    let with = |certificate: Option<PathBuf>| {
        let authorities = Some(authority.path("ca.pem"));
        Tls::open(&Files {
            certificate,
            authorities,
            ..Files::default()
        })
        .expect("a client's TLS")
    };
    let proxy = with(Some(
        authority.issue("proxy.pem", vec![dns("proxy.example.com")]),
    ));
    assert_eq!(meet(&server, &proxy, "example.com").await, Ok(true));
    let other = with(Some(
        authority.issue("other.pem", vec![dns("other.example.com")]),
    ));
    assert_eq!(meet(&server, &other, "example.com").await, Ok(false));
    assert_eq!(meet(&server, &with(None), "example.com").await, Ok(false));
    let stranger = Authority::new();
    let forged = with(Some(
        stranger.issue("proxy.pem", vec![dns("proxy.example.com")]),
    ));
    assert!(meet(&server, &forged, "example.com").await.is_err());
}

#[tokio::test]
async fn a_reload_exchanges_the_certificate_and_a_bad_file_changes_nothing() {
    let authority = Authority::new();
    let client = authority.client();
    let path = authority.issue("server.pem", vec![dns("old.example.com")]);
    let files = Files {
        certificate: Some(path.clone()),
        ..Files::default()
    };
    let server = Tls::open(&files).expect("a server's TLS");
    assert_eq!(meet(&server, &client, "old.example.com").await, Ok(false));

    fs::write(&path, "no certificate").expect("written");
    let error = server.reload(&files).expect_err("a bad file").to_string();
    assert!(
        error.contains("server.pem") && error.contains("holds no private key"),
        "{error}"
    );
    assert_eq!(meet(&server, &client, "old.example.com").await, Ok(false));

    authority.issue("server.pem", vec![dns("new.example.com")]);
    server.reload(&files).expect("a good file");
    assert_eq!(meet(&server, &client, "new.example.com").await, Ok(false));
    // A client that was here before would take up its session, and look at no certificate.
    let newcomer = authority.client();
    assert!(meet(&server, &newcomer, "old.example.com").await.is_err());
}

#[tokio::test]
async fn a_certificate_made_for_trying_out_is_believed_by_who_has_it_alone() {
    let files = Files {
        self_signed: Some(vec!["localhost".to_owned()]),
        ..Files::default()
    };
    let server = Tls::open(&files).expect("a server's TLS");
    assert_eq!(server.fingerprint().map(|print| print.len()), Some(95));
    assert!(
        meet(&server, &Authority::new().client(), "localhost")
            .await
            .is_err()
    );
}

#[test]
fn files_that_are_wrong_are_named() {
    let authority = Authority::new();
    let missing = Files {
        certificate: Some(authority.path("nowhere.pem")),
        ..Files::default()
    };
    let error = Tls::open(&missing).expect_err("no file").to_string();
    assert!(error.contains("nowhere.pem"), "{error}");
    let keyless = Files {
        certificate: Some(authority.path("ca.pem")),
        ..Files::default()
    };
    let error = Tls::open(&keyless).expect_err("no key").to_string();
    assert!(
        error.contains("ca.pem") && error.contains("private key"),
        "{error}"
    );
    let alien = authority.issue("alien.pem", vec![dns("example.com")]);
    let mixed = Files {
        certificate: Some(authority.path("ca.pem")),
        key: Some(alien),
        ..Files::default()
    };
    let error = Tls::open(&mixed).expect_err("another's key").to_string();
    assert!(error.contains("can't be used"), "{error}");
}
