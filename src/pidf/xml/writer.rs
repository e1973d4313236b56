//! Writes XML: whatever text is given, the result is well formed.

/// A growing document. Names are given by the program; values may come from anywhere and are escaped.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    /// Elements begun and not ended.
    open: Vec<&'static str>,
    /// Whether the start tag of the last element still takes attributes.
    in_tag: bool,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The XML declaration that every document of ours begins with.
    pub fn declaration(&mut self) {
        self.out
            .extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    }

    /// Begins an element.
    pub fn start(&mut self, name: &'static str) {
        self.close_tag();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.open.push(name);
        self.in_tag = true;
    }

    /// Gives the element just begun an attribute; `name` must be new to it. Elsewhere it is left out.
    pub fn attribute(&mut self, name: &str, value: &str) {
        debug_assert!(self.in_tag, "an attribute follows a start tag");
        if self.in_tag {
            push_attribute(&mut self.out, name, value);
        }
    }

    /// Text inside the element.
    pub fn text(&mut self, text: &str) {
        self.close_tag();
        escape(&mut self.out, text, false);
    }

    /// Markup that is known to be well formed, with its namespaces in order.
    pub fn raw(&mut self, markup: &[u8]) {
        self.close_tag();
        self.out.extend_from_slice(markup);
    }

    /// Ends the innermost element.
    pub fn end(&mut self) {
        let Some(name) = self.open.pop() else { return };
        if std::mem::take(&mut self.in_tag) {
            self.out.extend_from_slice(b"/>");
            return;
        }
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }

    /// An element with nothing but text.
    pub fn leaf(&mut self, name: &'static str, text: &str) {
        self.start(name);
        self.text(text);
        self.end();
    }

    /// An empty element.
    pub fn empty(&mut self, name: &'static str) {
        self.start(name);
        self.end();
    }

    /// An empty element whose prefix (with its colon) and local name are known apart.
    pub fn empty_with_prefix(&mut self, prefix: &'static str, local: &'static str) {
        self.close_tag();
        self.out.push(b'<');
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(local.as_bytes());
        self.out.extend_from_slice(b"/>");
    }

    /// A line break between elements, for people who look at the wire.
    pub fn line(&mut self) {
        self.raw(b"\n");
    }

    /// The document; elements still open are ended.
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.out
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push(b'>');
        }
    }
}

/// Appends ` name="value"`.
pub fn push_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape(out, value, true);
    out.push(b'"');
}

/// Appends `text` as it may stand in an attribute value between any quotes.
pub(crate) fn push_value(out: &mut Vec<u8>, text: &str) {
    escape(out, text, true);
}

/// Appends `text` as it may stand between tags.
pub(in crate::pidf) fn push_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text, false);
}

/// Appends `text` with what markup would read differently replaced. Characters that XML cannot carry at all become
/// U+FFFD. In attributes also white space is written as references, since a reader would turn it into spaces.
fn escape(out: &mut Vec<u8>, text: &str, in_attribute: bool) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, character) in text.char_indices() {
        let replacement: &[u8] = match character {
            '<' => b"&lt;",
            '>' => b"&gt;",
            '&' => b"&amp;",
            '\r' => b"&#13;",
            '"' if in_attribute => b"&quot;",
            '\'' if in_attribute => b"&#39;",
            '\n' if in_attribute => b"&#10;",
            '\t' if in_attribute => b"&#9;",
            _ if super::is_char(character) => continue,
            _ => "\u{FFFD}".as_bytes(),
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(replacement);
        copied = at + character.len_utf8();
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_anywhere_stay_values() {
        let mut writer = Writer::new();
        writer.start("a");
        writer.attribute("b", "\"<&>'\n\t\r\u{1}");
        writer.text("]]> <x/> \u{0}\u{FFFE}\r\n");
        writer.empty("c");
        writer.start("d");
        let document = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(
            document,
            "<a b=\"&quot;&lt;&amp;&gt;&#39;&#10;&#9;&#13;\u{FFFD}\">]]&gt; &lt;x/&gt; \u{FFFD}\u{FFFD}&#13;\n<c/><d/></a>"
        );
    }
}
