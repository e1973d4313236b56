//! What settings of a server don't go together.

use rollcall_core::watcherinfo::Handling;

use super::{Auth, Server};
use crate::config::{Listen, Section};

impl Server {
    /// A policy is only as good as what is known of watchers.
    pub(super) fn check_watchers(&self, s: &mut Section<'_>) {
        if self.watchers.policy != Handling::Allow && !self.authenticates() {
            let sentence = "nobody is asked for a password, so a watcher is whoever it says it is";
            s.warning("watchers.policy", sentence.to_owned());
        }
    }

    /// What is encrypted needs a certificate.
    pub(super) fn check_certificate(&self, s: &mut Section<'_>) {
        let secure = self
            .listen
            .iter()
            .find(|listen| listen.transport.is_secure());
        if let Some(listen) = secure.filter(|_| !self.tls.has_certificate()) {
            let sentence = format!(
                "{listen} needs a certificate: tls.certificate and tls.key, or tls.self_signed = true for trying out"
            );
            s.problem("listen", sentence);
        }
    }

    /// An address that strangers reach.
    pub(super) fn open(&self) -> Option<&Listen> {
        let mut listen = self.listen.iter();
        listen.find(|listen| !listen.addr.ip().is_loopback())
    }

    /// Without authentication a server that strangers reach is somebody's decision, never a default; and with it, somebody
    /// must be able to log in.
    pub(super) fn check_openness(&self, s: &mut Section<'_>) {
        let nobody = self.digest.users.is_none()
            && self.digest.accounts.is_empty()
            && self.digest.trusted.is_empty();
        if self.auth == Auth::Digest && nobody {
            let sentence = "digest needs digest.users, a file of accounts that rollcall user add writes, or digest.accounts";
            s.problem("auth", sentence.to_owned());
        }
        let Some(open) = self.open() else {
            return;
        };
        if self.auth == Auth::Off {
            let sentence = format!(
                "{open} is reachable from other machines and authentication is off: anybody there can publish and watch"
            );
            s.warning("listen", sentence);
        } else if self.auth == Auth::Auto && nobody {
            let sentence = format!(
                "{open} is reachable from other machines and nobody can log in; allowed are loopback addresses, or any \
                 with digest.users, a file of accounts, or with auth = \"off\" said explicitly"
            );
            s.problem("listen", sentence);
        }
    }
}
