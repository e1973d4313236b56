//! A DNS server on loopback that says what it is told to, for tests over real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use rollcall_core::resolve::{Answer, Question};

/// How long its answers are good, in seconds.
const TTL: u32 = 60;

/// A DNS server over UDP. It ends when dropped.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Zone {
    answers: BTreeMap<Question, Answer>,
    silent: BTreeSet<Question>,
    asked: Vec<Question>,
    ended: bool,
}

impl NameServer {
    /// A server on a free port of 127.0.0.1 that knows no name yet.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = socket.local_addr().expect("a bound socket");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let own = Arc::clone(&zone);
        let thread = std::thread::spawn(move || serve(&socket, &own));
        Self {
            addr,
            zone,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on answers a question so. [`Answer::Failed`] is answered SERVFAIL, and a name of which nothing is known
    /// NXDOMAIN.
    pub fn answer(&self, question: Question, answer: Answer) {
        lock(&self.zone).answers.insert(plain(question), answer);
    }

    /// From now on does not answer a question at all.
    pub fn be_silent(&self, question: Question) {
        lock(&self.zone).silent.insert(plain(question));
    }

    /// What it was asked so far, in order, in lower case and without the last dot. A question for addresses comes for
    /// A and for AAAA.
    pub fn asked(&self) -> Vec<Question> {
        lock(&self.zone).asked.clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        lock(&self.zone).ended = true;
        // Wakes it; if that fails it has ended already.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.addr);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 4096];
    loop {
        let received = socket.recv_from(&mut buffer);
        let mut zone = lock(zone);
        if zone.ended {
            return;
        }
        let Ok((length, from)) = received else {
            continue;
        };
        let query = Message::from_vec(&buffer[..length]);
        if let Some(answer) = query.ok().and_then(|query| zone.reply(&query)) {
            // Who has gone meanwhile does not wait for it.
            let _ = socket.send_to(&answer, from);
        }
    }
}

impl Zone {
    fn reply(&mut self, message: &Message) -> Option<Vec<u8>> {
        let query = message.queries.first()?;
        let name = query.name().to_ascii();
        let question = plain(match query.query_type() {
            RecordType::NAPTR => Question::Naptr(name),
            RecordType::SRV => Question::Srv(name),
            RecordType::A | RecordType::AAAA => Question::Address(name),
            _ => return None,
        });
        self.asked.push(question.clone());
        if self.silent.contains(&question) {
            return None;
        }
        let mut reply = Message::new(message.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = message.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(query.clone());
        match self.answers.get(&question) {
            None => reply.metadata.response_code = ResponseCode::NXDomain,
            Some(Answer::Failed(_)) => reply.metadata.response_code = ResponseCode::ServFail,
            Some(answer) => {
                for data in records(answer, query) {
                    let record = Record::from_rdata(query.name().clone(), TTL, data);
                    reply.add_answer(record);
                }
            }
        }
        reply.to_vec().ok()
    }
}

fn records(answer: &Answer, query: &Query) -> Vec<RData> {
    match answer {
        Answer::Naptr(records) => records
            .iter()
            .map(|record| {
                let text = |text: &str| text.as_bytes().into();
                RData::NAPTR(NAPTR::new(
                    record.order,
                    record.preference,
                    text(&record.flags),
                    text(&record.services),
                    text(&record.regexp),
                    name(&record.replacement),
                ))
            })
            .collect(),
        Answer::Srv(records) => records
            .iter()
            .map(|record| {
                let (priority, weight, port) = (record.priority, record.weight, record.port);
                RData::SRV(SRV::new(priority, weight, port, name(&record.target)))
            })
            .collect(),
        Answer::Addresses(addresses) => addresses
            .iter()
            .filter(|ip| ip.is_ipv4() == (query.query_type() == RecordType::A))
            .map(|ip| match ip {
                IpAddr::V4(ip) => RData::A(A(*ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(*ip)),
            })
            .collect(),
        Answer::Failed(_) => Vec::new(),
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name of a test");
    name.set_fqdn(true);
    name
}

fn plain(question: Question) -> Question {
    let plain = |name: String| name.trim_end_matches('.').to_ascii_lowercase();
    match question {
        Question::Naptr(name) => Question::Naptr(plain(name)),
        Question::Srv(name) => Question::Srv(plain(name)),
        Question::Address(name) => Question::Address(plain(name)),
    }
}
