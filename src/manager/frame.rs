//! Finds the documents in a stream of XML: where one ends and the next begins, without reading what they mean.
//!
//! An incremental scanner over bytes. It knows tags, quotes, comments, CDATA and the XML declaration, keeps its place
//! between calls, so that a document in one-byte segments costs no more than in one, and is bounded in size and depth.
//!
//! Since no element but the root may be called `xml` (names that begin so are reserved; XML 1.0, 2.3), `</xml>` ends a
//! document and `<xml>` begins one wherever they stand outside of comments and CDATA. That is what makes the framing
//! certain again after a forgotten end tag or quote: the broken document is reported, the next one is found.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// The greatest length of a document in bytes.
pub const MAX_LEN: usize = 64 * 1024;
/// How deep elements may be nested, the root included.
pub const MAX_DEPTH: usize = 16;

/// What the scanner found.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A whole document, from the root's start tag (or the XML declaration before it) to its end tag.
    Document(Bytes),
    /// A broken document whose end is known: report it and go on.
    Malformed(FrameError),
    /// Where the next document begins can't be known any more: report it and close. Nothing is found afterwards.
    Lost(FrameError),
}

/// Why a document could not be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes than [`MAX_LEN`] without an end.
    #[error("the document is longer than {0} bytes")]
    TooLarge(usize),
    /// Elements nested deeper than [`MAX_DEPTH`].
    #[error("elements are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Something that is not a document.
    #[error("there is text between documents; a document begins with <xml>")]
    Text,
    /// A document type declaration, which nobody here needs and which is good for attacks only.
    #[error("a document type declaration (<!DOCTYPE) is not allowed")]
    Doctype,
    /// `<!` that begins neither a comment nor CDATA.
    #[error("<! begins neither a comment nor CDATA")]
    Markup,
    /// A processing instruction other than the XML declaration at the beginning.
    #[error("processing instructions (<?) are not allowed")]
    Instruction,
    /// `<` within a tag: a `>` or a quote is missing before it.
    #[error("there is a < within a tag: a > or a quote is missing before it")]
    BrokenTag,
    /// A start tag `<xml>` within a document.
    #[error("the document has no </xml> before the next one begins")]
    Unfinished,
    /// An end tag too many.
    #[error("there is an end tag without its start tag")]
    StrayEnd,
    /// The root element has another name.
    #[error("the root element is not called xml")]
    Root,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scan {
    /// Before a root element; white space, comments and an XML declaration are allowed.
    Between,
    /// Inside the root element, outside of tags.
    Text,
    /// After `<`.
    Open,
    /// In the name of a tag.
    Name,
    /// In a tag, after its name.
    Tag,
    /// In the value of an attribute.
    Quoted(u8),
    /// After `<!`.
    Bang,
    /// After `<!--`.
    Comment,
    /// After `<![CDATA[`.
    Cdata,
    /// After `<?`.
    Instruction,
    /// No document can be found any more.
    Lost,
}

/// The scanner; one for each stream.
#[derive(Clone, Debug)]
pub struct FrameFinder {
    limit: usize,
    scan: Scan,
    /// How much of the buffer has been looked at. The buffer begins with the document.
    pos: usize,
    /// Where the tag (comment, …) at hand begins.
    mark: usize,
    depth: usize,
    /// Whether the root's start tag has been seen, and whether it is called `xml`.
    root: Option<bool>,
    /// Whether the tag at hand is an end tag, and whether it is called `xml`.
    closing: bool,
    named_xml: bool,
    fault: Option<FrameError>,
}

impl Default for FrameFinder {
    fn default() -> Self {
        Self::new(MAX_LEN)
    }
}

impl FrameFinder {
    /// A scanner for documents of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            scan: Scan::Between,
            pos: 0,
            mark: 0,
            depth: 0,
            root: None,
            closing: false,
            named_xml: false,
            fault: None,
        }
    }

    /// The next document in `buf`, which is taken out of it; `None` until more has come. The caller appends what it
    /// reads to `buf` and takes nothing out itself.
    pub fn next(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        while self.pos < buf.len() {
            if self.pos >= self.limit {
                return Some(self.lose(buf, FrameError::TooLarge(self.limit)));
            }
            let found = match self.scan {
                Scan::Between => self.between(buf),
                Scan::Text => {
                    match memchr(b'<', &buf[self.pos..]) {
                        Some(at) => self.open(self.pos + at),
                        None => self.pos = buf.len(),
                    }
                    None
                }
                Scan::Open => self.opened(buf[self.pos]),
                Scan::Name => self.name(buf),
                Scan::Tag => self.tag(buf),
                Scan::Quoted(quote) => {
                    self.quoted(buf[self.pos], quote);
                    None
                }
                Scan::Bang => self.bang(buf),
                Scan::Comment => self.skip_to(buf, b"-->", "<!--".len()),
                Scan::Cdata => self.skip_to(buf, b"]]>", "<![CDATA[".len()),
                Scan::Instruction => self.skip_to(buf, b"?>", "<?".len()),
                Scan::Lost => {
                    buf.clear();
                    self.pos = 0;
                    return None;
                }
            };
            if found.is_some() {
                return found;
            }
        }
        // Its end would lie beyond the limit, wherever it comes.
        if self.pos >= self.limit {
            return Some(self.lose(buf, FrameError::TooLarge(self.limit)));
        }
        None
    }

    /// Whether part of a document has come, so that an end of the stream now would cut it off.
    pub fn is_within(&self) -> bool {
        self.pos > 0
    }

    fn between(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        match buf[self.pos] {
            b'<' => {
                self.open(self.pos);
                None
            }
            // The last three are a byte order mark, which some editors put before UTF-8.
            b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {
                if self.pos == 0 {
                    buf.advance(1);
                } else {
                    self.pos += 1;
                }
                None
            }
            _ => Some(self.lose(buf, FrameError::Text)),
        }
    }

    fn open(&mut self, at: usize) {
        self.mark = at;
        self.pos = at + 1;
        self.scan = Scan::Open;
    }

    fn opened(&mut self, byte: u8) -> Option<Frame> {
        self.closing = byte == b'/';
        match byte {
            b'!' => self.scan = Scan::Bang,
            b'?' => self.scan = Scan::Instruction,
            b'/' => self.scan = Scan::Name,
            // The name's first byte is looked at as such.
            _ => {
                self.scan = Scan::Name;
                return None;
            }
        }
        self.pos += 1;
        None
    }

    fn name(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        if !matches!(
            buf[self.pos],
            b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>' | b'<' | b'=' | b'"' | b'\''
        ) {
            self.pos += 1;
            return None;
        }
        let begin = self.mark + 1 + usize::from(self.closing);
        self.named_xml = &buf[begin..self.pos] == b"xml";
        self.scan = Scan::Tag;
        if self.closing {
            return None;
        }
        match self.root {
            None => self.root = Some(self.named_xml),
            Some(_) if self.named_xml => {
                let mark = self.mark;
                return Some(self.broken(buf, mark, FrameError::Unfinished));
            }
            Some(_) => {}
        }
        None
    }

    fn tag(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        match buf[self.pos] {
            b'>' => self.tag_ended(buf),
            b'<' => {
                self.blame(FrameError::BrokenTag);
                self.open(self.pos);
                None
            }
            quote @ (b'"' | b'\'') => {
                self.scan = Scan::Quoted(quote);
                self.pos += 1;
                None
            }
            _ => {
                self.pos += 1;
                None
            }
        }
    }

    fn quoted(&mut self, byte: u8, quote: u8) {
        if byte == b'<' {
            self.blame(FrameError::BrokenTag);
            self.open(self.pos);
            return;
        }
        if byte == quote {
            self.scan = Scan::Tag;
        }
        self.pos += 1;
    }

    fn tag_ended(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        let empty = buf[self.pos - 1] == b'/' && !self.closing;
        self.pos += 1;
        self.scan = Scan::Text;
        let end = self.pos;
        let Some(root_is_xml) = self.root else {
            return Some(self.broken(buf, end, FrameError::StrayEnd));
        };
        if self.closing {
            self.depth = self.depth.saturating_sub(1);
            if self.named_xml || (self.depth == 0 && !root_is_xml) {
                return Some(self.document(buf, root_is_xml));
            }
            if self.depth == 0 {
                self.blame(FrameError::StrayEnd);
                self.depth = 1;
            }
        } else if empty {
            if self.depth == 0 {
                return Some(self.document(buf, root_is_xml));
            }
        } else {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                self.blame(FrameError::TooDeep);
            }
        }
        None
    }

    fn bang(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        self.pos += 1;
        let seen = &buf[self.mark..self.pos];
        let known: [(&[u8], Scan); 2] = [(b"<!--", Scan::Comment), (b"<![CDATA[", Scan::Cdata)];
        for (start, then) in known {
            if seen == start {
                if then == Scan::Cdata && self.root.is_none() {
                    return Some(self.lose(buf, FrameError::Text));
                }
                self.scan = then;
                return None;
            }
            if start.starts_with(seen) {
                return None;
            }
        }
        let doctype = seen.eq_ignore_ascii_case(&b"<!DOCTYPE"[..seen.len().min(9)]);
        let error = if doctype {
            FrameError::Doctype
        } else {
            FrameError::Markup
        };
        Some(self.lose(buf, error))
    }

    /// Comment, CDATA or processing instruction: goes on behind `end`, which may not overlap the `start` bytes at mark.
    fn skip_to(&mut self, buf: &mut BytesMut, end: &[u8], start: usize) -> Option<Frame> {
        self.pos += 1;
        let inside = &buf[self.mark + start..self.pos];
        if !inside.ends_with(end) {
            return None;
        }
        let instruction = self.scan == Scan::Instruction;
        self.scan = if self.root.is_some() {
            Scan::Text
        } else {
            Scan::Between
        };
        let target = &inside[..inside.len() - end.len()];
        let declaration = self.mark == 0
            && target.starts_with(b"xml")
            && target.get(3).is_some_and(u8::is_ascii_whitespace);
        let pos = self.pos;
        match (self.root, instruction) {
            (None, true) if declaration => None,
            (None, true) => Some(self.broken(buf, pos, FrameError::Instruction)),
            (Some(_), true) => {
                self.blame(FrameError::Instruction);
                None
            }
            // A comment between documents belongs to none.
            (None, false) if self.mark == 0 => {
                buf.advance(pos);
                self.pos = 0;
                None
            }
            (None | Some(_), false) => None,
        }
    }

    /// The first fault is the one to report: the others follow from it.
    fn blame(&mut self, error: FrameError) {
        self.fault.get_or_insert(error);
    }

    fn document(&mut self, buf: &mut BytesMut, root_is_xml: bool) -> Frame {
        if !root_is_xml {
            self.blame(FrameError::Root);
        }
        let document = buf.split_to(self.pos).freeze();
        let fault = self.fault;
        *self = Self::new(self.limit);
        match fault {
            Some(error) => Frame::Malformed(error),
            None => Frame::Document(document),
        }
    }

    /// Drops what stands before `end` as broken.
    fn broken(&mut self, buf: &mut BytesMut, end: usize, error: FrameError) -> Frame {
        buf.advance(end);
        let error = self.fault.unwrap_or(error);
        *self = Self::new(self.limit);
        Frame::Malformed(error)
    }

    fn lose(&mut self, buf: &mut BytesMut, error: FrameError) -> Frame {
        buf.clear();
        *self = Self {
            scan: Scan::Lost,
            ..Self::new(self.limit)
        };
        Frame::Lost(error)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
