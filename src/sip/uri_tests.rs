use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn aor(text: &str) -> String {
    uri(text).aor()
}

#[test]
fn a_uri_is_taken_apart_and_prints_as_it_was() {
    let read = uri("sip:alice:secret@Example.COM:5070;transport=tcp;lr?subject=x&priority=urgent");
    assert_eq!(read.scheme, Scheme::Sip);
    assert_eq!(read.user.as_deref(), Some("alice"));
    assert_eq!(read.password.as_deref(), Some("secret"));
    assert_eq!(read.host, Host::Name("example.com".into()));
    assert_eq!(read.port, Some(5070));
    assert_eq!(read.params.get("transport"), Some("tcp"));
    assert_eq!(read.headers.as_deref(), Some("subject=x&priority=urgent"));
    assert_eq!(
        read.to_string(),
        "sip:alice:secret@example.com:5070;transport=tcp;lr?subject=x&priority=urgent"
    );
}

#[test]
fn ipv6_stands_in_brackets_and_its_port_behind_them() {
    let read = uri("sip:a@[2001:DB8::10:5070]");
    assert_eq!(
        (read.host.to_string().as_str(), read.port),
        ("[2001:db8::10:5070]", None)
    );
    let read = uri("sip:[2001:db8::10]:5070;lr");
    assert_eq!(
        (read.host.to_string().as_str(), read.port),
        ("[2001:db8::10]", Some(5070))
    );
    let mapped = uri("sip:a@[::ffff:192.0.2.2]");
    assert_eq!(mapped.to_string(), "sip:a@[::ffff:192.0.2.2]");
}

#[test]
fn the_user_reaches_to_the_at_sign_and_keeps_its_parameters() {
    let read = uri("sip:desk;ext=5%40pbx@example.org");
    assert_eq!(read.user.as_deref(), Some("desk;ext=5%40pbx"));
    assert_eq!(read.params, Params::new());
    assert_eq!(read.aor(), "sip:desk;ext=5%40pbx@example.org");
}

#[test]
fn headers_are_no_part_of_the_host() {
    let read = uri("sip:bob@h.example?Subject=x");
    assert_eq!(read.host, Host::Name("h.example".into()));
    assert_eq!(read.headers.as_deref(), Some("Subject=x"));
}

#[test]
fn a_parameter_value_may_have_colons() {
    assert_eq!(
        uri("sip:a@h;gr=urn:uuid:f81d").params.get("gr"),
        Some("urn:uuid:f81d")
    );
}

#[test]
fn other_schemes_are_kept_whole() {
    let tel = uri("tel:+1-201-555-0123;phone-context=example.com");
    assert_eq!(tel.opaque.as_deref(), Some("+1-201-555-0123"));
    assert_eq!(
        tel.to_string(),
        "tel:+1-201-555-0123;phone-context=example.com"
    );
    for text in [
        "urn:service:sos",
        "http://www.example.com/a?b",
        "isbn:2983792873",
        "nobody.talks://192.0.2.3:1",
    ] {
        let read = uri(text);
        assert!(matches!(read.scheme, Scheme::Other(_)) && read.opaque.is_some());
        assert_eq!(read.to_string(), text);
    }
    let pres = uri("pres:alice@x.example");
    assert_eq!(
        (pres.user.as_deref(), pres.password.as_deref()),
        (Some("alice"), None)
    );
}

#[test]
fn what_is_no_uri_is_refused_with_its_reason() {
    for (text, error) in [
        ("alice", UriError::Scheme),
        ("", UriError::Scheme),
        ("1sip:a@h", UriError::Scheme),
        ("<sip:a@h>", UriError::Character),
        ("sip:a b@h", UriError::Character),
        ("sip:a\u{7f}@h", UriError::Character),
        ("sip:@h", UriError::User),
        ("sip:", UriError::Host),
        ("sip:a@", UriError::Host),
        ("sip:a@b@c", UriError::Host),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@[::1]x", UriError::Host),
        ("sip:a@2001:db8::1", UriError::Port),
        ("sip:a@h:", UriError::Port),
        ("sip:a@h:65536", UriError::Port),
        ("sip:a@h:-1", UriError::Port),
        ("sip:a%4@h", UriError::Escape),
    ] {
        assert_eq!(Uri::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn one_presentity_has_one_identity() {
    for text in [
        "sip:alice@example.com",
        "SIP:alice@EXAMPLE.com",
        "sip:%61lice@example.com",
        "sip:al%69ce@example.com;transport=tcp",
        "sip:alice:pw@example.com",
        "sip:alice@example.com?subject=x",
        "sips:alice@example.com",
        "pres:alice@example.com",
        "im:alice@example.com",
    ] {
        assert_eq!(aor(text), "sip:alice@example.com", "{text}");
    }
}

#[test]
fn different_presentities_have_different_identities() {
    let texts = [
        "sip:alice@example.com",
        "sip:Alice@example.com",
        "sip:alice@example.org",
        "sip:example.com",
        "sip:alice%00@example.com",
        "sip:alice%00%00@example.com",
        "sip:alice;a=b@example.com",
        "sip:alice%3Ba=b@example.com",
        "sip:alice@[::1]",
        "tel:+12015550123",
        "tel:12015550123",
        "urn:service:sos",
    ];
    let mut aors: Vec<String> = texts.iter().map(|text| aor(text)).collect();
    aors.sort();
    aors.dedup();
    assert_eq!(aors.len(), texts.len(), "{aors:?}");
}

#[test]
fn an_escaped_nul_does_not_cut_an_identity_short() {
    assert_eq!(
        aor("sip:null-%00-null@example.com"),
        "sip:null-%00-null@example.com"
    );
}

#[test]
fn an_escape_is_decoded_once() {
    assert_eq!(aor("sip:%2561@example.com"), "sip:%2561@example.com");
    assert_eq!(
        aor("sip:sips%3Auser%40example.com@example.net"),
        "sip:sips%3Auser%40example.com@example.net"
    );
}

#[test]
fn a_number_has_no_separators_in_its_identity() {
    assert_eq!(aor("tel:+1-(201)-555.0123"), "tel:+12015550123");
    assert_eq!(
        aor("tel:7042;phone-context=Example.COM"),
        "tel:7042;phone-context=example.com"
    );
}

#[test]
fn an_identity_names_itself() {
    for text in [
        "sip:a%20b;c=d@h.example:5061;lr",
        "sips:[2001:db8::1]:5061",
        "tel:+1-2",
        "pres:zo%c3%ab@x",
    ] {
        assert_eq!(aor(&aor(text)), aor(text));
    }
}

/// The rules of RFC 3261, 19.1.4, on addresses of our own.
#[test]
fn equality_follows_the_rules_of_19_1_4() {
    for (one, two) in [
        (
            "sip:%61nna@atlanta.example;transport=TCP",
            "sip:anna@AtlanTa.example;Transport=tcp",
        ),
        ("sip:carol@chi.example", "sip:carol@chi.example;newparam=5"),
        ("sip:carol@chi.example;a=1", "sip:carol@chi.example;b=2"),
        (
            "sip:b.example;transport=tcp;method=REGISTER?to=sip:c%40b.example",
            "sip:b.example;method=REGISTER;transport=tcp?to=sip:c%40b.example",
        ),
        (
            "sip:a@h?subject=x&priority=y",
            "sip:a@h?priority=y&Subject=x",
        ),
        ("tel:+1-201", "tel:+1201"),
    ] {
        assert!(
            uri(one).equals(&uri(two)) && uri(two).equals(&uri(one)),
            "{one} = {two}"
        );
    }
    for (one, two) in [
        ("sip:ANNA@h.example", "sip:anna@h.example"),
        ("sip:bob@h.example", "sip:bob@h.example:5060"),
        ("sip:bob@h.example", "sip:bob@h.example;transport=udp"),
        (
            "sip:bob@h.example;transport=udp",
            "sip:bob@h.example;transport=tcp",
        ),
        ("sip:bob@h.example", "sip:bob@h.example;maddr=192.0.2.1"),
        (
            "sip:carol@chi.example",
            "sip:carol@chi.example?Subject=next",
        ),
        ("sip:carol@h;a=1", "sip:carol@h;a=2"),
        ("sip:bob@h.example", "sips:bob@h.example"),
        ("sip:bob@h.example", "sip:bob:x@h.example"),
    ] {
        assert!(
            !uri(one).equals(&uri(two)) && !uri(two).equals(&uri(one)),
            "{one} /= {two}"
        );
    }
}

#[test]
fn a_parameter_that_stands_there_twice_counts_by_its_first_value() {
    let uri = |text: &str| Uri::parse(text).expect(text);
    let twice = uri("sip:a@b;x=1;p;x=2");
    assert!(twice.equals(&twice));
    assert!(twice.equals(&uri("sip:a@b;x=1;p")));
    assert!(!twice.equals(&uri("sip:a@b;x=2;p")));
}
