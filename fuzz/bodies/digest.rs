//! Digest: any challenge to our client, any credentials to our server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rollcall_core::digest::{
    Algorithm, Answerer, Authentication, Challenger, Credentials, Guessing, Memory, Users,
};
use rollcall_core::entropy::Entropy;
use rollcall_core::sip::Message;
use rollcall_core::time::Timestamp;

/// Nobody without the password is let in, whatever he says; a challenge is answered by a header that can be sent.
pub fn digest(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else {
        return;
    };
    if value.contains(['\r', '\n']) {
        return;
    }
    let read = |start: &str, name: &str| {
        let raw = format!(
            "{start}\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:a@b>\r\nCall-ID: a\r\n\
             CSeq: 1 PUBLISH\r\n{name}: {value}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(raw)).ok()
    };
    if let Some(request) = read("PUBLISH sip:a@b SIP/2.0", "Authorization") {
        let mut challenger = Challenger::new(Arc::new(Authentication {
            realm: "b".to_owned(),
            users: Users::default(),
            offered: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_life: Duration::from_secs(300),
            host: None,
            publishers: Vec::new(),
            trusted: Vec::new(),
            key: [7; 32],
            guessing: Guessing::default(),
            memory: Arc::new(Memory::new(&mut Entropy::from_number(1))),
        }));
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
        let now = Timestamp::from_millis(1_795_300_000_000);
        assert!(
            challenger.identify(now, &request, source).is_err(),
            "{value:?}"
        );
    }
    if let Some(challenge) = read("SIP/2.0 401 Unauthorized", "WWW-Authenticate") {
        let account = Credentials {
            user: "a\"b\\c".to_owned(),
            password: "secret".to_owned(),
        };
        if let Some(mut answerer) = Answerer::new(&challenge, &account, None) {
            let (_, answer) =
                answerer.authorize("PUBLISH", "sip:a@b", &mut Entropy::from_number(1));
            assert!(!answer.contains(['\r', '\n', '\0']), "{answer:?}");
            assert!(!answer.contains("secret"), "{answer:?}");
        }
    }
}
