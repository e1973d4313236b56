use super::*;
use crate::endpoint::shard_of;

fn name(text: &str) -> String {
    let uri = Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    uri.aor()
}

/// Each line: spellings of one name, the normal one first.
const SAME: [&[&str]; 14] = [
    &[
        "sip:alice@example.com",
        "sip:alice@EXAMPLE.com",
        "SIP:alice@example.com",
        "sIpS:alice@example.com",
        "sip:alice@example.com.",
        "sip:alice@Example.Com..",
        "sip:alice@example.com:5060",
        "sip:alice@example.com:05060",
        "sip:alice@example.com:5061",
        "sip:alice@example.com:5070",
        "sips:alice@example.com:5061",
        "sip:alice@example.com.:5060",
        "sip:%61lice@example.com",
        "sip:%61%6C%69%63%65@example.com",
        "sip:%61%6c%69%63%65@example.com",
        "sip:alice:secret@example.com",
        "sip:alice:@example.com",
        "sip:alice@example.com;transport=tcp",
        "sip:alice@example.com;user=ip",
        "sip:alice@example.com;user=phone",
        "sip:alice@example.com;maddr=192.0.2.1;lr",
        "sip:alice@example.com?Subject=x",
        "pres:alice@example.com",
        "PRES:alice@example.com.",
        "im:alice@example.com",
    ],
    &[
        "sip:Alice@example.com",
        "sip:%41lice@example.com",
        "sip:Alice@example.com;user=phone",
    ],
    &[
        "sip:a-b_c.d!e~f*g'(h)@h",
        "sip:a%2Db%5fc%2Ed%21e%7Ef%2Ag%27%28h%29@H",
    ],
    &[
        "sip:a&b=c+d$e,f?g/h@h",
        "sip:a%26b%3Dc%2Bd%24e%2Cf%3Fg%2Fh@h",
        "sip:a%26b%3dc+d$e,f?g/h@h.",
    ],
    &[
        "sip:zo%C3%AB@example.com",
        "sip:zo%c3%ab@example.com",
        "sip:zoë@example.com",
    ],
    &[
        "sip:a%40b%3A%00@example.com",
        "sips:a%40b%3a%00@example.com",
    ],
    &[
        "sip:+15551234@example.com",
        "sip:%2B15551234@example.com",
        "sip:%2b1555%31234@example.com;user=phone",
        "sip:+1-555-1234@example.com;user=phone",
        "sip:+1.555.1234@example.com;User=Phone",
        "sip:+1(555)1234@example.com:5060;user=phone",
        "sip:+15551234;isub=7@example.com;user=phone",
        "sip:+1%2D5551234@example.com;user=phone",
    ],
    &[
        "tel:+15551234",
        "TEL:+1-555-1234",
        "tel:+1.555.1234",
        "tel:+1(555)1234;isub=12",
        "tel:%2B15551234",
        "tel:+1-555-1234;phone-context=example.com",
    ],
    &[
        "tel:7042;phone-context=example.com",
        "tel:70-42;phone-context=EXAMPLE.com",
        "tel:7042;ext=1;phone-context=example.com.",
    ],
    &[
        "sip:alice@192.0.2.1",
        "sip:alice@[::ffff:192.0.2.1]",
        "sip:alice@[::FFFF:c000:201]:5060",
        "sip:alice@192.0.2.1.",
    ],
    &[
        "sip:alice@[2001:db8::1]",
        "sip:alice@[2001:DB8:0:0:0:0:0:1]",
        "sip:alice@[2001:0db8::0001]:5060",
        "sips:alice@[2001:db8::1]",
    ],
    &[
        "sip:alice@xn--bcher-kva.example",
        "sip:alice@XN--BCHER-KVA.example",
    ],
    &[
        "sip:example.com",
        "sips:example.com:5061",
        "sip:EXAMPLE.COM.;transport=tls",
    ],
    &[
        "sip:desk;ext=5%40pbx@example.org",
        "sip:desk;ext=5%40pbx@Example.org",
        "sip:desk;ext%3D5%40pbx@example.org",
    ],
];

/// Names that are alike, and other people's.
const OTHERS: [&str; 22] = [
    "sip:alice@example.com",
    "sip:Alice@example.com",
    "sip:alic@example.com",
    "sip:alice%00@example.com",
    "sip:alice%20@example.com",
    "sip:alice%2540@example.com",
    "sip:alice;x=y@example.com",
    "sip:alice%3Bx=y@example.com",
    "sip:alice%40example.com@example.com",
    "sip:alice@example.org",
    "sip:alice@www.example.com",
    "sip:alice@example.com.example.org",
    "sip:alice@example",
    "sip:alice@192.0.2.1",
    "sip:alice@[2001:db8::1]",
    "sip:example.com",
    "sip:+15551234@example.com",
    "sip:15551234@example.com",
    "sip:+1-555-1234@example.com",
    "tel:+15551234",
    "tel:15551234",
    "urn:alice@example.com",
];

#[test]
fn each_spelling_has_the_one_name_and_lands_on_the_one_shard() {
    let mut pairs = 0;
    for spellings in SAME {
        for spelling in spellings {
            assert_eq!(name(spelling), spellings[0], "{spelling}");
            assert_eq!(normal_name(spelling), spellings[0], "{spelling}");
            for shards in [2, 3, 64] {
                assert_eq!(
                    shard_of(&name(spelling), shards),
                    shard_of(spellings[0], shards)
                );
            }
            pairs += 1;
        }
    }
    assert!(pairs >= 60, "{pairs}");
}

#[test]
fn other_people_have_other_names() {
    let mut names: Vec<String> = OTHERS.iter().map(|text| name(text)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), OTHERS.len(), "{names:?}");
}

#[test]
fn a_client_writes_the_port_that_is_no_default() {
    for (text, address) in [
        ("sip:a@h:5070;x", "sip:a@h:5070"),
        ("sip:a@h:5060", "sip:a@h"),
        ("sips:a@H.:5061", "sip:a@h"),
        ("sip:a@[::1]:5080", "sip:a@[::1]:5080"),
    ] {
        let uri = Uri::parse(text).expect(text);
        assert_eq!(uri.address(), address);
        assert_eq!(
            Uri::parse(address).map(|uri| uri.address()).as_deref(),
            Ok(address)
        );
    }
}

#[test]
fn an_account_has_the_name_that_its_owner_publishes_under() {
    for (account, home, expected) in [
        ("bob", "Example.COM.", "sip:bob@example.com"),
        ("bob@EXAMPLE.org.", "example.com", "sip:bob@example.org"),
        ("+1555", "example.com", "sip:+1555@example.com"),
        ("%2B1555", "example.com", "sip:+1555@example.com"),
        ("a b", "example.com", "sip:a%20b@example.com"),
        ("a@b@c", "example.com", "sip:a%40b@c"),
        ("100%", "example.com", "sip:100%25@example.com"),
        ("bob", "::ffff:192.0.2.1", "sip:bob@192.0.2.1"),
        ("bob", "[2001:DB8::1]", "sip:bob@[2001:db8::1]"),
        ("bob", "2001:db8:0::1", "sip:bob@[2001:db8::1]"),
        ("bob", "My Company", "sip:bob@my-company"),
    ] {
        let made = account_name(account, home);
        assert_eq!(made, expected);
        assert_eq!(name(&made), made);
    }
}

#[test]
fn a_number_is_one_of_the_domain_that_it_is_served_in() {
    let home = |text: &str| at_home(name(text), Some("example.com"));
    assert_eq!(home("tel:+1-555"), name("sip:+1555@example.com;user=phone"));
    assert_eq!(
        home("tel:70-42;phone-context=x.example"),
        name("sip:7042;phone-context=x.example@example.com;user=phone")
    );
    assert_eq!(home("sip:a@h"), "sip:a@h");
    assert_eq!(at_home("tel:+1".to_owned(), None), "tel:+1");
    assert_eq!(
        (user_of("tel:+1"), user_of("sip:a%40@h"), user_of("sip:h")),
        ("+1", "a%40", "h")
    );
    assert_eq!((host_of("sip:a@h"), host_of("tel:+1")), (Some("h"), None));
}

#[test]
fn what_is_no_name_is_left_alone() {
    for text in [
        "",
        "alice",
        "sip:",
        "sip:@h",
        "sip:a b@h",
        "sip:a@...",
        "tel:---",
        "urn:x",
    ] {
        assert_eq!(normal_name(text), text);
    }
}

proptest::proptest! {
    /// A name is its own name, and a client's address has the same one.
    #[test]
    fn a_name_names_itself(
        scheme in "(sip|sips|pres|tel|SIP)", user in "[a-zA-Z0-9%;=+&$,?/._!~*'()-]{1,16}",
        host in "([a-zA-Z0-9.-]{1,12}|\\[::ffff:1\\.2\\.3\\.[0-9]\\]|\\[[0-9a-fA-F]{1,4}::[0-9a-fA-F]{1,4}\\])",
        rest in "(:50[0-9]{2})?(;user=phone)?(;phone-context=[a-zA-Z0-9%.+]{1,6})?",
    ) {
        let text = match scheme.as_str() {
            "tel" => format!("tel:{user}{}", rest.trim_start_matches(|c| c != ';')),
            _ => format!("{scheme}:{user}@{host}{rest}"),
        };
        if let Ok(uri) = Uri::parse(&text) {
            let name = uri.aor();
            let again = Uri::parse(&name).map(|uri| uri.aor());
            proptest::prop_assert_eq!(again.as_deref(), Ok(&*name), "{}", text);
            let address = Uri::parse(&uri.address()).map(|uri| uri.aor());
            proptest::prop_assert_eq!(address.as_deref(), Ok(&*name), "{}", text);
            proptest::prop_assert_eq!(normal_name(&name), &*name);
        }
    }
}
