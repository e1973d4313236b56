//! Finds the servers of a name: asks what [`rollcall_core::resolve`] wants to know, over the DNS or in a memory network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rollcall_core::exchange::Transport;
use rollcall_core::resolve::{Answer, Question, Resolution, Servers, Step, Wanted};
use tokio::time::timeout;

use crate::transport::{MemoryHost, Network};

mod dns;
#[cfg(test)]
mod tests;

use dns::Dns;

/// How long a resolution may take in all.
const LIMIT: Duration = Duration::from_secs(5);

/// How long NAPTR and SRV may take, each: there are networks that swallow such questions, and the time for the address
/// must be left.
const SERVICES: Duration = Duration::from_millis(1500);

/// Who knows the servers of names.
#[derive(Clone, Debug)]
pub struct Resolver(Source);

#[derive(Clone, Debug)]
enum Source {
    Dns(Arc<Dns>),
    Memory(MemoryHost),
}

impl Resolver {
    /// For this network: over real sockets these name servers, or those of this machine if there are none, and
    /// `/etc/hosts` before them; a memory network knows its own names. Reads the machine's files, and asks nobody yet.
    ///
    /// The connections to name servers belong to the thread that asks first, so each thread has a resolver of its own.
    pub fn new(network: &Network, name_servers: &[SocketAddr]) -> Self {
        Self(match network {
            Network::Real => Source::Dns(Arc::new(Dns::new(name_servers))),
            Network::Memory(host) => Source::Memory(host.clone()),
        })
    }

    /// Whether the files that it was made from have changed since: then a new one knows better.
    pub fn is_outdated(&self) -> bool {
        match &self.0 {
            Source::Dns(dns) => dns.is_outdated(),
            Source::Memory(_) => false,
        }
    }

    /// The servers of a name, for one who can open these transports, the preferred one first; or in words why there is
    /// none. Takes 5 s at most.
    pub async fn locate(&self, wanted: Wanted, ours: &[Transport]) -> Result<Servers, String> {
        let host = wanted.host.clone();
        match timeout(LIMIT, self.resolve(wanted, ours)).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "no address for host {host}: the DNS gave no answer in time"
            )),
        }
    }

    async fn resolve(&self, wanted: Wanted, ours: &[Transport]) -> Result<Servers, String> {
        // Who is in /etc/hosts is not looked for in the DNS.
        let local = match &self.0 {
            Source::Dns(dns) => dns.is_local(&wanted.host),
            Source::Memory(_) => false,
        };
        let (mut resolution, mut step) = Resolution::begin(wanted, ours);
        loop {
            match step {
                Step::Ask(questions) => {
                    let asking = questions.iter().map(|question| self.ask(question, local));
                    step = resolution.answer(join_all(asking).await);
                }
                Step::Done(result) => return result.map_err(|error| error.to_string()),
            }
        }
    }

    async fn ask(&self, question: &Question, local: bool) -> Answer {
        let dns = match &self.0 {
            Source::Memory(host) => return host.ask(question),
            Source::Dns(dns) => dns,
        };
        match question {
            Question::Naptr(_) if local => Answer::Naptr(Vec::new()),
            Question::Srv(_) if local => Answer::Srv(Vec::new()),
            Question::Naptr(_) | Question::Srv(_) => timeout(SERVICES, dns.ask(question))
                .await
                .unwrap_or_else(|_| Answer::Failed("the DNS gave no answer in time".to_owned())),
            Question::Address(_) => dns.ask(question).await,
        }
    }
}
