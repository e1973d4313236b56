//! The reader: one pass over a document, in which everything is checked that XML and its namespaces ask.

use super::attributes::{self, Attribute, RawAttributes};
use super::chars::{find_forbidden, is_ncname, is_space, is_space_byte, split_qname};
use super::markup::{Piece, bare_start, is_end_of, piece};
use super::scope::{Declared, Scope};
use crate::pidf::{Fault, PidfError};

/// What a reader puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size in bytes.
    pub bytes: usize,
    /// Nesting of elements.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element, namespace declarations among them.
    pub attributes: usize,
    /// Namespace declarations in scope at one place.
    pub declarations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            depth: 64,
            elements: 4096,
            attributes: 512,
            declarations: 128,
        }
    }
}

/// One step through a document. Positions are bytes in [`Scanner::text`].
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// An element begins; its attributes are at [`Scanner::attributes`].
    Start(Start<'a>),
    /// An element ends. Comes for empty elements too.
    End {
        /// Where the end tag begins; `None` for an empty element.
        tag: Option<usize>,
        /// After the element.
        end: usize,
        /// Its depth.
        depth: usize,
    },
    /// Text as written, line breaks included; a value may come in several pieces.
    Text(&'a str),
    /// A character given by reference.
    Character(char),
    /// A comment, without its markup.
    Comment(&'a str),
    /// A processing instruction.
    Instruction {
        /// Its target and what follows, without its markup.
        content: &'a str,
        /// How many elements are open.
        depth: usize,
    },
}

/// The begin of an element.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The prefix; empty if there is none.
    pub prefix: &'a str,
    /// The local name.
    pub local: &'a str,
    /// The namespace, for [`Scanner::declared`].
    pub declared: usize,
    /// Where `<` stands.
    pub at: usize,
    /// After the name.
    pub name_end: usize,
    /// 1 for the root.
    pub depth: usize,
}

/// Reads one document from its begin to its end.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    /// How far it is read.
    at: usize,
    /// `]` stands somewhere in it, and so may `]]>`.
    brackets: bool,
    limits: Limits,
    scope: Scope<'a>,
    attributes: Vec<Attribute<'a>>,
    /// The names of the elements that are open and have an end tag to come.
    open: Vec<&'a str>,
    /// Of an empty element whose begin was told, and whose end was not: after it.
    empty_end: Option<usize>,
    depth: usize,
    elements: usize,
    root: Root,
    version_1_0: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Awaited,
    Open,
    Closed,
}

impl<'a> Scanner<'a> {
    /// Checks size, encoding and characters, and stands at the begin. A UTF-8 byte order mark is skipped.
    pub fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, PidfError> {
        if bytes.len() > limits.bytes {
            return Err(PidfError::TooLarge {
                size: bytes.len(),
                limit: limits.bytes,
            });
        }
        let bytes = without_mark(bytes);
        match bytes {
            [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, b'<', ..] | [b'<', 0, ..] => {
                return Err(PidfError::Encoding("UTF-16".to_owned()));
            }
            _ => {}
        }
        let version_1_0 = attributes::check_declaration(bytes)?;
        let text = std::str::from_utf8(bytes)
            .map_err(|error| malformed(error.valid_up_to(), Fault::Utf8))?;
        if let Some(at) = find_forbidden(text) {
            return Err(malformed(at, Fault::Character));
        }
        // A second mark would be a character before the root.
        if text.starts_with('\u{FEFF}') {
            return Err(malformed(0, Fault::Outside));
        }
        Ok(Self {
            text,
            at: 0,
            brackets: memchr::memchr(b']', bytes).is_some(),
            limits,
            scope: Scope::new(),
            attributes: Vec::with_capacity(4),
            open: Vec::with_capacity(8),
            empty_end: None,
            depth: 0,
            elements: 0,
            root: Root::Awaited,
            version_1_0,
        })
    }

    /// The document without its byte order mark.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether the document says it is XML 1.0, or says nothing.
    pub fn is_version_1_0(&self) -> bool {
        self.version_1_0
    }

    /// The attributes of the element that began last, without its namespace declarations.
    pub fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The declaration that a [`Start`] or [`Attribute`] refers to; while the element is open.
    pub fn declared(&self, index: usize) -> &Declared<'a> {
        self.scope.get(index)
    }

    /// The declaration that holds for a prefix here.
    pub fn lookup(&self, prefix: &str) -> Option<&Declared<'a>> {
        self.scope.find(prefix).map(|index| self.scope.get(index))
    }

    /// The declarations that the element which began last makes itself.
    pub fn own_declarations(&self) -> impl Iterator<Item = &Declared<'a>> {
        self.scope.at_depth(self.depth)
    }

    /// The next step; `None` at the end of a document that is complete.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator could not lend the attributes"
    )]
    pub fn next(&mut self) -> Result<Option<Token<'a>>, PidfError> {
        if let Some(end) = self.empty_end.take() {
            return Ok(Some(self.end(None, end)));
        }
        loop {
            let at = self.at;
            if at == self.text.len() {
                return match self.root {
                    Root::Awaited => Err(malformed(at, Fault::NoRoot)),
                    Root::Open => Err(malformed(at, Fault::Unclosed)),
                    Root::Closed => Ok(None),
                };
            }
            // Most markup is one of these two.
            if let Some((name_end, colon)) = bare_start(self.text, at) {
                self.at = name_end + 1;
                return self.bare(at, name_end, colon).map(Some);
            }
            if let Some(name) = self.open.last()
                && is_end_of(self.text, at, name)
            {
                self.at = at + 2 + name.len() + 1;
                self.open.pop();
                return Ok(Some(self.end(Some(at), self.at)));
            }
            let (piece, end) = piece(self.text, at).map_err(|fault| malformed(at, fault))?;
            self.at = end;
            let token = match piece {
                Piece::Start => {
                    let start = self.start(at, end - 1)?;
                    self.open.push(&self.text[at + 1..start.name_end]);
                    Token::Start(start)
                }
                Piece::Empty => {
                    self.empty_end = Some(end);
                    Token::Start(self.start(at, end - 2)?)
                }
                Piece::End(name_end) => {
                    if self.open.pop() != Some(&self.text[at + 2..name_end]) {
                        return Err(malformed(at, Fault::EndTag));
                    }
                    self.end(Some(at), end)
                }
                Piece::Text => match self.character_data(at, end)? {
                    "" => continue,
                    text => Token::Text(text),
                },
                Piece::Data => {
                    self.inside(at)?;
                    Token::Text(&self.text[at + "<![CDATA[".len()..end - "]]>".len()])
                }
                Piece::Reference => {
                    self.inside(at)?;
                    let reference = &self.text[at + 1..end - 1];
                    Token::Character(
                        attributes::resolve(reference).map_err(|fault| malformed(at, fault))?,
                    )
                }
                Piece::Comment => Token::Comment(&self.text[at + "<!--".len()..end - "-->".len()]),
                Piece::Instruction => {
                    let content = &self.text[at + 2..end - 2];
                    let target = content.split(is_space).next().unwrap_or_default();
                    match target {
                        // The declaration has been looked at.
                        "xml" if at == 0 => continue,
                        "xml" => return Err(malformed(at, Fault::Declaration)),
                        _ => {}
                    }
                    if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
                        return Err(malformed(at, Fault::Instruction));
                    }
                    let depth = self.depth;
                    Token::Instruction { content, depth }
                }
            };
            return Ok(Some(token));
        }
    }

    /// An element begins whose tag is its name, with the colon there.
    fn bare(
        &mut self,
        at: usize,
        name_end: usize,
        colon: Option<usize>,
    ) -> Result<Token<'a>, PidfError> {
        self.enter(at)?;
        self.attributes.clear();
        let prefix = colon.map_or("", |colon| &self.text[at + 1..colon]);
        let local = &self.text[colon.map_or(at + 1, |colon| colon + 1)..name_end];
        self.open.push(&self.text[at + 1..name_end]);
        Ok(Token::Start(Start {
            prefix,
            local,
            declared: self.resolve(prefix, at)?,
            at,
            name_end,
            depth: self.depth,
        }))
    }

    /// An element begins; `inner_end` is before `>` or `/>`.
    fn start(&mut self, at: usize, inner_end: usize) -> Result<Start<'a>, PidfError> {
        self.enter(at)?;
        let inner = &self.text[at + 1..inner_end];
        let space = inner.bytes().position(is_space_byte);
        let name_length = space.unwrap_or(inner.len());
        let name_end = at + 1 + name_length;
        let (prefix, local) =
            split_qname(&inner[..name_length]).ok_or(malformed(at, Fault::Name))?;
        self.read_attributes(&inner[name_length..], name_end)?;
        let declared = self.resolve(prefix, at)?;
        Ok(Start {
            prefix,
            local,
            declared,
            at,
            name_end,
            depth: self.depth,
        })
    }

    /// One element more, one deeper.
    fn enter(&mut self, at: usize) -> Result<(), PidfError> {
        match self.root {
            Root::Awaited => self.root = Root::Open,
            Root::Open => {}
            Root::Closed => return Err(malformed(at, Fault::SecondRoot)),
        }
        self.depth += 1;
        self.elements += 1;
        if self.depth > self.limits.depth {
            return Err(PidfError::TooDeep {
                limit: self.limits.depth,
                at,
            });
        }
        if self.elements > self.limits.elements {
            return Err(PidfError::TooMany {
                what: "elements",
                limit: self.limits.elements,
                at,
            });
        }
        Ok(())
    }

    fn end(&mut self, tag: Option<usize>, end: usize) -> Token<'a> {
        let depth = self.depth;
        self.scope.leave(depth);
        self.depth = depth.saturating_sub(1);
        if self.depth == 0 {
            self.root = Root::Closed;
        }
        Token::End { tag, end, depth }
    }

    fn read_attributes(&mut self, text: &'a str, offset: usize) -> Result<(), PidfError> {
        self.attributes.clear();
        let mut raw = RawAttributes { text, at: 0 };
        let mut count = 0;
        // Declarations first take effect for all attributes of the tag, wherever they stand.
        loop {
            let next = raw
                .next()
                .map_err(|()| malformed(offset + raw.at, Fault::Attribute))?;
            let Some(attribute) = next else { break };
            let (name_at, value_at) = (offset + attribute.name_at, offset + attribute.value_at);
            count += 1;
            if count > self.limits.attributes {
                return Err(PidfError::TooMany {
                    what: "attributes",
                    limit: self.limits.attributes,
                    at: name_at,
                });
            }
            attributes::check_value(attribute.value)
                .map_err(|(at, fault)| malformed(value_at + at, fault))?;
            let (prefix, local) =
                split_qname(attribute.name).ok_or(malformed(name_at, Fault::Name))?;
            let declared_prefix = match (prefix, local) {
                ("", "xmlns") => "",
                ("xmlns", local) => local,
                _ => {
                    let raw = attribute.value;
                    self.attributes.push(Attribute {
                        prefix,
                        local,
                        raw,
                        at: value_at,
                        declared: 0,
                    });
                    continue;
                }
            };
            self.declare(declared_prefix, attribute.value, name_at)?;
        }
        for index in 0..self.attributes.len() {
            let Attribute { prefix, at, .. } = self.attributes[index];
            // An attribute without prefix has no namespace, whatever the default is.
            self.attributes[index].declared = if prefix.is_empty() {
                0
            } else {
                self.resolve(prefix, at)?
            };
        }
        self.check_duplicates(offset)
    }

    fn declare(&mut self, prefix: &'a str, value: &'a str, at: usize) -> Result<(), PidfError> {
        if self.scope.len() >= self.limits.declarations {
            let limit = self.limits.declarations;
            return Err(PidfError::TooMany {
                what: "namespace declarations",
                limit,
                at,
            });
        }
        if self
            .scope
            .find(prefix)
            .is_some_and(|found| self.scope.get(found).depth == self.depth)
        {
            return Err(malformed(at, Fault::DuplicateAttribute));
        }
        if !self
            .scope
            .declare(prefix, attributes::expand(value), self.depth)
        {
            return Err(malformed(at, Fault::NamespaceDeclaration));
        }
        Ok(())
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<usize, PidfError> {
        self.scope.find(prefix).ok_or(malformed(at, Fault::Prefix))
    }

    /// No attribute twice by expanded name (Namespaces, 6.3). Sorted rather than compared each with each, and rather
    /// than hashed without a random seed, so that no choice of names makes it slow.
    fn check_duplicates(&self, at: usize) -> Result<(), PidfError> {
        let name =
            |attribute: &Attribute<'a>| (attribute.local, &*self.scope.get(attribute.declared).uri);
        let twice = match &*self.attributes {
            [] | [_] => false,
            [first, second] => name(first) == name(second),
            attributes => {
                let mut names: Vec<_> = attributes.iter().map(name).collect();
                names.sort_unstable();
                names.windows(2).any(|pair| pair[0] == pair[1])
            }
        };
        if twice {
            Err(malformed(at, Fault::DuplicateAttribute))
        } else {
            Ok(())
        }
    }

    /// Text between markup: white space only outside the root, where it tells nothing.
    fn character_data(&self, at: usize, end: usize) -> Result<&'a str, PidfError> {
        let text = &self.text[at..end];
        if self.root != Root::Open {
            return match text.bytes().position(|byte| !is_space_byte(byte)) {
                Some(found) => Err(malformed(at + found, Fault::Outside)),
                None => Ok(""),
            };
        }
        if !self.brackets {
            return Ok(text);
        }
        match memchr::memmem::find(text.as_bytes(), b"]]>") {
            Some(found) => Err(malformed(at + found, Fault::CdataEnd)),
            None => Ok(text),
        }
    }

    fn inside(&self, at: usize) -> Result<(), PidfError> {
        if self.root == Root::Open {
            Ok(())
        } else {
            Err(malformed(at, Fault::Outside))
        }
    }
}

/// Whether the bytes are a well-formed, namespace-well-formed document without DTD, within the limits.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), PidfError> {
    let mut scanner = Scanner::new(bytes, *limits)?;
    while scanner.next()?.is_some() {}
    Ok(())
}

/// The bytes without a UTF-8 byte order mark.
pub(in crate::pidf) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

fn malformed(at: usize, fault: Fault) -> PidfError {
    PidfError::Malformed { fault, at }
}
