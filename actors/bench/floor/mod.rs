//! The yardstick: a server that exchanges the messages of presence, and understands nothing of them.
//!
//! What it costs is what sockets and bytes cost, so a presence server can be compared with it. One thread receives and sends. It answers
//! PUBLISH with an entity-tag, SUBSCRIBE with a tag and a NOTIFY, and after a PUBLISH sends its body, as it is, to each subscriber of that
//! Request-URI; before the first, a fixed body of the same length. It compares no entity-tags, lets nothing expire, sends nothing again, and
//! skips answers.

use std::io;
use std::net::SocketAddr;

use rollcall_core::exchange::Transport;
use rustc_hash::FxHashMap;

use super::messages;
use super::scan::{Scanned, scan};

mod links;

use links::{Links, Peer};

/// How long what it grants is said to last, in seconds; nothing ends.
const EXPIRES: &str = "Expires: 3600\r\n";

/// The body before the first PUBLISH, in bytes.
const BODY: usize = 820;

/// One presentity.
#[derive(Debug)]
struct Topic {
    body: Vec<u8>,
    subscribers: Vec<u32>,
}

#[derive(Debug)]
struct Subscriber {
    /// Where its SUBSCRIBE came from.
    peer: Peer,
    /// The NOTIFY up to its branch.
    start: Vec<u8>,
    /// From and To, turned around, and Call-ID.
    dialog: Vec<u8>,
    cseq: u32,
    topic: u32,
}

/// The yardstick server, ready to run.
#[derive(Debug)]
pub struct Floor {
    links: Links,
    transport: Transport,
    address: SocketAddr,
    /// Where requests in a dialog go.
    contact: String,
    topics: Vec<Topic>,
    by_uri: FxHashMap<Vec<u8>, u32>,
    subscribers: Vec<Subscriber>,
    by_call: FxHashMap<Vec<u8>, u32>,
    /// Entity-tags, tags and branches are counted.
    count: u64,
    out: Vec<u8>,
}

impl Floor {
    /// Listens at an address of UDP or TCP; port 0 takes a free one. Errors are the system's.
    pub fn bind(transport: Transport, address: SocketAddr) -> io::Result<Self> {
        let links = Links::bind(transport, address)?;
        let address = links.address()?;
        let parameter = if transport.is_reliable() {
            ";transport=tcp"
        } else {
            ""
        };
        Ok(Self {
            address,
            links,
            contact: format!("sip:{address}{parameter}"),
            transport,
            topics: Vec::new(),
            by_uri: FxHashMap::default(),
            subscribers: Vec::new(),
            by_call: FxHashMap::default(),
            count: 0,
            out: Vec::new(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the socket fails, and gives what failed.
    pub fn run(mut self) -> io::Error {
        let mut datagram = vec![0; 65_535];
        loop {
            match self.links.receive(&mut datagram) {
                Ok((length, source)) => self.handle(&datagram[..length], source),
                Err(error) => return error,
            }
        }
    }

    fn handle(&mut self, datagram: &[u8], source: Peer) {
        match scan(datagram) {
            Some(request) if request.method == b"PUBLISH" => self.publish(&request, source),
            Some(request) if request.method == b"SUBSCRIBE" => self.subscribe(&request, source),
            // Answers to NOTIFYs, and whatever else.
            _ => {}
        }
    }

    fn publish(&mut self, request: &Scanned<'_>, source: Peer) {
        let topic = self.topic(request.uri);
        // A refresh has no body.
        if !request.body.is_empty() {
            self.topics[topic as usize].body.clear();
            self.topics[topic as usize]
                .body
                .extend_from_slice(request.body);
        }
        self.count += 1;
        let more = format!("SIP-ETag: {:x}\r\n{EXPIRES}", self.count);
        self.answer(request, source, &more);
        for index in 0..self.topics[topic as usize].subscribers.len() {
            self.notify(self.topics[topic as usize].subscribers[index]);
        }
    }

    fn subscribe(&mut self, request: &Scanned<'_>, source: Peer) {
        let subscriber = match self.by_call.get(request.call_id) {
            Some(known) => *known,
            None => self.subscriber(request, source),
        };
        let more = format!("Contact: <{}>\r\n{EXPIRES}", self.contact);
        self.answer(request, source, &more);
        self.notify(subscriber);
    }

    fn topic(&mut self, uri: &[u8]) -> u32 {
        if let Some(known) = self.by_uri.get(uri) {
            return *known;
        }
        let number = u32::try_from(self.topics.len()).unwrap_or(u32::MAX);
        self.topics.push(Topic {
            body: vec![b' '; BODY],
            subscribers: Vec::new(),
        });
        self.by_uri.insert(uri.to_vec(), number);
        number
    }

    fn subscriber(&mut self, request: &Scanned<'_>, peer: Peer) -> u32 {
        let topic = self.topic(request.uri);
        let number = u32::try_from(self.subscribers.len()).unwrap_or(u32::MAX);
        let target = request.contact_uri().unwrap_or(request.uri);
        let own = self.address.to_string();
        let start = [
            &b"NOTIFY "[..],
            target,
            b" SIP/2.0\r\nVia: SIP/2.0/",
            self.transport.via().as_bytes(),
            b" ",
            own.as_bytes(),
            b";branch=z9hG4bK",
        ];
        let dialog = [
            &b"\r\nMax-Forwards: 70\r\nFrom: "[..],
            request.to,
            b";tag=floor\r\nTo: ",
            request.from,
            b"\r\nCall-ID: ",
            request.call_id,
        ];
        self.subscribers.push(Subscriber {
            peer,
            start: start.concat(),
            dialog: dialog.concat(),
            cseq: 0,
            topic,
        });
        self.topics[topic as usize].subscribers.push(number);
        self.by_call.insert(request.call_id.to_vec(), number);
        number
    }

    fn answer(&mut self, request: &Scanned<'_>, source: Peer, more: &str) {
        messages::answer(
            messages::OK,
            request,
            b"floor",
            more.as_bytes(),
            &mut self.out,
        );
        self.send(source);
    }

    fn notify(&mut self, number: u32) {
        use io::Write as _;

        self.count += 1;
        let subscriber = &mut self.subscribers[number as usize];
        subscriber.cseq += 1;
        let body = &self.topics[subscriber.topic as usize].body;
        let out = &mut self.out;
        out.clear();
        out.extend_from_slice(&subscriber.start);
        // Writing into memory does not fail.
        let _ = write!(out, "{:x}", self.count);
        out.extend_from_slice(&subscriber.dialog);
        let _ = write!(
            out,
            "\r\nCSeq: {} NOTIFY\r\nContact: <{}>\r\nEvent: presence\r\nSubscription-State: active;expires=3600\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n",
            subscriber.cseq,
            self.contact,
            body.len()
        );
        out.extend_from_slice(body);
        let peer = subscriber.peer;
        self.send(peer);
    }

    fn send(&mut self, to: Peer) {
        self.links.send(to, &self.out);
    }
}
