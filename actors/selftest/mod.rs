//! `rollcall selftest`: what a presence server does, held against what the RFCs ask for.
//!
//! Any server can be asked, ours or another's. Each check is a conversation of a peer of its own; a few run side by side.
//! Presentities are made up for the run, what is published, registered and subscribed is taken back, and no more than
//! [`Options::rate`] messages a second are sent.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rollcall_core::digest::Credentials;
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Transport;

use crate::transport::{Network, Tls};

mod builders;
mod checks;
mod dialog;
mod judge;
mod link;
mod pace;
mod peer;
mod request;
mod requirement;
mod sightings;

use peer::{Peer, Shared, Stop};
pub use requirement::{Decision, Level, Over, Requirement, Verdict};
pub use sightings::Traffic;

/// Checks under way at a time.
const SIDE_BY_SIDE: usize = 8;

/// What is asked, of whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is.
    pub target: SocketAddr,
    /// What its certificate must name, over TLS.
    pub host: String,
    /// How to reach it.
    pub transport: Transport,
    /// Authorities, over TLS.
    pub tls: Tls,
    /// The domain in which presentities are made up.
    pub domain: String,
    /// The account, if the server asks for one.
    pub account: Option<Credentials>,
    /// How long an answer may take.
    pub limit: Duration,
    /// Messages a second, at most.
    pub rate: u32,
    /// Only what is meant by one of these words (see [`Requirement::is_meant_by`]); everything if empty.
    pub only: Vec<String>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of the catalogue.
    pub decisions: Vec<Decision>,
    /// What went to and fro.
    pub traffic: Traffic,
}

impl Report {
    /// How many have this verdict's word.
    pub fn count(&self, word: &str) -> usize {
        let decided = |decision: &&Decision| decision.verdict.word() == word;
        self.decisions.iter().filter(decided).count()
    }

    /// Whether everything that MUST be so, and could be seen, is so.
    pub fn conforms(&self) -> bool {
        let bad = |decision: &Decision| {
            decision.requirement.level == Level::Must
                && matches!(
                    decision.verdict,
                    Verdict::Fail { .. } | Verdict::NotTested { .. }
                )
        };
        !self.decisions.iter().any(bad)
    }
}

/// All requirements, in the order of reports.
pub fn catalogue() -> Vec<Requirement> {
    let checks = checks::all().flat_map(|check| check.of);
    checks.chain(checks::EVERY).copied().collect()
}

/// Asks everything that is wanted; each decision is told as it falls. An error says in words that nobody answers.
pub async fn run(
    options: Options,
    entropy: Entropy,
    mut told: impl FnMut(&Decision),
) -> Result<Report, String> {
    let shared = Rc::new(Shared {
        network: Network::Real,
        transport: options.transport,
        target: options.target,
        host: options.host,
        tls: options.tls,
        domain: options.domain,
        account: options.account,
        limit: options.limit,
        pace: pace::Pace::new(options.rate),
        sightings: RefCell::default(),
        usual: Cell::new(200),
    });
    let entropy = RefCell::new(entropy);
    let fork = || entropy.borrow_mut().fork();
    let wanted = |requirement: &Requirement| {
        options.only.is_empty()
            || options
                .only
                .iter()
                .any(|word| requirement.is_meant_by(word))
    };
    let nobody = |stop| match stop {
        Stop::Missing { .. } => "it does not answer OPTIONS".to_owned(),
        Stop::Unready(reason) | Stop::NotOffered(reason) => reason,
    };
    let mut first = Peer::open(shared.clone(), fork()).await.map_err(nobody)?;
    let probe = first.options();
    let answer = first.ask_once(&probe).await.map_err(nobody)?;
    shared.usual.set(peer::code(&answer));

    let checks = checks::all().filter(|check| check.of.iter().any(wanted));
    let mut running = stream::iter(checks)
        .map(|check| converse(check, shared.clone(), fork()))
        .buffered(SIDE_BY_SIDE);
    let mut decisions = Vec::new();
    while let Some(verdicts) = running.next().await {
        for decision in verdicts
            .into_iter()
            .filter(|decision| wanted(&decision.requirement))
        {
            told(&decision);
            decisions.push(decision);
        }
    }
    for decision in checks::judge(&shared.sightings.borrow()) {
        if wanted(&decision.requirement) {
            told(&decision);
            decisions.push(decision);
        }
    }
    let traffic = shared.sightings.borrow().traffic;
    Ok(Report { decisions, traffic })
}

/// One check, from its first message to taking back what it left.
async fn converse(
    check: &'static checks::Check,
    shared: Rc<Shared>,
    entropy: Entropy,
) -> Vec<Decision> {
    let verdicts = match Peer::open(shared, entropy).await {
        Err(stop) => judge::stopped(check.of, stop),
        Ok(mut peer) => {
            let stop = (check.run)(&mut peer).await.err();
            let verdicts = peer.verdicts(check.of, stop);
            peer.take_back().await;
            verdicts
        }
    };
    check
        .of
        .iter()
        .zip(verdicts)
        .map(|(&requirement, verdict)| Decision {
            requirement,
            verdict,
        })
        .collect()
}
