//! `rollcall selftest`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Transport;
use serde_json::json;

use super::publish::Login;
use super::{CliError, output};
use crate::config::SipServer;
use crate::node::NodeError;
use crate::selftest::{self, Decision, Options, Report, Verdict};
use crate::transport::{Network, Tls};

/// Ask a presence server, ours or any other, for everything that the RFCs ask of it
///
/// Presentities are made up for the run and what it published is taken back. Exit code: 0 if everything that MUST be so is
/// so, 1 if not or if nobody answers, 2 if the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Selftest {
    /// The server, e.g. sip:192.0.2.1:5060
    #[arg(value_name = "SIP-URI", required_unless_present = "list")]
    server: Option<String>,

    /// How to reach it: udp, tcp, tls, ws or wss; without, as the URI says, or UDP
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<String>,

    /// The domain in which to make up presentities; without, the host of the URI
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,

    /// Only requirements of this RFC, section or id: 3903, 3261/8.2, publish-tag; may be repeated
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,

    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=120))]
    timeout: u64,

    /// Messages a second, at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,

    /// One JSON object for programs, in place of lines for people
    #[arg(long)]
    json: bool,

    /// Only list the requirements, as a page in Markdown
    #[arg(long)]
    list: bool,

    #[command(flatten)]
    login: Login,
}

impl Selftest {
    pub(super) fn run(self) -> Result<(), CliError> {
        if self.list {
            output::say(catalogue().trim_end());
            return Ok(());
        }
        let wrong = |flag, sentence: String| CliError::Argument { flag, sentence };
        for word in &self.only {
            if !selftest::catalogue()
                .iter()
                .any(|one| one.is_meant_by(word))
            {
                let sentence =
                    format!("{word:?} means no requirement; rollcall selftest --list shows all");
                return Err(wrong("--only", sentence));
            }
        }
        let uri = self.server.clone().unwrap_or_default();
        let server: SipServer = uri
            .parse()
            .map_err(|reason| wrong("SIP-URI", format!("{uri:?} {reason}")))?;
        let transport = match &self.transport {
            None => server.transport.unwrap_or(Transport::Udp),
            Some(name) => Transport::named(name).ok_or_else(|| {
                wrong(
                    "--transport",
                    format!("{name:?} is none of udp, tcp, tls, ws, wss"),
                )
            })?,
        };
        let account = self.login.account()?;
        let tls = Tls::open(&self.login.tls()).map_err(NodeError::from)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| NodeError::Randomness(error.to_string()))?;
        let json = self.json;
        let asking = async {
            let port = server.port.unwrap_or(transport.default_port());
            let found = Network::Real.resolve(&server.host, port).await;
            let target = found
                .map_err(|error| format!("{} does not resolve: {error}", server.host))?
                .first()
                .copied()
                .ok_or_else(|| format!("{} has no address", server.host))?;
            let options = Options {
                target,
                host: server.host.clone(),
                transport,
                tls,
                domain: self
                    .domain
                    .clone()
                    .unwrap_or_else(|| bracketed(&server.host)),
                account,
                limit: Duration::from_secs(self.timeout),
                rate: self.rate,
                only: self.only.clone(),
            };
            let told = |decision: &Decision| {
                if !json {
                    output::say(&line(decision));
                }
            };
            selftest::run(options, Entropy::from_seed(seed), told).await
        };
        match actix_rt::System::new().block_on(asking) {
            Err(reason) => {
                output::complain(&format!("rollcall: {uri} over {transport}: {reason}"));
                Err(CliError::Found)
            }
            Ok(report) => {
                output::say(&if json {
                    as_json(&report)
                } else {
                    summary(&report)
                });
                if report.conforms() {
                    Ok(())
                } else {
                    Err(CliError::Found)
                }
            }
        }
    }
}

/// A host as it stands in a URI.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// `pass  MUST   RFC 3903, 6       publish-tag: 200 has SIP-ETag.`
fn line(
    Decision {
        requirement,
        verdict,
    }: &Decision,
) -> String {
    let place = format!("RFC {}, {}", requirement.rfc, requirement.section);
    let start = format!(
        "{:<11}{:<7}{place:<19} {}: {}",
        verdict.word(),
        requirement.level.as_str(),
        requirement.id,
        requirement.title
    );
    match verdict {
        Verdict::Pass => start,
        Verdict::Fail { expected, came } => {
            format!("{start} Expected {expected}; {} came.", brief(came))
        }
        Verdict::NotApplicable { reason } | Verdict::NotTested { reason } => {
            format!("{start} ({})", brief(reason))
        }
    }
}

/// As much as fits a line.
fn brief(text: &str) -> String {
    let one: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &one[..at]),
        None => one,
    }
}

fn summary(report: &Report) -> String {
    let count = |word| report.count(word);
    let traffic = report.traffic;
    format!(
        "{} requirements: {} pass, {} fail, {} not tested, {} not applicable; {} messages sent, {} received",
        report.decisions.len(),
        count("pass"),
        count("FAIL"),
        count("not tested"),
        count("n/a"),
        traffic.sent,
        traffic.received
    )
}

fn as_json(report: &Report) -> String {
    let decisions: Vec<_> = report
        .decisions
        .iter()
        .map(
            |Decision {
                 requirement,
                 verdict,
             }| {
                let mut one = json!({
                    "id": requirement.id,
                    "rfc": requirement.rfc,
                    "section": requirement.section,
                    "level": requirement.level,
                    "title": requirement.title,
                });
                if let (Some(one), Ok(serde_json::Value::Object(verdict))) =
                    (one.as_object_mut(), serde_json::to_value(verdict))
                {
                    one.extend(verdict);
                }
                one
            },
        )
        .collect();
    json!({ "conforms": report.conforms(), "traffic": report.traffic, "requirements": decisions })
        .to_string()
}

/// The catalogue as a page.
pub fn catalogue() -> String {
    let mut by_rfc: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    let all = selftest::catalogue();
    for requirement in &all {
        by_rfc.entry(requirement.rfc).or_default().push(requirement);
    }
    let mut page = format!(
        "# What `rollcall selftest` asks\n\n{} requirements, written by `rollcall selftest --list`. What Rollcall itself does about each section stands \
         in [rfc-coverage.md](rfc-coverage.md); what another server does differently, in [selftest-kamailio.md](selftest-kamailio.md).\n",
        all.len()
    );
    for (rfc, requirements) in by_rfc {
        page.push_str(&format!(
            "\n## RFC {rfc}\n\n| id | section | level | what must be so |\n|---|---|---|---|\n"
        ));
        for one in requirements {
            page.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                one.id,
                one.section,
                one.level.as_str(),
                one.title
            ));
        }
    }
    page
}
