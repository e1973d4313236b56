//! What a connection is needed for: read off the answers that go over it, so that nobody has to be asked.
//!
//! A 2xx of ours to SUBSCRIBE, REGISTER or PUBLISH says how long what was made lives. It ends before when a later 2xx says 0,
//! a NOTIFY says that the subscription is terminated, or its answer says that nobody wants it (RFC 6665, 4.2.2). What a peer
//! says of the kind is believed only where it ends something.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use memchr::{memchr, memmem};
use rustc_hash::FxHasher;

use crate::time::Timestamp;

/// Things of one connection that are told apart. A phone has a few; of a proxy only the longest life counts.
const MOST: usize = 8;

/// Bytes in which the headers of our own messages are looked for.
const HEAD: usize = 8192;

/// What one connection carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Carries {
    /// By dialog, address of record or presentity.
    pub(super) kept: Vec<(u64, Timestamp)>,
    /// How long what is not told apart lives.
    rest: Timestamp,
}

impl Carries {
    /// Until when the connection is needed.
    pub fn until(&self) -> Timestamp {
        let kept = self.kept.iter().map(|(_, until)| *until).max();
        self.rest.max(kept.unwrap_or_default())
    }

    /// It is needed until then.
    pub fn keep(&mut self, until: Timestamp) {
        self.rest = self.rest.max(until);
    }

    /// Takes note of a message of ours.
    pub fn sent(&mut self, now: Timestamp, bytes: &[u8]) {
        if bytes.starts_with(b"SIP/2.0 2") {
            let Some((key, lives)) = granted(head(bytes)) else {
                return;
            };
            if lives.is_zero() {
                self.end(key);
            } else {
                self.grant(now, key, now + lives);
            }
        } else if bytes.starts_with(b"NOTIFY ")
            && memmem::find(head(bytes), b"\nSubscription-State: terminated").is_some()
        {
            self.end_dialog(head(bytes));
        }
    }

    /// Takes note of an answer that has come.
    pub fn answered(&mut self, bytes: &[u8]) {
        let ends = match bytes.get(8..11) {
            Some(b"404" | b"405" | b"410" | b"416" | b"489" | b"501" | b"604") => true,
            Some([b'4', b'8', last]) => (b'0'..=b'5').contains(last),
            _ => false,
        };
        if ends && !self.kept.is_empty() {
            let head = head(bytes);
            if method(head).is_some_and(|method| method == b"NOTIFY") {
                self.end_dialog(head);
            }
        }
    }

    fn grant(&mut self, now: Timestamp, key: u64, until: Timestamp) {
        if let Some(own) = self.kept.iter_mut().find(|(own, _)| *own == key) {
            own.1 = until;
            return;
        }
        self.kept.retain(|(_, until)| *until > now);
        if self.kept.len() < MOST {
            self.kept.push((key, until));
        } else {
            self.keep(until);
        }
    }

    fn end(&mut self, key: u64) {
        self.kept.retain(|(own, _)| *own != key);
    }

    fn end_dialog(&mut self, head: &[u8]) {
        if let Some(key) = dialog(head, b"From", b'f') {
            self.end(key);
        }
    }
}

/// The headers, without the body.
fn head(bytes: &[u8]) -> &[u8] {
    let within = &bytes[..bytes.len().min(HEAD)];
    let end = memmem::find(within, b"\r\n\r\n").unwrap_or(within.len());
    &within[..end]
}

/// What a 2xx has granted, and for how long.
fn granted(head: &[u8]) -> Option<(u64, Duration)> {
    let (key, seconds) = match method(head)? {
        b"SUBSCRIBE" => (dialog(head, b"To", b't')?, expires(head)),
        b"PUBLISH" => (hash(b"p", target(head)?), expires(head)),
        b"REGISTER" => (hash(b"r", target(head)?), contacts(head)),
        _ => return None,
    };
    Some((key, Duration::from_secs(seconds.into())))
}

fn method(head: &[u8]) -> Option<&[u8]> {
    value(head, b"CSeq", 0)?.rsplit(|byte| *byte == b' ').next()
}

/// A dialog, by its Call-ID and our tag, in the header of the given name.
fn dialog(head: &[u8], name: &[u8], short: u8) -> Option<u64> {
    let tagged = value(head, name, short)?;
    let tag = &tagged[memmem::find(tagged, b";tag=")? + 5..];
    let tag = tag.split(|byte| *byte == b';').next()?;
    Some(hash(value(head, b"Call-ID", b'i')?, tag))
}

/// Whom a request was for: To without the tag, which is another one in each answer.
fn target(head: &[u8]) -> Option<&[u8]> {
    let to = value(head, b"To", b't')?;
    Some(&to[..memmem::find(to, b";tag=").unwrap_or(to.len())])
}

fn hash(one: &[u8], two: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    (one, two).hash(&mut hasher);
    hasher.finish()
}

fn expires(head: &[u8]) -> u32 {
    value(head, b"Expires", 0).map_or(0, number)
}

/// The longest life of a contact.
fn contacts(head: &[u8]) -> u32 {
    let lines = Lines(head).filter_map(|line| named(line, b"Contact", b'm'));
    let lives = lines.flat_map(|line| {
        let found = memmem::find_iter(line, b";expires=").map(|at| number(&line[at + 9..]));
        found.collect::<Vec<u32>>()
    });
    lives.max().unwrap_or(0)
}

fn number(digits: &[u8]) -> u32 {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u32, |sum, byte| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(byte - b'0'))
    })
}

/// The value of the first header of this name, or of its compact form if it has one.
fn value<'a>(head: &'a [u8], name: &[u8], short: u8) -> Option<&'a [u8]> {
    Lines(head).find_map(|line| named(line, name, short))
}

fn named<'a>(line: &'a [u8], name: &[u8], short: u8) -> Option<&'a [u8]> {
    let colon = match line.get(..name.len()) {
        Some(own) if own.eq_ignore_ascii_case(name) => name.len(),
        _ if short != 0 && line.first()?.eq_ignore_ascii_case(&short) => 1,
        _ => return None,
    };
    let rest = line[colon..].trim_ascii_start();
    Some(rest.strip_prefix(b":")?.trim_ascii())
}

/// The lines of a head but the first.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.0[memchr(b'\n', self.0)? + 1..];
        self.0 = rest;
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        Some(&rest[..end])
    }
}
