//! Both ends against each other, and against the RFCs' own figures.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::entropy::Entropy;
use crate::exchange::{Account, Identity};
use crate::sip::Message;
use crate::time::Timestamp;

mod guessing;

const START: Timestamp = Timestamp::from_millis(1_795_300_000_000);
/// Where clients are.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);

/// A server with one account, bob with the password secret.
struct Server {
    how: Arc<Authentication>,
    challenger: Challenger,
    entropy: Entropy,
    now: Timestamp,
}

impl Server {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Authentication)) -> Self {
        let mut users = Users::default();
        assert!(users.add("bob", "example.com", "secret"));
        let mut how = Authentication {
            realm: "example.com".to_owned(),
            users,
            offered: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_life: Duration::from_secs(300),
            host: Some("example.com".to_owned()),
            publishers: vec!["client".to_owned()],
            trusted: vec!["192.0.2.9".parse().unwrap()],
            key: [7; 32],
            guessing: Guessing::default(),
            memory: Arc::new(Memory::new(&mut Entropy::from_number(3))),
        };
        change(&mut how);
        let how = Arc::new(how);
        Self {
            challenger: Challenger::new(Arc::clone(&how)),
            how,
            entropy: Entropy::from_number(1),
            now: START,
        }
    }

    fn challenge(&mut self, stale: bool) -> Message {
        let head = self
            .challenger
            .challenge(self.now, HERE.ip(), stale, &mut self.entropy);
        let lines = String::from_utf8(head.as_bytes().to_vec()).unwrap();
        response(&format!("401 Unauthorized\r\n{lines}"))
    }

    fn identify(&mut self, request: &Message) -> Result<Identity, Denied> {
        self.challenger.identify(self.now, request, HERE)
    }
}

fn response(rest: &str) -> Message {
    Message::parse(Bytes::from(format!("SIP/2.0 {rest}\r\n"))).expect("a response")
}

fn account(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

fn request(line: &str) -> Message {
    let text = format!(
        "PUBLISH sip:bob@example.com SIP/2.0\r\nTo: <sip:bob@example.com>\r\nFrom: <sip:bob@example.com>;tag=a\r\n{line}\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).expect("a request")
}

/// The next request of a client.
fn authorized(answerer: &mut Answerer) -> Message {
    let uri = "sip:bob@example.com";
    let (name, value) = answerer.authorize("PUBLISH", uri, &mut Entropy::from_number(2));
    request(&format!("{}: {value}", name.as_str()))
}

fn bob() -> Identity {
    Identity::User(Account::new("bob", "example.com"))
}

#[test]
fn the_figures_of_rfc_7616_come_out() {
    // 3.9.1: Mufasa's GET, by MD5 and by SHA-256.
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let counted = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"));
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let ha1 = algorithm.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        let answer = super::response(algorithm, &ha1, nonce, counted, "GET", "/dir/index.html");
        assert_eq!(answer, expected);
    }
}

#[test]
fn the_best_offer_is_taken_and_its_answer_names_the_sender() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let mut answerer =
        Answerer::new(&challenge, &account("bob", "secret"), None).expect("an offer");
    let first = authorized(&mut answerer);
    let text = String::from_utf8(first.raw().to_vec()).unwrap();
    assert!(
        text.contains("algorithm=SHA-256") && text.contains("nc=00000001"),
        "{text}"
    );
    assert_eq!(server.identify(&first), Ok(bob()));
    // The nonce is good for what follows, each count once, and in any order.
    let (second, third) = (authorized(&mut answerer), authorized(&mut answerer));
    assert_eq!(server.identify(&third), Ok(bob()));
    assert_eq!(server.identify(&second), Ok(bob()));
    for replayed in [&first, &second, &third] {
        assert_eq!(
            server.identify(replayed),
            Err(Denied::Challenge { stale: true })
        );
    }
}

#[test]
fn wrong_credentials_and_unknown_users_are_alike() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    for (user, password) in [("bob", "wrong"), ("eve", "secret"), ("", "")] {
        let mut answerer = Answerer::new(&challenge, &account(user, password), None).unwrap();
        let answer = authorized(&mut answerer);
        assert_eq!(
            server.identify(&answer),
            Err(Denied::Challenge { stale: false }),
            "{user}"
        );
    }
    assert_eq!(
        server.identify(&request("X: y")),
        Err(Denied::Challenge { stale: false })
    );
}

#[test]
fn a_nonce_that_is_old_or_not_ours_is_stale() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    server.now = START + Duration::from_secs(300);
    assert_eq!(server.identify(&authorized(&mut answerer)), Ok(bob()));
    server.now = START + Duration::from_millis(300_001);
    assert_eq!(
        server.identify(&authorized(&mut answerer)),
        Err(Denied::Challenge { stale: true })
    );
    // The same server after a restart has another key.
    let mut restarted = Server::with(|how| how.key = [8; 32]);
    assert_eq!(
        restarted.identify(&authorized(&mut answerer)),
        Err(Denied::Challenge { stale: true })
    );
    // The client answers a stale challenge again, and one that only repeats itself not.
    let again = server.challenge(true);
    let next = Answerer::new(&again, &account("bob", "secret"), Some(&answerer));
    assert_eq!(server.identify(&authorized(&mut next.unwrap())), Ok(bob()));
    let refused = server.challenge(false);
    assert!(Answerer::new(&refused, &account("bob", "secret"), Some(&answerer)).is_none());
}

#[test]
fn credentials_for_another_request_are_none() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    let mut entropy = Entropy::from_number(3);
    for (method, uri) in [
        ("SUBSCRIBE", "sip:bob@example.com"),
        ("PUBLISH", "sip:alice@example.com"),
        ("PUBLISH", "nonsense"),
    ] {
        let (name, value) = answerer.authorize(method, uri, &mut entropy);
        let other = request(&format!("{}: {value}", name.as_str()));
        assert_eq!(
            server.identify(&other),
            Err(Denied::Challenge { stale: false }),
            "{method} {uri}"
        );
    }
    // What names the server alone, as some clients write.
    let (name, value) = answerer.authorize("PUBLISH", "sip:192.0.2.5:5060", &mut entropy);
    let short = request(&format!("{}: {value}", name.as_str()));
    assert_eq!(server.identify(&short), Ok(bob()));
    // A proxy may have written the Request-URI anew; To is as it was.
    let (name, value) =
        answerer.authorize("PUBLISH", "sip:bob@example.com;user=phone", &mut entropy);
    let proxied = request(&format!("{}: {value}", name.as_str()));
    assert_eq!(server.identify(&proxied), Ok(bob()));
}

#[test]
fn old_phones_without_qop_and_by_md5_are_served_once_per_nonce() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let text = String::from_utf8(challenge.raw().to_vec()).unwrap();
    let nonce = text
        .split("nonce=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let ha1 = Algorithm::Md5.ha1("bob", "example.com", "secret");
    let uri = "sip:bob@example.com";
    let answer = super::response(Algorithm::Md5, &ha1, nonce, None, "PUBLISH", uri);
    let old = request(&format!(
        "Authorization: Digest username=\"bob\",realm=\"example.com\", nonce=\"{nonce}\",uri=\"{uri}\",response=\"{answer}\""
    ));
    assert_eq!(server.identify(&old), Ok(bob()));
    assert_eq!(
        server.identify(&old),
        Err(Denied::Challenge { stale: true })
    );
}

#[test]
fn a_trusted_address_needs_no_password_and_another_realm_is_not_ours() {
    let mut server = Server::new();
    let plain = request("X: y");
    let trusted = "[::ffff:192.0.2.9]:5060".parse().unwrap();
    assert_eq!(
        server.challenger.identify(START, &plain, trusted),
        Ok(Identity::Trusted)
    );
    let foreign = response(
        "407 Proxy Authentication Required\r\nProxy-Authenticate: Digest realm=\"elsewhere\", nonce=\"n\", \
         opaque=\"o\", qop=\"auth-int, auth\"\r\nProxy-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=SHA-999\r\n",
    );
    let mut answerer = Answerer::new(&foreign, &account("bob", "secret"), None).expect("an offer");
    let answer = authorized(&mut answerer);
    let text = String::from_utf8(answer.raw().to_vec()).unwrap();
    assert!(text.contains("Proxy-Authorization: Digest"), "{text}");
    assert!(
        text.contains("opaque=\"o\"") && !text.contains("algorithm"),
        "{text}"
    );
    assert_eq!(
        server.identify(&answer),
        Err(Denied::Challenge { stale: false })
    );
}

#[test]
fn a_name_without_host_belongs_to_the_domain_whatever_the_realm_is() {
    let login = |change: &dyn Fn(&mut Authentication)| {
        let mut server = Server::with(change);
        let challenge = server.challenge(false);
        let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
        server.identify(&authorized(&mut answerer))
    };
    let own = |home| Ok(Identity::User(Account::new("bob", home)));
    assert_eq!(
        login(&|how| how.host = Some("Example.ORG.".to_owned())),
        own("example.org")
    );
    // Without a domain it is good with every host, but for one that is somebody else's.
    let everywhere = Account::new("bob", "example.com").with_every_host(true);
    assert_eq!(
        login(&|how| how.host = None),
        Ok(Identity::User(everywhere))
    );
    let beside = |how: &mut Authentication| {
        how.host = None;
        assert!(how.users.add("bob@example.org", "example.com", "x"));
    };
    assert_eq!(login(&beside), own("example.com"));
}

#[test]
fn an_account_of_publishers_speaks_for_anybody() {
    let mut server = Server::with(|how| {
        how.publishers = vec!["client@EXAMPLE.com.".to_owned()];
        assert!(how.users.add("client", "example.com", "x"));
    });
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("client", "x"), None).unwrap();
    let client = Account::new("client", "example.com").for_anybody(true);
    assert_eq!(
        server.identify(&authorized(&mut answerer)),
        Ok(Identity::User(client))
    );
}

#[test]
fn the_next_nonce_is_taken_from_an_answer() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    authorized(&mut answerer);
    answerer.follow(&response(
        "200 OK\r\nAuthentication-Info: nextnonce=\"fresh\", qop=auth\r\n",
    ));
    let (_, value) = answerer.authorize(
        "PUBLISH",
        "sip:bob@example.com",
        &mut Entropy::from_number(4),
    );
    assert!(
        value.contains("nonce=\"fresh\"") && value.contains("nc=00000001"),
        "{value}"
    );
}

#[test]
fn users_are_written_as_they_are_read() {
    let mut users = Users::default();
    assert!(users.add("bob", "example.com", "secret"));
    assert!(users.add("alice@example.org", "example.com", "geheim"));
    for bad in ["", "a:b", "a\nb", "#a"] {
        assert!(!users.add(bad, "example.com", "x"), "{bad:?}");
    }
    let text = users.to_string();
    assert_eq!(Users::parse(&text), Ok(users.clone()));
    assert_eq!(
        Users::parse(&format!("# a comment\n\n{text}")),
        Ok(users.clone())
    );
    assert!(!text.contains("secret"));
    assert_eq!(users.count("example.com"), 2);
    assert!(users.remove("bob", "example.com") && !users.remove("bob", "example.com"));
    for (text, line) in [("bob:r:MD5", 1), ("\nbob:r:MD4:00", 2), ("bob:r:MD5:00", 1)] {
        assert_eq!(Users::parse(text).unwrap_err().line, line, "{text}");
    }
}

proptest::proptest! {
    /// No header, whatever is in it, takes a server down or lets anybody in.
    #[test]
    fn any_credentials_are_read_or_refused(value in "(Digest )?([a-z]{0,8}=\"?[ -~]{0,20}\"?,? ?){0,8}") {
        let mut server = Server::new();
        let denied = server.identify(&request(&format!("Authorization: {value}")));
        proptest::prop_assert_eq!(denied, Err(Denied::Challenge { stale: false }));
    }

    /// What we write of any names is read back by the other end.
    #[test]
    fn any_user_and_password_log_in(user in "[ !#-9;-\\[\\]-~é]{1,20}", password in "\\PC{0,40}") {
        let mut known = Users::default();
        if known.add(&user, "example.com", &password) {
            let mut server = Server::with(|how| how.users = known);
            let challenge = server.challenge(false);
            let mut answerer = Answerer::new(&challenge, &account(&user, &password), None).unwrap();
            let identity = server.identify(&authorized(&mut answerer));
            proptest::prop_assert!(matches!(identity, Ok(Identity::User(_))), "{:?}", identity);
        }
    }
}
