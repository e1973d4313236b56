//! A source of the Manager by hand, as a script is one.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::LIMIT;

/// A connection to a Manager that has said it is a source.
pub struct Source {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Source {
    /// Connects and says hello.
    pub fn new(manager: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(manager).expect("the manager listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream
            .write_all(b"<xml><type> SOURCE </type><id>test</id></xml>\n")
            .expect("the manager reads");
        let reader = BufReader::new(stream.try_clone().expect("a socket"));
        Self { stream, reader }
    }

    /// Sends any text.
    pub fn send(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .expect("the manager reads");
    }

    /// Says that somebody is open and busy, with a note. Without a `seq` no answer is wanted.
    pub fn say(&mut self, entity: &str, seq: Option<u64>, note: &str) {
        let seq = seq.map_or(String::new(), |seq| format!("<seq>{seq}</seq>"));
        self.send(&format!(
            "<xml><type>PRESENCE</type>{seq}<entity>{entity}</entity><basic>open</basic><activity>busy</activity>\
             <note>{note}</note></xml>\n"
        ));
    }

    /// The next document of this type.
    pub fn expect(&mut self, kind: &str) -> String {
        let wanted = format!("<type>{kind}</type>");
        loop {
            let line = self
                .line()
                .unwrap_or_else(|| panic!("the end instead of {kind}"));
            if line.contains(&wanted) {
                return line;
            }
        }
    }

    /// Waits until what was said is published.
    pub fn published(&mut self) {
        loop {
            let line = self.line().expect("an ACK before the end");
            assert!(!line.contains("<type>NAK</type>"), "refused: {line}");
            if line.contains("<type>ACK</type>") {
                return;
            }
        }
    }

    /// Takes leave as `printf … | nc` does, and waits until the Manager has taken every word and closes.
    pub fn leave(mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a socket");
        while self.line().is_some() {}
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line),
            Err(error) => panic!("nothing from the manager: {error}"),
        }
    }
}

/// Says one thing and waits until it is published.
pub fn say(manager: SocketAddr, entity: &str, note: &str) {
    let mut source = Source::new(manager);
    source.say(entity, Some(1), note);
    source.published();
}

/// Says one thing and goes, as soon as the Manager has it.
pub fn leave_word(manager: SocketAddr, entity: &str, note: &str) {
    let mut source = Source::new(manager);
    source.say(entity, None, note);
    source.leave();
}
