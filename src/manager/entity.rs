//! Names of presentities: what may stand in `entity`, and which spellings mean the same one.
//!
//! The Manager knows no SIP but what a URI is, by which presentities are told apart.

use crate::sip::{Uri, UriError};

/// Why a text names no presentity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntityError {
    /// Another scheme, or none.
    #[error("a presentity is a URI that begins with sip:, sips: or pres:")]
    Scheme,
    /// No host.
    #[error("the URI has no host")]
    Host,
    /// Blanks, quotes, angle brackets or control characters.
    #[error("the URI has a character that must not stand in one")]
    Character,
}

/// The one spelling of a presentity's address: see [`Uri::address`]. `sips:` and `pres:` name the same presentity as `sip:`
/// (RFC 3856, 5).
pub fn normal(uri: &str) -> Result<String, EntityError> {
    let (scheme, rest) = uri.split_once(':').ok_or(EntityError::Scheme)?;
    if !["sip", "sips", "pres"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(EntityError::Scheme);
    }
    if rest
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "<>\"\\^`{|}".contains(c))
    {
        return Err(EntityError::Character);
    }
    // Parameters may follow the host only: the user part may hold `;` and `?` itself.
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let host = host.split([';', '?']).next().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.is_empty() || user.is_some_and(str::is_empty) {
        return Err(EntityError::Host);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if !host.chars().all(allowed) {
        return Err(EntityError::Character);
    }
    let uri = Uri::parse(uri).map_err(|error| match error {
        UriError::Scheme => EntityError::Scheme,
        UriError::User | UriError::Host | UriError::Port => EntityError::Host,
        UriError::Character | UriError::Escape => EntityError::Character,
    })?;
    Ok(uri.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_presentity_have_one_normal_form() {
        for uri in [
            "sip:alice@example.com",
            "SIP:alice@EXAMPLE.com",
            "sips:alice@example.com;transport=tcp",
            "pres:alice@example.com?Subject=x",
            "sip:%61lice@example.com.:5060",
        ] {
            assert_eq!(normal(uri).as_deref(), Ok("sip:alice@example.com"), "{uri}");
        }
        assert_eq!(
            normal("sip:Alice@[::0:1]:5070").as_deref(),
            Ok("sip:Alice@[::1]:5070")
        );
        assert_eq!(normal("sip:127.0.0.1").as_deref(), Ok("sip:127.0.0.1"));
    }

    #[test]
    fn what_names_no_presentity_is_refused() {
        for (uri, error) in [
            ("alice@example.com", EntityError::Scheme),
            ("tel:+123", EntityError::Scheme),
            ("", EntityError::Scheme),
            ("sip:", EntityError::Host),
            ("sip:@example.com", EntityError::Host),
            ("sip:alice@", EntityError::Host),
            ("sip:alice@:5060", EntityError::Host),
            ("sip:al ice@example.com", EntityError::Character),
            ("sip:alice@exa<mple.com", EntityError::Character),
            ("sip:alice@exämple.com", EntityError::Character),
            ("sip:alice%4@example.com", EntityError::Character),
            ("sip:alice@example.com:x", EntityError::Host),
        ] {
            assert_eq!(normal(uri), Err(error), "{uri}");
        }
    }
}
