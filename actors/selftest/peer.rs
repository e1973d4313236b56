//! The peer of one check: a link of its own, what it heard and has not looked at yet, the verdicts so far, and what it
//! must take back at the end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rollcall_core::digest::{Answerer, Credentials};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Transport;
use rollcall_core::sip::{Message, Name};
use tokio::time::{Instant, timeout_at};

use super::dialog::Dialog;
use super::link::{Heard, Link};
use super::pace::Pace;
use super::request::Request;
use super::requirement::Verdict;
use super::sightings::Sightings;
use crate::transport::{Network, Tls};

/// The first retransmission over datagrams, and the longest wait between two (RFC 3261, 17.1.2.1: T1 and T2).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// What all peers of a run share.
pub(super) struct Shared {
    pub network: Network,
    pub transport: Transport,
    pub target: SocketAddr,
    /// What its certificate must name.
    pub host: String,
    pub tls: Tls,
    /// Where the presentities are.
    pub domain: String,
    pub account: Option<Credentials>,
    /// How long a single answer may take.
    pub limit: Duration,
    pub pace: Pace,
    pub sightings: RefCell<Sightings>,
    /// What an ordinary OPTIONS is answered with: odd ones that are valid must get the same.
    pub usual: std::cell::Cell<u16>,
}

/// Why a check can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// What the next requirement is about did not come.
    Missing { expected: String, came: String },
    /// What had to be there first is not.
    Unready(String),
    /// The server does not offer it.
    NotOffered(String),
}

impl Stop {
    /// A step that is only a preparation failed.
    pub fn unready(self) -> Self {
        match self {
            Self::Missing { expected, came } => {
                Self::Unready(format!("{expected} was wanted first, but {came} came"))
            }
            other => other,
        }
    }
}

/// The peer of one check.
pub(super) struct Peer {
    pub shared: Rc<Shared>,
    link: Link,
    entropy: Entropy,
    count: u32,
    kept: VecDeque<Message>,
    /// What requests of the server were answered with, by branch.
    answers: BTreeMap<String, Vec<u8>>,
    pub(super) verdicts: BTreeMap<&'static str, Verdict>,
    /// What is published, by Request-URI and entity-tag.
    published: BTreeSet<(String, String)>,
    registered: BTreeSet<String>,
    /// Dialogs with a subscription in them, by Call-ID and own tag.
    pub(super) subscribed: BTreeMap<(String, String), Dialog>,
    pub is_closed: bool,
    pub pongs: u32,
    /// Where the last message came from.
    pub last_from: Option<SocketAddr>,
}

impl Peer {
    /// Opens its link.
    pub async fn open(shared: Rc<Shared>, entropy: Entropy) -> Result<Self, Stop> {
        let opening = Link::open(&shared);
        let link = match tokio::time::timeout(shared.limit, opening).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Err(Stop::Unready(format!("no connection: {error}"))),
            Err(_) => return Err(Stop::Unready("no connection in time".to_owned())),
        };
        Ok(Self {
            shared,
            link,
            entropy,
            count: 0,
            kept: VecDeque::new(),
            answers: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            published: BTreeSet::new(),
            registered: BTreeSet::new(),
            subscribed: BTreeMap::new(),
            is_closed: false,
            pongs: 0,
            last_from: None,
        })
    }

    /// A second one, with a link of its own.
    pub async fn another(&mut self) -> Result<Self, Stop> {
        Self::open(self.shared.clone(), self.entropy.fork()).await
    }

    pub fn local(&self) -> SocketAddr {
        self.link.local()
    }

    pub fn transport(&self) -> Transport {
        self.link.transport()
    }

    /// A token of its own, for branches, tags and names.
    pub fn token(&mut self) -> String {
        self.entropy.token()
    }

    /// A presentity that nobody else has.
    pub fn presentity(&mut self) -> String {
        format!("sip:selftest-{}@{}", self.token(), self.shared.domain)
    }

    /// `sip:` and the domain.
    pub fn domain(&self) -> String {
        format!("sip:{}", self.shared.domain)
    }

    /// A Contact that leads here.
    pub fn contact(&self) -> String {
        format!("<{}>", self.contact_uri("selftest"))
    }

    /// A URI of this user that leads here.
    pub fn contact_uri(&self, user: &str) -> String {
        let (local, transport) = (self.local(), self.transport().param());
        format!("sip:{user}@{local};transport={transport}")
    }

    /// A Via of its own.
    pub fn via(&mut self) -> String {
        let (via, local, token) = (self.transport().via(), self.local(), self.token());
        format!("SIP/2.0/{via} {local};branch=z9hG4bK{token};rport")
    }

    /// A whole, correct request outside of any dialog.
    pub fn request(&mut self, method: &str, uri: &str) -> Request {
        self.count += 1;
        let (number, domain) = (self.count, self.shared.domain.clone());
        let (via, tag, call) = (self.via(), self.token(), self.token());
        Request::new(method, uri)
            .and("Via", via)
            .and("Max-Forwards", "70")
            .and("From", format!("<sip:selftest@{domain}>;tag={tag}"))
            .and("To", format!("<{uri}>"))
            .and("Call-ID", format!("{call}@selftest"))
            .and("CSeq", format!("{number} {method}"))
    }

    /// An ordinary OPTIONS.
    pub fn options(&mut self) -> Request {
        let uri = self.domain();
        self.request("OPTIONS", &uri)
    }

    /// Sends bytes as they are.
    pub async fn tell(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.shared.pace.turn().await;
        self.shared.sightings.borrow_mut().sent(bytes.len());
        let sent = self.link.send(bytes).await;
        sent.map_err(|error| Stop::Unready(format!("nothing can be sent: {error}")))
    }

    /// Sends a request and waits for its final response; again over datagrams until it comes. Answers a challenge once.
    pub async fn ask(&mut self, request: &mut Request) -> Result<Message, Stop> {
        let response = self.ask_once(request).await?;
        let code = code(&response);
        let account = self.shared.account.clone();
        let (Some(account), 401 | 407) = (account, code) else {
            self.note(request, &response);
            return Ok(response);
        };
        let Some(mut answerer) = Answerer::new(&response, &account, None) else {
            return Ok(response);
        };
        let (name, value) = answerer.authorize(&request.method, &request.uri, &mut self.entropy);
        *request = self.again(request).with(name.as_str(), value);
        let response = self.ask_once(request).await?;
        self.note(request, &response);
        Ok(response)
    }

    /// The same request as a new one: with a branch of its own and the next CSeq.
    pub fn again(&mut self, request: &Request) -> Request {
        let via = self.via();
        let number = request.value("CSeq").split(' ').next();
        let number: u32 = number.and_then(|n| n.parse().ok()).unwrap_or(0) + 1;
        self.count = self.count.max(number);
        let cseq = format!("{number} {}", request.method);
        request.clone().with("Via", via).with("CSeq", cseq)
    }

    /// Sends a request and waits for its final response; again over datagrams until it comes.
    pub async fn ask_once(&mut self, request: &Request) -> Result<Message, Stop> {
        let (bytes, branch) = (request.bytes(), request.branch());
        self.ask_bytes(&bytes, &branch, &request.method).await
    }

    /// The same with bytes that no [`Request`] can be.
    pub async fn ask_bytes(
        &mut self,
        bytes: &[u8],
        branch: &str,
        what: &str,
    ) -> Result<Message, Stop> {
        let deadline = Instant::now() + self.shared.limit;
        let mut wait = T1;
        loop {
            self.tell(bytes).await?;
            let until = if self.transport().is_reliable() {
                deadline
            } else {
                deadline.min(Instant::now() + wait)
            };
            if let Some(response) = self.find(until, |m| is_final(m, branch)).await? {
                return Ok(response);
            }
            if until >= deadline || self.is_closed {
                let came = if self.is_closed {
                    "the connection was closed"
                } else {
                    "nothing"
                };
                return Err(missing(format!("an answer to {what}"), came));
            }
            wait = T2.min(wait * 2);
        }
    }

    /// A response that is waited for without sending anything.
    pub async fn response(&mut self, branch: &str, what: &str) -> Result<Message, Stop> {
        let until = Instant::now() + self.shared.limit;
        let found = self.find(until, |m| is_final(m, branch)).await?;
        found.ok_or_else(|| missing(format!("an answer to {what}"), "nothing"))
    }

    /// An OPTIONS goes there and back, so that what was sent before it has come.
    pub async fn fence(&mut self) -> Result<(), Stop> {
        let options = self.options();
        self.ask_once(&options).await.map(drop)
    }

    /// The next NOTIFY of this dialog, answered 200.
    pub async fn notify(&mut self, dialog: &Dialog) -> Result<Message, Stop> {
        let notify = self.unanswered(dialog).await?;
        self.answer(&notify, "200 OK").await?;
        Ok(notify)
    }

    /// The next NOTIFY of this dialog, not answered.
    pub async fn unanswered(&mut self, dialog: &Dialog) -> Result<Message, Stop> {
        let limit = self.shared.limit;
        let found = self.notify_within(dialog, limit).await?;
        found.ok_or_else(|| missing("a NOTIFY".to_owned(), "nothing"))
    }

    /// The next NOTIFY of this dialog that comes within this time, not answered.
    pub async fn notify_within(
        &mut self,
        dialog: &Dialog,
        limit: Duration,
    ) -> Result<Option<Message>, Stop> {
        let until = Instant::now() + limit;
        let notify = self.find(until, |m| dialog.has(m)).await?;
        let ended = notify.as_ref().is_some_and(super::dialog::is_terminated);
        if ended {
            self.subscribed.remove(&dialog.key());
        }
        Ok(notify)
    }

    /// Whether a NOTIFY of this dialog has come that nobody looked at, after a fence. It is left where it is.
    pub fn has_notify(&self, dialog: &Dialog) -> bool {
        self.kept.iter().any(|message| dialog.has(message))
    }

    /// Answers a request of the server, now and whenever it comes again.
    pub async fn answer(&mut self, request: &Message, status: &str) -> Result<(), Stop> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in request.texts(name) {
                text.push_str(&format!("{}: {value}\r\n", name.as_str()));
            }
        }
        text.push_str(&format!(
            "Contact: {}\r\nContent-Length: 0\r\n\r\n",
            self.contact()
        ));
        let branch = branch_of(request);
        self.answers.insert(branch, text.clone().into_bytes());
        self.tell(text.as_bytes()).await
    }

    /// The first message, kept or still to come until then, that is asked for.
    pub async fn find(
        &mut self,
        until: Instant,
        yes: impl Fn(&Message) -> bool,
    ) -> Result<Option<Message>, Stop> {
        loop {
            if let Some(at) = self.kept.iter().position(&yes) {
                return Ok(self.kept.remove(at));
            }
            if self.is_closed || !self.hear(until).await? {
                return Ok(None);
            }
        }
    }

    /// Reads once; whether anything came before that time.
    pub async fn hear(&mut self, until: Instant) -> Result<bool, Stop> {
        let heard = match timeout_at(until, self.link.receive()).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(error)) => return Err(Stop::Unready(format!("nothing can be read: {error}"))),
            Err(_) => return Ok(false),
        };
        let (bytes, from) = match heard {
            Heard::Message(bytes, from) => (bytes, from),
            Heard::Pong => {
                self.pongs += 1;
                return Ok(true);
            }
            Heard::Closed => {
                self.is_closed = true;
                return Ok(true);
            }
        };
        self.last_from = Some(from);
        let parsed = Message::parse(bytes.clone());
        self.shared.sightings.borrow_mut().heard(&bytes, &parsed);
        let Ok(message) = parsed else {
            return Ok(true);
        };
        if message.is_request()
            && let Some(answer) = self.answers.get(&branch_of(&message)).cloned()
        {
            self.tell(&answer).await?;
            return Ok(true);
        }
        self.kept.push_back(message);
        Ok(true)
    }

    /// What came and was not looked at yet.
    pub fn kept(&self) -> impl Iterator<Item = &Message> {
        self.kept.iter()
    }

    /// Where the server is.
    pub fn target(&self) -> SocketAddr {
        self.shared.target
    }

    /// Keeps in mind what must be taken back.
    fn note(&mut self, request: &Request, response: &Message) {
        if !(200..300).contains(&code(response)) {
            return;
        }
        let gone = request.value("Expires").trim() == "0";
        match request.method.as_str() {
            "PUBLISH" => {
                let uri = &request.uri;
                let old = request.value("SIP-If-Match");
                self.published.remove(&(uri.clone(), old.to_owned()));
                if let (Some(tag), false) = (response.text(Name::SipEtag), gone) {
                    self.published.insert((uri.clone(), tag.into_owned()));
                }
            }
            "REGISTER" => {
                let aor = request.value("To").trim_matches(['<', '>']);
                self.registered.insert(aor.to_owned());
            }
            _ => {}
        }
    }

    /// Takes back whatever is left of its doings, as far as the server lets it.
    pub async fn take_back(&mut self) {
        for (uri, tag) in std::mem::take(&mut self.published) {
            let mut remove = self.publish(&uri, "0").with("SIP-If-Match", tag);
            let _ = self.ask(&mut remove).await;
        }
        for aor in std::mem::take(&mut self.registered) {
            let mut remove = self
                .register(&aor)
                .with("Contact", "*")
                .with("Expires", "0");
            let _ = self.ask(&mut remove).await;
        }
        for (_, mut dialog) in std::mem::take(&mut self.subscribed) {
            if self.ask_in(&mut dialog, "0").await.is_ok() {
                let _ = self.notify(&dialog).await;
            }
        }
    }
}

/// What did not come.
pub(super) fn missing(expected: String, came: &str) -> Stop {
    let came = came.to_owned();
    Stop::Missing { expected, came }
}

/// The status of a response; 0 of a request.
pub(super) fn code(message: &Message) -> u16 {
    message.status().map_or(0, |status| status.code())
}

/// Status and reason of a response, as they are shown.
pub(super) fn shown(response: &Message) -> String {
    format!("{} {}", code(response), response.reason())
}

/// A header as it is shown.
pub(super) fn header(message: &Message, name: Name) -> String {
    let values: Vec<_> = message.texts(name).collect();
    if values.is_empty() {
        return format!("no {}", name.as_str());
    }
    format!("{}: {}", name.as_str(), values.join(", "))
}

/// The branch of the topmost Via.
pub(super) fn branch_of(message: &Message) -> String {
    let via = message.via().ok();
    let branch = via.as_ref().and_then(|via| via.branch());
    branch.unwrap_or_default().to_owned()
}

fn is_final(message: &Message, branch: &str) -> bool {
    code(message) >= 200 && branch_of(message) == branch
}
