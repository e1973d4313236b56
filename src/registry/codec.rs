//! Stored records as bytes: a version byte, a kind byte, then fields in fixed order, texts and bodies with their length
//! before them. Compact, ours, and independent of the engine that keeps them.

use bytes::{BufMut, Bytes};

use super::fields::{Reader, blob, flow, option, span, text, way, way_byte};
use super::store::{
    BindingRecord, PublicationRecord, Record, RecordKey, SettledRecord, Standing,
    SubscriptionRecord, WatcherRecord,
};
use crate::watcherinfo::Handling;

/// Version of the encoding below.
const FORMAT: u8 = 1;
const BINDING: u8 = b'b';
/// A contact with a path, an instance or a flow.
const BINDING_OF_DEVICE: u8 = b'd';
/// As before, with more parameters of the contact.
const BINDING_WITH_PARAMS: u8 = b'c';
const PUBLICATION: u8 = b'p';
const SUBSCRIPTION: u8 = b's';
/// A subscription with the account that it belongs to.
const SUBSCRIPTION_OF_ACCOUNT: u8 = b'a';
/// A subscription, perhaps with an account, whose watcher may not have been told anything yet.
const SUBSCRIPTION_FRESH: u8 = b'f';
const WATCHER: u8 = b'w';
/// Comes behind all others, so that they are known when it is read.
const SETTLED: u8 = b'z';

/// Why stored bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by another version of this program.
    #[error("record format {0} is not known to this version, which reads format {FORMAT}")]
    UnknownFormat(u8),
    /// A kind of record that this version does not know.
    #[error("record kind {0:#04x} is not known to this version")]
    UnknownKind(u8),
    /// It ends too early.
    #[error("record is cut short in {0}")]
    Truncated(&'static str),
    /// A field has a value that it can't have.
    #[error("record is damaged in {0}")]
    Damaged(&'static str),
}

impl RecordKey {
    /// As bytes: kind, owner, NUL, the rest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Binding { aor, contact } => {
                out.push(BINDING);
                out.extend_from_slice(aor.as_bytes());
                out.push(0);
                out.extend_from_slice(contact.as_bytes());
            }
            Self::Publication { aor, order } => {
                out.push(PUBLICATION);
                out.extend_from_slice(aor.as_bytes());
                out.push(0);
                out.extend_from_slice(&order.to_be_bytes());
            }
            Self::Watcher { aor, watcher } => {
                out.push(WATCHER);
                out.extend_from_slice(aor.as_bytes());
                out.push(0);
                out.extend_from_slice(watcher.as_bytes());
            }
            Self::Subscription { dialog, event } => {
                out.push(SUBSCRIPTION);
                out.extend_from_slice(&dialog.to_be_bytes());
                out.extend_from_slice(event.as_bytes());
            }
            Self::Settled { aor, package } => {
                out.push(SETTLED);
                out.extend_from_slice(aor.as_bytes());
                out.push(0);
                out.extend_from_slice(package.as_bytes());
            }
        }
        out
    }
}

impl Record {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.encode_to(&mut out);
        out
    }

    /// As bytes, behind others.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        match self {
            Self::Binding(binding) => {
                let kind = if !binding.params.is_empty() {
                    BINDING_WITH_PARAMS
                } else if !binding.path.is_empty() || binding.instance.is_some() {
                    BINDING_OF_DEVICE
                } else {
                    BINDING
                };
                out.push(kind);
                text(out, &binding.aor);
                text(out, &binding.contact);
                option(out, binding.q, |out, q| out.put_u16(q));
                text(out, &binding.call_id);
                out.put_u32(binding.cseq);
                out.put_u64(binding.expires_at.as_millis());
                if kind != BINDING {
                    text(out, &binding.path);
                    option(out, binding.instance.as_deref(), text);
                    option(out, binding.reg_id, |out, id| out.put_u32(id));
                }
                if kind == BINDING_WITH_PARAMS {
                    text(out, &binding.params);
                }
            }
            Self::Publication(publication) => {
                out.push(PUBLICATION);
                text(out, &publication.aor);
                text(out, &publication.package);
                out.put_u64(publication.order);
                text(out, &publication.etag);
                out.put_u64(publication.expires_at.as_millis());
                out.put_u64(publication.modified_at.as_millis());
                text(out, &publication.content_type);
                blob(out, &publication.body);
            }
            Self::Subscription(subscription) => {
                out.push(match (subscription.fresh, &subscription.account) {
                    (Some(_), _) => SUBSCRIPTION_FRESH,
                    (None, None) => SUBSCRIPTION,
                    (None, Some(_)) => SUBSCRIPTION_OF_ACCOUNT,
                });
                text(out, &subscription.aor);
                text(out, &subscription.package);
                option(out, subscription.event_id.as_deref(), text);
                out.put_u64(subscription.expires_at.as_millis());
                out.put_u64(subscription.dialog);
                out.put_u8(subscription.shard);
                blob(out, &subscription.head);
                span(out, subscription.call_id);
                span(out, subscription.remote_tag);
                text(out, &subscription.target);
                option(out, subscription.first_route.as_deref(), text);
                flow(out, &subscription.flow);
                out.put_u8(way_byte(subscription.way));
                out.put_u32(subscription.remote_cseq);
                out.put_u64(subscription.epoch);
                match (subscription.fresh, &subscription.account) {
                    (Some(fresh), account) => {
                        out.put_u64(fresh);
                        option(out, account.as_deref(), text);
                    }
                    (None, Some(account)) => text(out, account),
                    (None, None) => {}
                }
            }
            Self::Settled(settled) => {
                out.push(SETTLED);
                text(out, &settled.aor);
                text(out, &settled.package);
                out.put_u64(settled.order);
                out.extend_from_slice(&settled.digest);
            }
            Self::Watcher(watcher) => {
                out.push(WATCHER);
                text(out, &watcher.aor);
                text(out, &watcher.watcher);
                out.put_u64(watcher.since.as_millis());
                match &watcher.standing {
                    Standing::Decided(handling) => {
                        out.put_u8(1);
                        text(out, handling.as_str());
                    }
                    Standing::Waiting { id } => {
                        out.put_u8(0);
                        text(out, id);
                    }
                }
            }
        }
    }

    /// The presentity or address of record of a record that is still bytes: what [`Record::aor`] gives, without the work
    /// and the memory of the rest.
    pub fn aor_in(bytes: &[u8]) -> Result<&str, RecordError> {
        let (head, rest) = bytes
            .split_at_checked(6)
            .ok_or(RecordError::Truncated("aor"))?;
        if head[0] != FORMAT {
            return Err(RecordError::UnknownFormat(head[0]));
        }
        let len = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let aor = rest.get(..len).ok_or(RecordError::Truncated("aor"))?;
        std::str::from_utf8(aor).map_err(|_| RecordError::Damaged("aor"))
    }

    /// From bytes. Bodies are shared with `bytes`, not copied.
    pub fn decode(bytes: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        let format = reader.u8("format")?;
        if format != FORMAT {
            return Err(RecordError::UnknownFormat(format));
        }
        let record = match reader.u8("kind")? {
            kind @ (BINDING | BINDING_OF_DEVICE | BINDING_WITH_PARAMS) => {
                Self::Binding(BindingRecord {
                    aor: reader.text("aor")?,
                    contact: reader.text("contact")?,
                    q: reader.option("q", Reader::u16)?,
                    call_id: reader.text("call_id")?,
                    cseq: reader.u32("cseq")?,
                    expires_at: reader.time("expires_at")?,
                    path: if kind == BINDING {
                        "".into()
                    } else {
                        reader.text("path")?
                    },
                    instance: if kind == BINDING {
                        None
                    } else {
                        reader.option("instance", Reader::text)?
                    },
                    reg_id: if kind == BINDING {
                        None
                    } else {
                        reader.option("reg_id", Reader::u32)?
                    },
                    params: if kind == BINDING_WITH_PARAMS {
                        reader.text("params")?
                    } else {
                        "".into()
                    },
                })
            }
            PUBLICATION => Self::Publication(PublicationRecord {
                aor: reader.text("aor")?,
                package: reader.text("package")?,
                order: reader.u64("order")?,
                etag: reader.text("etag")?,
                expires_at: reader.time("expires_at")?,
                modified_at: reader.time("modified_at")?,
                content_type: reader.text("content_type")?,
                body: reader.blob("body")?,
            }),
            kind @ (SUBSCRIPTION | SUBSCRIPTION_OF_ACCOUNT | SUBSCRIPTION_FRESH) => {
                let mut record = SubscriptionRecord {
                    aor: reader.text("aor")?,
                    package: reader.text("package")?,
                    event_id: reader.option("event_id", Reader::text)?,
                    expires_at: reader.time("expires_at")?,
                    dialog: reader.u64("dialog")?,
                    shard: reader.u8("shard")?,
                    head: reader.blob("head")?,
                    call_id: reader.span("call_id")?,
                    remote_tag: reader.span("remote_tag")?,
                    target: reader.text("target")?,
                    first_route: reader.option("first_route", Reader::text)?,
                    flow: reader.flow()?,
                    way: way(reader.u8("way")?)?,
                    remote_cseq: reader.u32("remote_cseq")?,
                    epoch: reader.u64("epoch")?,
                    account: None,
                    fresh: None,
                };
                match kind {
                    SUBSCRIPTION_FRESH => {
                        record.fresh = Some(reader.u64("fresh")?);
                        record.account = reader.option("account", Reader::text)?;
                    }
                    SUBSCRIPTION_OF_ACCOUNT => record.account = Some(reader.text("account")?),
                    _ => {}
                }
                Self::Subscription(record)
            }
            WATCHER => Self::Watcher(WatcherRecord {
                aor: reader.text("aor")?,
                watcher: reader.text("watcher")?,
                since: reader.time("since")?,
                standing: if reader.flag("standing")? {
                    let handling = Handling::named(&reader.text("handling")?);
                    Standing::Decided(handling.ok_or(RecordError::Damaged("handling"))?)
                } else {
                    Standing::Waiting {
                        id: reader.text("id")?,
                    }
                },
            }),
            SETTLED => Self::Settled(SettledRecord {
                aor: reader.text("aor")?,
                package: reader.text("package")?,
                order: reader.u64("order")?,
                digest: reader.digest("digest")?,
            }),
            kind => return Err(RecordError::UnknownKind(kind)),
        };
        if reader.0.is_empty() {
            Ok(record)
        } else {
            Err(RecordError::Damaged("its length"))
        }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
