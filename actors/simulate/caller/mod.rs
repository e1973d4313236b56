//! Hosts that speak SIP byte by byte: phones, which behave, and strangers, which do not.
//!
//! Both register, publish for themselves, and watch people; what comes of it is seen on the wire ([`super::promises`]).

mod stranger;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rollcall_core::entropy::Entropy;
use rollcall_core::sip::{Message, Method, Name, SubscriptionStateValue};
use rollcall_core::time::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::transport::{Datagram, Network, Pool};
use wire::{Line, document};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// As the RFCs say.
    Good,
    /// Wrong tags, no answers, old CSeqs, broken bytes, bursts.
    Bad,
}

/// What a caller is made of.
pub struct Caller {
    /// Its address of record.
    pub own: String,
    /// Where its socket is.
    pub at: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// Whom it watches.
    pub people: Vec<String>,
    /// How it behaves.
    pub manners: Manners,
    /// Where its socket comes from.
    pub network: Network,
    /// Its clock.
    pub clock: Clock,
    /// What it does follows from it.
    pub entropy: Entropy,
    /// When it stops doing anything but answering.
    pub until: Timestamp,
}

/// T1 and the time after which a request is given up (RFC 3261, 17.1.2).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Publish,
    Subscribe,
    Register,
    Query,
    /// Nothing that its sender wants to know.
    Noise,
}

/// A request that waits for its answer.
struct Open {
    branch: String,
    purpose: Purpose,
    bytes: Bytes,
    next: Instant,
    pause: Duration,
    give_up: Instant,
}

/// A subscription.
#[derive(Clone)]
struct Dialog {
    presentity: String,
    call_id: String,
    own_tag: String,
    server_tag: Option<String>,
    cseq: u32,
}

/// A caller that runs.
struct Running {
    line: Line,
    socket: Datagram,
    people: Vec<String>,
    manners: Manners,
    clock: Clock,
    entropy: Entropy,
    until: Timestamp,
    open: Vec<Open>,
    etag: Option<String>,
    /// Entity-tags it had before.
    old_tags: Vec<String>,
    dialog: Option<Dialog>,
    /// Those it had before.
    old_dialogs: Vec<Dialog>,
    cseq: u32,
    registration: String,
}

impl Caller {
    /// Lives until it is dropped.
    pub async fn live(mut self) {
        let Ok(socket) = self.network.datagram(self.at, false).await else {
            return;
        };
        let registration = self.entropy.token();
        let mut running = Running {
            line: Line::new(self.own, self.at, self.server),
            socket,
            people: self.people,
            manners: self.manners,
            clock: self.clock,
            entropy: self.entropy,
            until: self.until,
            open: Vec::new(),
            etag: None,
            old_tags: Vec::new(),
            dialog: None,
            old_dialogs: Vec::new(),
            cseq: 0,
            registration,
        };
        let mut pool = Pool::new();
        let mut act = running.pause();
        loop {
            let again = running.open.iter().map(|open| open.next).min();
            let due = again.map_or(act, |again| again.min(act));
            tokio::select! {
                biased;
                received = running.socket.recv(&mut pool) => match received {
                    Ok((bytes, _)) => running.hear(bytes),
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(due) => {
                    running.send_again();
                    if Instant::now() >= act {
                        if running.clock.now() < running.until {
                            running.act();
                        }
                        act = running.pause();
                    }
                }
            }
        }
    }
}

impl Running {
    /// When it does something next.
    fn pause(&mut self) -> Instant {
        let most = match self.manners {
            Manners::Good => 12_000,
            Manners::Bad => 6_000,
        };
        Instant::now() + Duration::from_millis(50 + self.entropy.below(most))
    }

    /// Whether something is so, once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.entropy.below(times) == 0
    }

    fn throw(&self, bytes: &Bytes) {
        // A full or dead socket: the other end sees nothing, as on a bad day.
        let _ = self.socket.try_send_to(bytes, self.line.server);
    }

    fn ask(&mut self, purpose: Purpose, (branch, bytes): (String, Bytes)) {
        self.throw(&bytes);
        let now = Instant::now();
        self.open.push(Open {
            branch,
            purpose,
            bytes,
            next: now + T1,
            pause: T1,
            give_up: now + GIVE_UP,
        });
    }

    fn send_again(&mut self) {
        let now = Instant::now();
        self.open.retain(|open| open.give_up > now);
        let due: Vec<Bytes> = self
            .open
            .iter_mut()
            .filter(|open| open.next <= now)
            .map(|open| {
                open.pause = (open.pause * 2).min(T2);
                open.next = now + open.pause;
                open.bytes.clone()
            })
            .collect();
        for bytes in due {
            self.throw(&bytes);
        }
    }

    fn is_asking(&self, purpose: Purpose) -> bool {
        self.open.iter().any(|open| open.purpose == purpose)
    }

    fn act(&mut self) {
        if self.manners == Manners::Bad && !self.once_in(3) {
            return self.misbehave();
        }
        match self.entropy.below(8) {
            0 | 1 => self.register(),
            2 => self.query(),
            3..=5 => self.publish(),
            _ => self.subscribe(),
        }
    }

    fn register(&mut self) {
        if self.is_asking(Purpose::Register) {
            return;
        }
        self.cseq += 1;
        let expires = if self.once_in(5) {
            0
        } else {
            60 + self.entropy.below(120)
        };
        let contact = format!("Contact: <sip:{}>\r\nExpires: {expires}\r\n", self.line.at);
        let (own, call_id) = (self.line.own.clone(), self.registration.clone());
        let request = self.line.request(
            &mut self.entropy,
            ("REGISTER", &own),
            (&call_id, "r", None, self.cseq),
            (&contact, ""),
        );
        self.ask(Purpose::Register, request);
    }

    /// Asks which contacts are registered. The Call-ID says so to whoever reads the wire.
    fn query(&mut self) {
        if self.is_asking(Purpose::Query) || self.is_asking(Purpose::Register) {
            return;
        }
        let (own, call_id) = (
            self.line.own.clone(),
            format!("query-{}", self.entropy.token()),
        );
        let request = self.line.request(
            &mut self.entropy,
            ("REGISTER", &own),
            (&call_id, "q", None, 1),
            ("", ""),
        );
        self.ask(Purpose::Query, request);
    }

    fn publish(&mut self) {
        if self.is_asking(Purpose::Publish) {
            return;
        }
        let condition = match &self.etag {
            Some(etag) => format!("SIP-If-Match: {etag}\r\n"),
            None => String::new(),
        };
        let kind = if self.etag.is_some() {
            self.entropy.below(4)
        } else {
            1
        };
        let expires = if kind == 0 {
            0
        } else {
            60 + self.entropy.below(120)
        };
        let body = match kind {
            0 | 3 => String::new(),
            _ => document(&self.line.own, self.entropy.below(1000)),
        };
        self.send_publish(Purpose::Publish, &condition, expires, &body);
    }

    fn send_publish(&mut self, purpose: Purpose, condition: &str, expires: u64, body: &str) {
        let head = format!(
            "Event: presence\r\nExpires: {expires}\r\n{condition}Content-Type: application/pidf+xml\r\n"
        );
        let (own, call_id) = (self.line.own.clone(), self.entropy.token());
        let request = self.line.request(
            &mut self.entropy,
            ("PUBLISH", &own),
            (&call_id, "p", None, 1),
            (&head, body),
        );
        self.ask(purpose, request);
    }

    fn subscribe(&mut self) {
        if self.is_asking(Purpose::Subscribe) || self.people.is_empty() {
            return;
        }
        let is_last = self.once_in(4);
        let mut dialog = match self.dialog.take() {
            Some(dialog) => dialog,
            None => self.fresh_dialog(),
        };
        if dialog.server_tag.is_none() {
            // No answer came to the last one, or it was refused.
            dialog = self.fresh_dialog();
        }
        dialog.cseq += 1;
        let over = is_last && dialog.server_tag.is_some();
        let expires = if over {
            0
        } else {
            60 + self.entropy.below(120)
        };
        self.send_subscribe(Purpose::Subscribe, &dialog, expires);
        self.dialog = Some(dialog);
    }

    fn fresh_dialog(&mut self) -> Dialog {
        let count = u64::try_from(self.people.len()).unwrap_or(1);
        let drawn = usize::try_from(self.entropy.below(count)).unwrap_or(0);
        Dialog {
            presentity: self.people[drawn].clone(),
            call_id: self.entropy.token(),
            own_tag: self.entropy.token(),
            server_tag: None,
            cseq: 0,
        }
    }

    fn send_subscribe(&mut self, purpose: Purpose, dialog: &Dialog, expires: u64) {
        let head = format!(
            "Event: presence\r\nExpires: {expires}\r\nContact: <sip:{}>\r\n",
            self.line.at
        );
        let request = self.line.request(
            &mut self.entropy,
            ("SUBSCRIBE", &dialog.presentity),
            (
                &dialog.call_id,
                &dialog.own_tag,
                dialog.server_tag.as_deref(),
                dialog.cseq,
            ),
            (&head, ""),
        );
        self.ask(purpose, request);
    }

    fn hear(&mut self, bytes: Bytes) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        match message.status() {
            Some(status) if status.code() >= 200 => self.answered(status.code(), &message),
            Some(_) => {}
            None if message.method() == Some(&Method::Notify) => self.told(&message),
            None => {}
        }
    }

    fn answered(&mut self, code: u16, message: &Message) {
        let branch = message.top_branch().unwrap_or_default();
        let Some(place) = self.open.iter().position(|open| open.branch == branch) else {
            return;
        };
        let open = self.open.swap_remove(place);
        match open.purpose {
            Purpose::Publish => {
                let before = self.etag.take();
                let expires = message.expires().ok().flatten();
                match code {
                    200..300 if expires != Some(0) => {
                        self.etag = message.text(Name::SipEtag).map(|tag| tag.into_owned());
                    }
                    200..300 | 412 => {}
                    // It may be tried again with the same.
                    _ => self.etag.clone_from(&before),
                }
                self.old_tags
                    .extend(before.filter(|tag| Some(tag) != self.etag.as_ref()));
            }
            Purpose::Subscribe => {
                let is_over = message.expires().ok().flatten() == Some(0);
                match &mut self.dialog {
                    Some(dialog) if (200..300).contains(&code) && !is_over => {
                        dialog.server_tag = message.to_tag();
                    }
                    Some(_) if code == 503 || code == 500 => {}
                    _ => self.old_dialogs.extend(self.dialog.take()),
                }
            }
            Purpose::Register | Purpose::Query | Purpose::Noise => {}
        }
    }

    fn told(&mut self, notify: &Message) {
        let state = notify.subscription_state().ok().flatten();
        let is_last = state.is_some_and(|state| state.value == SubscriptionStateValue::Terminated);
        let same = |dialog: &Dialog| notify.call_id() == Ok(dialog.call_id.as_str());
        if is_last && self.dialog.as_ref().is_some_and(same) {
            self.old_dialogs.extend(self.dialog.take());
        }
        let status = match self.manners {
            Manners::Good => Some("200 OK"),
            Manners::Bad => self.bad_answer(),
        };
        if let Some(status) = status {
            let answer = wire::answer(notify, status);
            self.throw(&answer);
        }
    }
}
