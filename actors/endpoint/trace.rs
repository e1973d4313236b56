//! What the log shows of a message on the wire, read from its bytes only when somebody wants to see it.

use rollcall_core::exchange::Flow;

/// Shows a message that came in (`"received"`) or goes out (`"sent"`), at trace level.
#[inline]
pub(super) fn message(what: &'static str, flow: &Flow, bytes: &[u8]) {
    if tracing::enabled!(tracing::Level::TRACE) {
        shown(what, flow, bytes);
    }
}

#[cold]
fn shown(what: &'static str, flow: &Flow, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let mut fields = Fields::default();
    for line in lines {
        fields.read(line);
    }
    let (transport, remote) = (flow.transport, flow.remote);
    let status = first
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3));
    let method = fields.cseq.rsplit(' ').next().unwrap_or_default();
    tracing::trace!(
        %transport, %remote, method, status, call_id = fields.call_id, branch = fields.branch, cseq = fields.cseq,
        length = bytes.len(), "{what}: {first}"
    );
}

#[derive(Default)]
struct Fields<'a> {
    call_id: &'a str,
    branch: &'a str,
    cseq: &'a str,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "call-id" | "i" => self.call_id = value,
            "cseq" => self.cseq = value,
            "via" | "v" if self.branch.is_empty() => {
                let branch = value
                    .split(';')
                    .find_map(|p| p.trim().strip_prefix("branch="));
                self.branch = branch.and_then(|b| b.split(',').next()).unwrap_or_default();
            }
            _ => {}
        }
    }
}
