//! A message.
use super::{
    Event, HeaderError, Method, Name, NameAddr, ParseError, StatusCode, SubscriptionState, Uri, Via,
};
use bytes::Bytes;
use std::borrow::Cow;

/// The CSeq header (RFC 3261, 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// Must be that of the request.
    pub method: Method,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    raw: Bytes,
}

#[expect(
    missing_docs,
    clippy::todo,
    unused_variables,
    reason = "signatures first"
)]
impl Message {
    pub const MAX_LEN: usize = 65_535;
    pub const MAX_HEADERS: usize = 128;
    pub const MAX_LINE: usize = 8192;

    pub fn parse(raw: Bytes) -> Result<Self, ParseError> {
        todo!()
    }
    pub fn is_request(&self) -> bool {
        todo!()
    }
    pub fn method(&self) -> Option<&Method> {
        todo!()
    }
    pub fn status(&self) -> Option<StatusCode> {
        todo!()
    }
    pub fn reason(&self) -> &str {
        todo!()
    }
    pub fn uri_text(&self) -> &str {
        todo!()
    }
    pub fn request_uri(&self) -> Result<Uri, HeaderError> {
        todo!()
    }
    pub fn text(&self, name: Name) -> Option<Cow<'_, str>> {
        todo!()
    }
    pub fn texts(&self, name: Name) -> impl Iterator<Item = Cow<'_, str>> {
        std::iter::empty()
    }
    pub fn values(&self, name: Name) -> impl Iterator<Item = Cow<'_, str>> {
        std::iter::empty()
    }
    pub fn other(&self, name: &str) -> Option<Cow<'_, str>> {
        todo!()
    }
    pub fn lines(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        std::iter::empty()
    }
    pub fn has(&self, name: Name) -> bool {
        todo!()
    }
    pub fn body(&self) -> Bytes {
        todo!()
    }
    pub fn raw(&self) -> Bytes {
        self.raw.clone()
    }
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        todo!()
    }
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        todo!()
    }
    pub fn from_tag(&self) -> Option<String> {
        todo!()
    }
    pub fn to_tag(&self) -> Option<String> {
        todo!()
    }
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        todo!()
    }
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        todo!()
    }
    pub fn via(&self) -> Result<Via, HeaderError> {
        todo!()
    }
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        todo!()
    }
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        todo!()
    }
    pub fn routes(&self, name: Name) -> Result<Vec<NameAddr>, HeaderError> {
        todo!()
    }
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        todo!()
    }
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        todo!()
    }
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        todo!()
    }
    pub fn max_forwards(&self) -> Result<Option<u32>, HeaderError> {
        todo!()
    }
    pub fn event(&self) -> Result<Option<Event>, HeaderError> {
        todo!()
    }
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        todo!()
    }
    pub fn content_type(&self) -> Option<String> {
        todo!()
    }
    pub fn accepts(&self) -> Option<Vec<String>> {
        todo!()
    }
    pub fn to_bytes(&self) -> Bytes {
        todo!()
    }
}
