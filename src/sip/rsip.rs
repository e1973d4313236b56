//! To and from rsip, so that modules and tests may speak its vocabulary. The data path does not: see the module above for
//! what rsip can't express.

use ::rsip::{SipMessage, StatusCode as RsipStatus};
use bytes::Bytes;

use super::head::Head;
use super::{Message, Method, StatusCode};

/// Why one side can't express what the other holds.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConvertError {
    /// rsip knows a closed list of methods.
    #[error("rsip has no method {0}")]
    Method(Method),
    /// rsip reads the Request-URI as another one than it is.
    #[error("rsip cannot express the Request-URI {0}")]
    Uri(String),
    /// rsip's reader refuses the message, in its words.
    #[error("rsip cannot express the message: {0}")]
    Refused(String),
    /// The rsip value, printed, is not SIP.
    #[error("not a SIP message: {0}")]
    Parse(#[source] Box<super::ParseError>),
    /// The rsip value has a status outside 100 to 699.
    #[error("no status {0}")]
    Status(u16),
}

impl TryFrom<&Message> for SipMessage {
    type Error = ConvertError;

    fn try_from(message: &Message) -> Result<Self, ConvertError> {
        if let Some(method @ Method::Other(_)) = message.method() {
            return Err(ConvertError::Method(method.clone()));
        }
        // Printed anew there are no compact names, folds or missing lengths, which rsip does not know.
        let converted =
            Self::try_from(message.to_bytes()).map_err(|e| ConvertError::Refused(e.to_string()))?;
        if let Self::Request(request) = &converted
            && request.uri.to_string() != message.uri_text()
        {
            return Err(ConvertError::Uri(message.uri_text().to_owned()));
        }
        Ok(converted)
    }
}

impl TryFrom<&SipMessage> for Message {
    type Error = ConvertError;

    fn try_from(message: &SipMessage) -> Result<Self, ConvertError> {
        // rsip prints reason phrases by the names of its enum, and bodies lossily: both are written here.
        let (start, headers, body) = match message {
            SipMessage::Request(request) => (
                format!("{} {} SIP/2.0\r\n", request.method, request.uri),
                &request.headers,
                &request.body,
            ),
            SipMessage::Response(response) => (
                status_line(&response.status_code)?,
                &response.headers,
                &response.body,
            ),
        };
        let mut head = Head::new();
        for header in headers.iter() {
            let line = header.to_string();
            if let Some((name, value)) = line.split_once(':')
                && !name.eq_ignore_ascii_case("Content-Length")
            {
                head.other(name.trim(), value.trim());
            }
        }
        head.line(super::Name::ContentLength, body.len());
        let mut raw = start.into_bytes();
        raw.extend_from_slice(head.as_bytes());
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(body);
        Self::parse(Bytes::from(raw)).map_err(|e| ConvertError::Parse(Box::new(e)))
    }
}

fn status_line(status: &RsipStatus) -> Result<String, ConvertError> {
    let code = StatusCode::new(status.code()).ok_or(ConvertError::Status(status.code()))?;
    let reason = match status {
        RsipStatus::Other(_, reason) => reason.replace(['\r', '\n'], " "),
        _ => code.reason().to_owned(),
    };
    Ok(format!("SIP/2.0 {code} {reason}\r\n"))
}
