//! Whether a stream stands between two units of the layer below SIP: TLS records, WebSocket messages. What libraries keep of
//! an unfinished one they do not show, so the bytes are watched on their way to them.

/// Follows the units of a stream.
pub trait Parts {
    /// These bytes have come.
    fn feed(&mut self, bytes: &[u8]);

    /// The number of the unit that has begun and is not whole; none between two.
    fn begun(&self) -> Option<u32>;
}

/// The header of a unit as far as it has come, and what follows it.
#[derive(Clone, Debug, Default)]
struct Header {
    bytes: [u8; 14],
    have: usize,
    /// Bytes of the unit that follow the header and have not come.
    left: u64,
}

impl Header {
    /// Takes one byte of the header.
    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.have) {
            *free = byte;
            self.have += 1;
        }
    }

    /// Takes what is left of the unit off the front.
    fn skip(&mut self, bytes: &mut &[u8]) {
        let taken = self.left.min(bytes.len() as u64);
        self.left -= taken;
        *bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
    }
}

/// Records of TLS: five bytes, of which the last two are the length (RFC 8446, 5.1).
#[derive(Clone, Debug, Default)]
pub struct Records {
    header: Header,
    number: u32,
}

impl Parts for Records {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.header.have < 5 {
                self.header.push(byte);
                bytes = rest;
                if self.header.have < 5 {
                    continue;
                }
                let [_, _, _, high, low, ..] = self.header.bytes;
                self.header.left = u16::from_be_bytes([high, low]).into();
            }
            self.header.skip(&mut bytes);
            if self.header.left == 0 {
                self.header = Header::default();
                self.number = self.number.wrapping_add(1);
            }
        }
    }

    fn begun(&self) -> Option<u32> {
        (self.header.have > 0).then_some(self.number)
    }
}

/// Messages of a WebSocket after its handshake, in frames as they come (RFC 6455, 5.2).
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    header: Header,
    /// A message has begun whose last fragment has not come.
    within: bool,
    number: u32,
}

impl Fragments {
    /// The length of a header of which some has come; two bytes say it.
    fn length(&self) -> usize {
        if self.header.have < 2 {
            return 2;
        }
        let second = self.header.bytes[1];
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn payload(&self) -> u64 {
        let bytes = &self.header.bytes;
        match bytes[1] & 0x7f {
            126 => u16::from_be_bytes([bytes[2], bytes[3]]).into(),
            127 => bytes[2..10]
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            short => short.into(),
        }
    }
}

impl Parts for Fragments {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.header.have < self.length() {
                self.header.push(byte);
                bytes = rest;
                if self.header.have < self.length() {
                    continue;
                }
                self.header.left = self.payload();
            }
            self.header.skip(&mut bytes);
            if self.header.left > 0 {
                continue;
            }
            let first = self.header.bytes[0];
            let (last, control) = (first & 0x80 != 0, first & 0x08 != 0);
            self.header = Header::default();
            if !control {
                self.within = !last;
            }
            // A ping between the fragments of a message ends nothing.
            if !self.within {
                self.number = self.number.wrapping_add(1);
            }
        }
    }

    fn begun(&self) -> Option<u32> {
        (self.within || self.header.have > 0).then_some(self.number)
    }
}
