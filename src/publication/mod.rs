//! PUBLISH at the event state compositor: what a request means for the publications that are there (RFC 3903, 6).
//!
//! ```text
//!  SIP-If-Match   body   Expires
//!       no        yes     > 0     initial
//!       yes       no      > 0     refresh
//!       yes       yes     > 0     modify
//!       yes       any      0      remove
//!       no        any      0      nothing: the state ends as it begins
//! ```
//!
//! [`decide`] changes nothing. The registry carries its decision out when the store has it.

mod error;

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::digits;
use crate::entropy::Entropy;
use crate::exchange::Shard;
use crate::pidf;
use crate::registry::{Compositor, Limits, Package};
use crate::sip::{Message, Name};

pub use error::PublishError;

/// A publication that is there, as far as a decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its entity-tag.
    pub etag: &'a str,
    /// Its body: the full state.
    pub body: &'a [u8],
}

/// A published body that was found good.
#[derive(Clone, Debug)]
pub struct Content {
    /// One of the package's types.
    pub content_type: Arc<str>,
    /// As it came; of a change, what it made of the state before it.
    pub body: Bytes,
    /// What was read in it, when the package's compositor looks into bodies and [`Depth::Read`] was asked for.
    pub document: Option<Box<pidf::Document>>,
}

/// How far a body is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Whether it is good.
    Check,
    /// It is read, to be composed or compared.
    Read,
}

impl Content {
    /// Reads a body as the package's compositor needs it. A change to presence is applied to the state `before` it (RFC
    /// 5264, 4.3.2); its root tells that it is one, whatever its type says.
    pub fn read(
        compositor: Compositor,
        content_type: Arc<str>,
        mut body: Bytes,
        max: usize,
        before: Option<&[u8]>,
        depth: Depth,
    ) -> Result<Self, PublishError> {
        let document = match compositor {
            Compositor::Presence => {
                let limits = pidf::Limits {
                    bytes: max,
                    ..pidf::Limits::default()
                };
                let read = |body: &Bytes| match depth {
                    Depth::Check => pidf::Document::check(body, &limits).map(|()| None),
                    Depth::Read => pidf::Document::parse(body, &limits).map(Some),
                };
                let document = match (read(&body), before) {
                    (Err(pidf::PidfError::Partial), Some(state)) => {
                        body = pidf::patch::apply(state, &body, &limits)?;
                        read(&body)
                    }
                    (read, _) => read,
                };
                document?.map(Box::new)
            }
            Compositor::Latest | Compositor::Watchers => None,
        };
        Ok(Self {
            content_type,
            body,
            document,
        })
    }
}

/// What a PUBLISH does. Indices are places among the publications that it was decided from.
#[derive(Clone, Debug)]
pub enum Action {
    /// A publication more.
    Create(Content),
    /// A publication lives on.
    Refresh(usize),
    /// A publication lives on with another body.
    Modify(usize, Content),
    /// A publication ends.
    Remove(usize),
    /// An initial publication with a life of nothing: accepted, and over (RFC 3903, 6 grants at most what is asked).
    Nothing,
}

/// What a PUBLISH does, and for how long.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What.
    pub action: Action,
    /// Granted seconds; 0 for [`Action::Remove`] and [`Action::Nothing`].
    pub expires: u32,
}

/// Decides about a PUBLISH whose Request-URI and package have been found (steps 3 to 5 of RFC 3903, 6). `publications` are
/// the presentity's live ones. A new body of one of them is looked into as far as `depth`; the body of a further one is read,
/// since it may be one of them whose entity-tag was lost (docs/adr/0007).
pub fn decide(
    request: &Message,
    package: &Package,
    limits: &Limits,
    publications: &[Held<'_>],
    depth: Depth,
) -> Result<Decision, PublishError> {
    let held = matching(request, publications)?;
    let expires = package
        .publication
        .grant(request.expires()?)
        .map_err(PublishError::IntervalTooBrief)?;
    let action = match (held, expires) {
        (Some(held), 0) => Action::Remove(held),
        (None, 0) => Action::Nothing,
        (held, _) => {
            let before = held.map(|held| publications[held].body);
            let depth = match (held, publications) {
                (Some(_), _) | (None, []) => depth,
                (None, _) => Depth::Read,
            };
            match (held, content(request, package, limits, before, depth)?) {
                (Some(held), None) => Action::Refresh(held),
                (Some(held), Some(content)) => {
                    within(limits, publications, Some(held), content.body.len())?;
                    Action::Modify(held, content)
                }
                (None, None) => return Err(PublishError::MissingBody),
                (None, Some(_)) if publications.len() >= limits.publications => {
                    return Err(PublishError::TooManyPublications(limits.publications));
                }
                (None, Some(content)) => {
                    within(limits, publications, None, content.body.len())?;
                    Action::Create(content)
                }
            }
        }
    };
    Ok(Decision { action, expires })
}

/// Whether a body still has room beside the others of its presentity. One that is no longer than the one whose place it takes
/// has always.
fn within(
    limits: &Limits,
    publications: &[Held<'_>],
    replaced: Option<usize>,
    new: usize,
) -> Result<(), PublishError> {
    let all: usize = publications.iter().map(|held| held.body.len()).sum();
    let old = replaced.map_or(0, |held| publications[held].body.len());
    let size = all - old + new;
    if new > old && size > limits.state {
        let limit = limits.state;
        return Err(PublishError::StateTooLarge { size, limit });
    }
    Ok(())
}

/// Which publication the request is about.
fn matching(request: &Message, publications: &[Held<'_>]) -> Result<Option<usize>, PublishError> {
    let mut conditions = request.values(Name::SipIfMatch);
    let Some(condition) = conditions.next() else {
        return Ok(None);
    };
    if conditions.next().is_some() {
        return Err(PublishError::SeveralConditions);
    }
    let any = crate::sabotaged!(TakeAnyEntityTag);
    match publications
        .iter()
        .position(|held| any || held.etag == condition)
    {
        Some(held) => Ok(Some(held)),
        None => Err(PublishError::UnknownEntityTag(condition.into_owned())),
    }
}

/// The body, if there is one. An empty body is none, whatever Content-Type says: baresip refreshes like that.
fn content(
    request: &Message,
    package: &Package,
    limits: &Limits,
    before: Option<&[u8]>,
    depth: Depth,
) -> Result<Option<Content>, PublishError> {
    let body = request.body();
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() > limits.body {
        return Err(PublishError::TooLarge {
            size: body.len(),
            limit: limits.body,
        });
    }
    let accept = || PublishError::UnsupportedMediaType {
        accept: package.publish_types.join(", "),
    };
    let content_type = request.content_type().ok_or_else(accept)?;
    let content_type = package
        .publish_type(&content_type)
        .ok_or_else(accept)?
        .clone();
    if request
        .values(Name::ContentEncoding)
        .any(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(PublishError::UnsupportedEncoding);
    }
    // A copy: the message is a slice of a buffer that hundreds share, and a publication would keep all of it for hours.
    let body = Bytes::copy_from_slice(&body);
    Content::read(
        package.compositor,
        content_type,
        body,
        limits.body,
        before,
        depth,
    )
    .map(Some)
}

/// Gives entity-tags that no publication ever had before, also by another shard or before a restart (RFC 3903, 6): the
/// store's epoch and a counter make them different, random bits keep them so when the store forgets its epochs, and
/// hard to guess.
#[derive(Debug)]
pub struct EntityTags {
    shard: Shard,
    epoch: u64,
    given: u64,
}

impl EntityTags {
    /// For a shard in an epoch of its store.
    pub fn new(shard: Shard, epoch: u64) -> Self {
        Self {
            shard,
            epoch,
            given: 0,
        }
    }

    /// A new one.
    pub fn give(&mut self, entropy: &mut Entropy) -> Arc<str> {
        self.given += 1;
        if crate::sabotaged!(ReuseEntityTag) {
            return format!("tag-{}", self.given % 4).into();
        }
        let mut tag = SmallVec::<[u8; 64]>::new();
        let mut add = |number: u64, least: usize| {
            let digits = digits::hex(number);
            let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
            tag.extend_from_slice(&digits[zeros.min(16 - least)..]);
            tag.push(b'.');
        };
        add(self.shard.into(), 2);
        add(self.epoch, 1);
        add(self.given, 1);
        tag.extend_from_slice(&digits::hex(entropy.next_u64()));
        digits::text(&tag).into()
    }

    /// A number for a publication without a new tag, larger than all before it.
    pub fn take_order(&mut self) -> u64 {
        let order = self.order();
        self.given += 1;
        order
    }

    /// A number for a new publication, larger than all before it.
    pub fn order(&self) -> u64 {
        // 2^40 successes in one epoch would take a shard years.
        (self.epoch << 40) | self.given
    }
}

#[cfg(test)]
mod tests;
