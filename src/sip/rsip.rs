//! To and from rsip.
use super::Message;

/// Why a message is not expressible on the other side, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConvertError(pub String);

impl TryFrom<&Message> for ::rsip::SipMessage {
    type Error = ConvertError;

    fn try_from(message: &Message) -> Result<Self, ConvertError> {
        let _ = message;
        todo!()
    }
}

impl TryFrom<&::rsip::SipMessage> for Message {
    type Error = ConvertError;

    fn try_from(message: &::rsip::SipMessage) -> Result<Self, ConvertError> {
        let _ = message;
        todo!()
    }
}
