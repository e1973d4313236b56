//! Via: the way back (RFC 3261, 20.42; RFC 3581; RFC 5118, 4.5).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use memchr::memchr;

use super::lex::{cut, cut_at_blank, is_token_text, trim_text};
use super::uri::{port, push_host};
use super::{Host, Params};

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// `UDP`, `TCP`, …, in upper case; any token.
    pub transport: Cow<'static, str>,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, when one is written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, …
    pub params: Params,
}

impl Via {
    /// Reads one value; `Err` says in words what is wrong. White space is allowed wherever the grammar has it:
    /// `SIP / 2.0 / UDP h : 5060 ; branch = x`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (front, params) = text.split_at(memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        let (protocol, rest) = cut(front, b'/').ok_or("no protocol")?;
        let (version, rest) = cut(rest, b'/').ok_or("no protocol")?;
        let (protocol, version, rest) = (trim_text(protocol), trim_text(version), trim_text(rest));
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err("not SIP/2.0");
        }
        let (transport, sent_by) = cut_at_blank(rest).ok_or("no sent-by")?;
        if !is_token_text(transport.as_bytes()) {
            return Err("malformed transport");
        }
        let (host, rest) = Host::split(trim_text(sent_by));
        let port = match trim_text(rest) {
            "" => None,
            rest => {
                let digits = rest.strip_prefix(':').ok_or("malformed sent-by")?;
                Some(port(trim_text(digits)).ok_or("malformed port")?)
            }
        };
        Ok(Self {
            transport: upper_case(transport),
            host: Host::parse(trim_text(host)).ok_or("malformed host")?,
            port,
            params: Params::parse(params).ok_or("unterminated quoted string")?,
        })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The `received` parameter, when it is an address; IPv6 with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inner.unwrap_or(text).parse().ok()
    }

    /// The value of `rport` (RFC 3581), which a server has filled in.
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(port)
    }

    /// Whether there is an `rport` parameter, with or without a value: the sender wants its answer at its source port.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// `host` or `host:port` as written, in lower case: one half of what a transaction is matched by (RFC 3261, 17.2.3).
    pub fn sent_by(&self) -> String {
        let mut text = String::with_capacity(24);
        push_host(&mut text, &self.host, self.port);
        text
    }
}

/// The usual transports need no text of their own.
fn upper_case(transport: &str) -> Cow<'static, str> {
    let usual = ["UDP", "TCP", "TLS", "WS", "WSS"];
    match usual
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(transport))
    {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(transport.to_ascii_uppercase()),
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SIP/2.0/{} {}{}",
            self.transport,
            self.sent_by(),
            self.params
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via {
        Via::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn white_space_is_allowed_wherever_the_grammar_has_it() {
        let read =
            via("SIP / 2.0 /  udp   Host.Example : 5062 ; branch = z9hG4bKa ;rport; x=\"a;b\"");
        assert_eq!(
            read.to_string(),
            "SIP/2.0/UDP host.example:5062;branch=z9hG4bKa;rport;x=\"a;b\""
        );
        assert_eq!(read.branch(), Some("z9hG4bKa"));
        assert_eq!(via("SIP/2.0/UDP h;x=\"/;\";branch=z9").branch(), Some("z9"));
    }

    #[test]
    fn ipv6_is_read_with_and_without_a_port() {
        assert_eq!(
            via("SIP/2.0/UDP [2001:DB8::9:1];branch=z").sent_by(),
            "[2001:db8::9:1]"
        );
        assert_eq!(
            via("SIP/2.0/UDP [::ffff:192.0.2.10]:19823").sent_by(),
            "[::ffff:192.0.2.10]:19823"
        );
    }

    #[test]
    fn received_may_have_brackets_around_ipv6_or_none() {
        let expected: Option<IpAddr> = Some("2001:db8::9:255".parse().expect("an address"));
        assert_eq!(
            via("SIP/2.0/UDP h;received=2001:db8::9:255;branch=z").received(),
            expected
        );
        assert_eq!(
            via("SIP/2.0/UDP h;received=[2001:db8::9:255];branch=z").received(),
            expected
        );
        assert_eq!(via("SIP/2.0/UDP h;received=elsewhere").received(), None);
    }

    #[test]
    fn rport_with_and_without_a_value() {
        assert!(via("SIP/2.0/UDP h;rport").wants_rport());
        assert_eq!(via("SIP/2.0/UDP h;rport").rport(), None);
        assert_eq!(via("SIP/2.0/UDP h;rport=5062").rport(), Some(5062));
        assert!(!via("SIP/2.0/UDP h").wants_rport());
    }

    #[test]
    fn sent_by_leaves_a_port_out_only_if_none_was_written() {
        assert_eq!(via("SIP/2.0/UDP H:5060").sent_by(), "h:5060");
        assert_eq!(via("SIP/2.0/UDP H").sent_by(), "h");
    }

    #[test]
    fn any_transport_is_a_transport() {
        assert_eq!(&*via("SIP/2.0/UNKNOWN t4.example").transport, "UNKNOWN");
        assert_eq!(&*via("SIP/2.0/ws v16.invalid;branch=z").transport, "WS");
    }

    #[test]
    fn what_is_no_via_is_refused_in_words() {
        for (text, reason) in [
            ("", "no protocol"),
            ("SIP/2.0 UDP h", "no protocol"),
            ("SIP/2.0/UDP", "no sent-by"),
            ("SIP/2.0/UDP ;branch=z", "no sent-by"),
            ("HTTP/2.0/UDP h", "not SIP/2.0"),
            ("SIP/3.0/UDP h", "not SIP/2.0"),
            ("SIP/2.0/UDP h i", "malformed host"),
            ("SIP/2.0/UDP h:x", "malformed port"),
            ("SIP/2.0/UDP h:99999", "malformed port"),
            ("SIP/2.0/UDP [::1]x", "malformed sent-by"),
            ("SIP/2.0/UDP h;x=\"", "unterminated quoted string"),
        ] {
            assert_eq!(Via::parse(text), Err(reason), "{text}");
        }
    }
}
