//! Replayed credentials and guessed passwords, as one shard and another see them.

use super::*;

/// Another shard of the same node.
fn other_shard(server: &Server) -> Challenger {
    Challenger::new(Arc::clone(&server.how))
}

#[test]
fn a_count_that_one_shard_has_seen_is_used_on_all_of_them() {
    let mut server = Server::new();
    let mut other = other_shard(&server);
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    let (first, second) = (authorized(&mut answerer), authorized(&mut answerer));
    assert_eq!(server.identify(&second), Ok(bob()));
    assert_eq!(
        other.identify(server.now, &second, HERE),
        Err(Denied::Challenge { stale: true })
    );
    // One that was overtaken is new, wherever it comes out.
    assert_eq!(other.identify(server.now, &first, HERE), Ok(bob()));
    assert_eq!(
        server.identify(&first),
        Err(Denied::Challenge { stale: true })
    );
    // A count may be left out, and one that is too far behind is not taken.
    for _ in 0..100 {
        authorized(&mut answerer);
    }
    let late = authorized(&mut answerer);
    for _ in 0..70 {
        authorized(&mut answerer);
    }
    assert_eq!(
        other.identify(server.now, &authorized(&mut answerer), HERE),
        Ok(bob())
    );
    assert_eq!(
        server.identify(&late),
        Err(Denied::Challenge { stale: true })
    );
}

#[test]
fn a_nonce_is_good_for_the_address_that_it_was_given_to() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let mut answerer = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    let request = authorized(&mut answerer);
    for elsewhere in ["192.0.2.2:5060", "[2001:db8::1]:5060"] {
        let elsewhere = elsewhere.parse().unwrap();
        let denied = server.challenger.identify(server.now, &request, elsewhere);
        assert_eq!(denied, Err(Denied::Challenge { stale: true }));
    }
    let mapped = "[::ffff:192.0.2.1]:5060".parse().unwrap();
    let identity = server.challenger.identify(server.now, &request, mapped);
    assert_eq!(identity, Ok(bob()));
}

#[test]
fn a_password_is_not_tried_by_a_nonce_of_ones_own_nor_after_too_many() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let own = response(
        "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"example.com\", nonce=\"n\"\r\n",
    );
    for password in ["secret", "wrong"] {
        let mut answerer = Answerer::new(&own, &account("bob", password), None).unwrap();
        let denied = server.identify(&authorized(&mut answerer));
        assert_eq!(denied, Err(Denied::Challenge { stale: true }), "{password}");
    }
    assert_eq!(server.challenger.take_failures(), (0, None));
    let guess = |server: &mut Server, user: &str, password: &str| {
        let mut answerer = Answerer::new(&challenge, &account(user, password), None).unwrap();
        server.identify(&authorized(&mut answerer))
    };
    // Somebody who is there, and somebody who is not.
    for user in ["bob", "no\"[2J \u{e9}body@x"] {
        for _ in 0..6 {
            assert_eq!(
                guess(&mut server, user, "wrong"),
                Err(Denied::Challenge { stale: false })
            );
        }
        let waits = Err(Denied::Wait(Duration::from_secs(1)));
        assert_eq!(guess(&mut server, user, "wrong"), waits);
        assert_eq!(guess(&mut server, user, "secret"), waits);
    }
    let (failures, told) = server.challenger.take_failures();
    let told = told.map(|told| (told.user, told.failures));
    assert_eq!((failures, told), (12, Some(("bob".to_owned(), 1))));
    server.now = server.now + Duration::from_secs(11);
    let _ = guess(&mut server, "no\"[2J \u{e9}body@x", "wrong");
    let (_, told) = server.challenger.take_failures();
    let told = told.expect("it is told again");
    assert_eq!(
        (&*told.user, told.failures),
        ("no%22%5B2J%20%C3%A9body@x", 12)
    );
    let _ = guess(&mut server, "bob", "secret").expect("he has waited");
    // His phone goes on, whatever others do meanwhile.
    for _ in 0..200 {
        let _ = guess(&mut server, "bob", "wrong");
        let _ = guess(&mut server, "eve", "wrong");
    }
    let mut phone = Answerer::new(&challenge, &account("bob", "secret"), None).unwrap();
    authorized(&mut phone);
    assert_eq!(server.identify(&authorized(&mut phone)), Ok(bob()));
}

/// Hashes that are computed for a request, and its answer.
fn cost(server: &mut Server, request: &Message) -> (u32, Result<Identity, Denied>) {
    let before = algorithm::hashes();
    let answer = server.identify(request);
    (algorithm::hashes() - before, answer)
}

#[test]
fn an_account_that_is_there_costs_and_hears_the_same_as_one_that_is_not_and_who_waits_costs_no_hash()
 {
    for algorithm in Algorithm::ALL {
        let mut server = Server::with(|how| how.offered = vec![algorithm]);
        let challenge = server.challenge(false);
        for round in 0..20 {
            let costs = ["bob", "eve"].map(|user| {
                let mut answerer =
                    Answerer::new(&challenge, &account(user, "wrong"), None).unwrap();
                cost(&mut server, &authorized(&mut answerer))
            });
            assert_eq!(costs[0], costs[1], "{algorithm:?} {round}");
            let waits = Err(Denied::Wait(Duration::from_secs(1)));
            let expected = match round {
                0..6 => (2, Err(Denied::Challenge { stale: false })),
                _ => (0, waits),
            };
            assert_eq!(costs[0], expected, "{algorithm:?} {round}");
        }
    }
}

#[test]
fn each_of_many_credentials_in_one_request_counts_and_is_told_once() {
    let mut server = Server::new();
    let challenge = server.challenge(false);
    let lines: Vec<String> = (0..100)
        .map(|number| {
            let account = account("bob", &format!("guess{number}"));
            let mut answerer = Answerer::new(&challenge, &account, None).unwrap();
            let uri = "sip:bob@example.com";
            let (name, value) = answerer.authorize("PUBLISH", uri, &mut Entropy::from_number(2));
            format!("{}: {value}", name.as_str())
        })
        .collect();
    let many = request(&lines.join("\r\n"));
    let waits = Err(Denied::Wait(Duration::from_secs(1)));
    assert_eq!(cost(&mut server, &many), (12, waits));
    let (failures, told) = server.challenger.take_failures();
    assert_eq!((failures, told.map(|told| told.failures)), (6, Some(1)));
}
