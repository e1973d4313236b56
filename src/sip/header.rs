//! Header names (RFC 3261, 7.3.1 and 20): known ones as an enum, found without regard to case, compact forms included.

/// The enum and its spelling, so that each name stands once.
macro_rules! names {
    ($($variant:ident $text:literal)*) => {
        /// A header name. Headers nobody here looks into are [`Name::Other`]: see [`super::Message::other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any other name, as written in the message.
            Other,
        }

        impl Name {
            /// Every known name.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            /// The long form as RFCs spell it; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    Accept "Accept"
    AcceptContact "Accept-Contact"
    AcceptEncoding "Accept-Encoding"
    AcceptLanguage "Accept-Language"
    Allow "Allow"
    AllowEvents "Allow-Events"
    AuthenticationInfo "Authentication-Info"
    Authorization "Authorization"
    CallId "Call-ID"
    Contact "Contact"
    ContentDisposition "Content-Disposition"
    ContentEncoding "Content-Encoding"
    ContentId "Content-ID"
    ContentLength "Content-Length"
    ContentType "Content-Type"
    CSeq "CSeq"
    Date "Date"
    Event "Event"
    Expires "Expires"
    From "From"
    Identity "Identity"
    IdentityInfo "Identity-Info"
    MaxForwards "Max-Forwards"
    MimeVersion "MIME-Version"
    MinExpires "Min-Expires"
    Organization "Organization"
    PAssertedIdentity "P-Asserted-Identity"
    Path "Path"
    Priority "Priority"
    ProxyAuthenticate "Proxy-Authenticate"
    ProxyAuthorization "Proxy-Authorization"
    ProxyRequire "Proxy-Require"
    RecordRoute "Record-Route"
    ReferredBy "Referred-By"
    ReferTo "Refer-To"
    RejectContact "Reject-Contact"
    Replaces "Replaces"
    RequestDisposition "Request-Disposition"
    Require "Require"
    RetryAfter "Retry-After"
    Route "Route"
    Server "Server"
    ServiceRoute "Service-Route"
    SessionExpires "Session-Expires"
    SipEtag "SIP-ETag"
    SipIfMatch "SIP-If-Match"
    Subject "Subject"
    SubscriptionState "Subscription-State"
    Supported "Supported"
    SuppressIfMatch "Suppress-If-Match"
    Timestamp "Timestamp"
    To "To"
    Unsupported "Unsupported"
    UserAgent "User-Agent"
    Via "Via"
    Warning "Warning"
    WwwAuthenticate "WWW-Authenticate"
}

impl Name {
    /// The name that these bytes spell, in any case, long or compact.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        // Length first: it leaves a handful of candidates.
        let candidates: &[Self] = match name.len() {
            1 => return Self::of_compact(name[0]),
            2 => &[Self::To],
            3 => &[Self::Via],
            4 => &[Self::CSeq, Self::From, Self::Date, Self::Path],
            5 => &[Self::Event, Self::Route, Self::Allow],
            6 => &[Self::Accept, Self::Server],
            7 => &[
                Self::CallId,
                Self::Contact,
                Self::Expires,
                Self::Require,
                Self::Subject,
                Self::Warning,
            ],
            8 => &[
                Self::Identity,
                Self::Priority,
                Self::ReferTo,
                Self::Replaces,
                Self::SipEtag,
            ],
            9 => &[Self::Supported, Self::Timestamp],
            10 => &[Self::UserAgent, Self::ContentId],
            11 => &[
                Self::MinExpires,
                Self::ReferredBy,
                Self::RetryAfter,
                Self::Unsupported,
            ],
            12 => &[
                Self::AllowEvents,
                Self::ContentType,
                Self::MaxForwards,
                Self::SipIfMatch,
                Self::MimeVersion,
                Self::Organization,
                Self::RecordRoute,
            ],
            13 => &[
                Self::Authorization,
                Self::IdentityInfo,
                Self::ProxyRequire,
                Self::ServiceRoute,
            ],
            14 => &[
                Self::ContentLength,
                Self::AcceptContact,
                Self::RejectContact,
            ],
            15 => &[
                Self::AcceptEncoding,
                Self::AcceptLanguage,
                Self::SessionExpires,
            ],
            16 => &[Self::ContentEncoding, Self::WwwAuthenticate],
            17 => &[Self::SuppressIfMatch],
            18 => &[Self::ProxyAuthenticate, Self::SubscriptionState],
            19 => &[
                Self::AuthenticationInfo,
                Self::ContentDisposition,
                Self::PAssertedIdentity,
                Self::ProxyAuthorization,
                Self::RequestDisposition,
            ],
            _ => return Self::Other,
        };
        // Written as in the RFCs nearly always, and that is the shorter comparison.
        let spelled = |known: &&Self| known.as_str().as_bytes() == name;
        let alike = |known: &&Self| known.as_str().as_bytes().eq_ignore_ascii_case(name);
        let mut known = candidates.iter();
        known
            .clone()
            .find(spelled)
            .or_else(|| known.find(alike))
            .copied()
            .unwrap_or(Self::Other)
    }

    /// Compact forms (RFC 3261, 7.3.3; the IANA registry has the later ones).
    fn of_compact(letter: u8) -> Self {
        match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'd' => Self::RequestDisposition,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'j' => Self::RejectContact,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'n' => Self::IdentityInfo,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for &name in Name::KNOWN {
            assert_eq!(Name::of(name.as_str().as_bytes()), name);
            assert_eq!(
                Name::of(name.as_str().to_ascii_uppercase().as_bytes()),
                name
            );
            assert_eq!(
                Name::of(name.as_str().to_ascii_lowercase().as_bytes()),
                name
            );
        }
    }

    #[test]
    fn compact_forms_are_the_long_names() {
        let long: Vec<_> = "vftimlckousexrbajdny"
            .bytes()
            .map(|letter| Name::of(&[letter]))
            .collect();
        let expected = [
            Name::Via,
            Name::From,
            Name::To,
            Name::CallId,
            Name::Contact,
            Name::ContentLength,
            Name::ContentType,
            Name::Supported,
            Name::Event,
            Name::AllowEvents,
            Name::Subject,
            Name::ContentEncoding,
            Name::SessionExpires,
            Name::ReferTo,
            Name::ReferredBy,
            Name::AcceptContact,
            Name::RejectContact,
            Name::RequestDisposition,
            Name::IdentityInfo,
            Name::Identity,
        ];
        assert_eq!(long, expected);
        assert_eq!(Name::of(b"M"), Name::Contact);
    }

    #[test]
    fn an_unknown_name_is_other() {
        for name in ["X-Mood", "z", "", "Fron", "Content-Lengths"] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other);
        }
    }
}
