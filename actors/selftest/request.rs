//! Requests, ordinary ones and deliberately odd ones: nothing here is checked, and the bytes are sent as built.

/// What its Content-Length says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Length {
    /// The length of the body.
    True,
    /// This.
    Said(String),
    /// There is none.
    Absent,
}

/// A request to be built and changed until it is as it should be, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of the request line; that of CSeq is changed for itself.
    pub method: String,
    /// The Request-URI.
    pub uri: String,
    /// `SIP/2.0`.
    pub version: String,
    /// Names and values in order, as they are written.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    length: Length,
}

impl Request {
    /// A request without any header.
    pub fn new(method: &str, uri: &str) -> Self {
        Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            version: "SIP/2.0".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            length: Length::True,
        }
    }

    /// With one more header at the end.
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this value in the place of those that the name has, or at the end if it has none.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let place = self.headers.iter().position(|(known, _)| known == name);
        let mut value = Some((name.to_owned(), value.into()));
        let headers = std::mem::take(&mut self.headers).into_iter().enumerate();
        self.headers = headers
            .filter_map(|(at, header)| match place {
                Some(place) if at == place => value.take(),
                _ => (header.0 != name).then_some(header),
            })
            .collect();
        self.headers.extend(value);
        self
    }

    /// Without that header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// With the names of headers written otherwise.
    pub fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        for (known, _) in &mut self.headers {
            *known = name(known);
        }
        self
    }

    /// With another Request-URI.
    pub fn target(mut self, uri: impl Into<String>) -> Self {
        self.uri = uri.into();
        self
    }

    /// With a body of this type.
    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("Content-Type", kind)
    }

    /// With a Content-Length that says this.
    pub fn length(mut self, said: &str) -> Self {
        self.length = Length::Said(said.to_owned());
        self
    }

    /// Without a Content-Length.
    pub fn without_length(mut self) -> Self {
        self.length = Length::Absent;
        self
    }

    /// The first value of a header, or nothing.
    pub fn value(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The branch of the topmost Via, whatever its name is written like: the way to its response.
    pub fn branch(&self) -> String {
        let values = self.headers.iter().map(|(_, value)| value);
        let found = values
            .filter_map(|value| value.split_once("branch="))
            .map(|(_, rest)| rest);
        let end = |rest: &str| {
            let end = rest.find([';', ',', ' ', '\r']).unwrap_or(rest.len());
            rest[..end].to_owned()
        };
        found.map(end).next().unwrap_or_default()
    }

    /// As it goes out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.length {
            Length::True => text.push_str(&format!("Content-Length: {}\r\n", self.body.len())),
            Length::Said(said) => text.push_str(&format!("Content-Length: {said}\r\n")),
            Length::Absent => {}
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> String {
        String::from_utf8(request.bytes()).expect("text")
    }

    #[test]
    fn a_request_goes_out_as_it_was_built() {
        let request = Request::new("OPTIONS", "sip:b")
            .and("Via", "SIP/2.0/UDP h;branch=z9hG4bK1;rport")
            .and("To", "<sip:a>")
            .and("To", "<sip:b>")
            .with("To", "<sip:c>")
            .and("X", "1")
            .with("Y", "2")
            .without("X")
            .body("text/plain", "hi");

        assert_eq!(request.branch(), "z9hG4bK1");
        assert_eq!(request.value("To"), "<sip:c>");
        assert_eq!(
            text(&request),
            "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nTo: <sip:c>\r\nY: 2\r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn its_length_may_lie_and_be_left_out() {
        let request = Request::new("A", "b").body("t/p", "hi");
        let lying = text(&request.clone().length("-7"));
        let silent = text(&request.without_length());
        assert!(lying.contains("Content-Length: -7\r\n\r\nhi"), "{lying}");
        assert!(!silent.contains("Content-Length"), "{silent}");
    }
}
