//! Via.
use super::{Host, Params};
use std::fmt;
use std::net::IpAddr;

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// `UDP`, `TCP`, …, in upper case.
    pub transport: Box<str>,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, when one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}

impl Via {
    /// Reads one value; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let _ = text;
        todo!()
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The `received` parameter, when it is an address.
    pub fn received(&self) -> Option<IpAddr> {
        todo!()
    }

    /// The value of `rport` (RFC 3581).
    pub fn rport(&self) -> Option<u16> {
        todo!()
    }

    /// Whether there is an `rport` parameter, with or without a value: the sender wants its answer at its source port.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// `host` or `host:port` as written, in lower case.
    pub fn sent_by(&self) -> String {
        todo!()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
