//! To and from rsip, so that modules and tests may speak its vocabulary. The data path does not: see the module above for
//! what rsip can't express.

pub use ::rsip::{
    Error, Header, Headers, Request, Response, SipMessage, common, headers, message, prelude, typed,
};

use ::rsip::StatusCode as RsipStatus;
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
            && !is_same_uri(&request.uri.to_string(), message.uri_text())
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

/// rsip prints transports in capitals, which makes no difference; others would.
fn is_same_uri(theirs: &str, ours: &str) -> bool {
    match (super::Uri::parse(theirs), super::Uri::parse(ours)) {
        (Ok(theirs), Ok(ours)) => theirs.equals(&ours),
        _ => theirs == ours,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("a message")
    }

    #[test]
    fn a_request_goes_to_rsip_and_back() {
        let ours = read(
            "PUBLISH sip:a@h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bKa\r\no: presence\r\nl: 2\r\n\r\nhi",
        );
        let theirs = SipMessage::try_from(&ours).expect("expressible");
        assert!(theirs.is_request());
        let back = Message::try_from(&theirs).expect("expressible");
        assert_eq!(back.event(), ours.event());
        assert_eq!(back.via(), ours.via());
        assert_eq!(back.body(), "hi");
    }

    #[test]
    fn a_response_from_rsip_has_its_standard_phrase_and_its_very_body() {
        let theirs = SipMessage::Response(Response {
            status_code: RsipStatus::BadEvent,
            headers: vec![Header::Other("X-Own".into(), "a\r\nEvil: b".into())].into(),
            version: common::Version::V2,
            body: vec![0xff, 0],
        });
        let ours = Message::try_from(&theirs).expect("expressible");
        assert_eq!(
            (ours.status(), ours.reason()),
            (Some(StatusCode::BAD_EVENT), "Bad Event")
        );
        assert_eq!(ours.body(), &[0xff, 0][..]);
        assert_eq!(ours.lines().count(), 2, "nothing is injected");
    }

    #[test]
    fn what_rsip_would_change_is_refused() {
        let convert = |line: &str| {
            SipMessage::try_from(&read(&format!("{line} SIP/2.0\r\nEvent: x\r\n\r\n")))
        };
        assert!(matches!(
            convert("WAVE sip:a@h"),
            Err(ConvertError::Method(Method::Other(_)))
        ));
        assert!(matches!(
            convert("publish sip:a@h"),
            Err(ConvertError::Method(_))
        ));
        assert!(convert("PUBLISH tel:+1234").is_err());
        assert!(convert("PUBLISH sip:a@[::1]").is_err());
        assert!(convert("PUBLISH sip:a@h").is_ok());
    }
}
