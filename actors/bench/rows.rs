//! What the load generator remembers of each presentity and each subscription: only what the server chose, and where things stand. The
//! rest follows from the number, so that ten million subscriptions fit into a gigabyte.

/// No slot: nothing is under way. No CSeq either, since those end at 2³¹ (RFC 3261, 8.1.1.5).
pub(super) const NONE: u32 = u32::MAX;

/// A publication, the only one of its presentity.
#[derive(Debug)]
pub(super) struct Publication {
    /// Empty before the first answer, and after a 412.
    pub etag: Box<[u8]>,
    pub cseq: u32,
    /// The number of the state that was sent last.
    pub sent: u32,
    /// The number of the last state that the server has accepted.
    pub stored: u32,
    /// How many watchers have not been shown what was sent last.
    pub behind: u32,
    /// What is under way for it, or [`NONE`].
    pub slot: u32,
}

impl Default for Publication {
    fn default() -> Self {
        Self {
            etag: Box::default(),
            cseq: 0,
            sent: 0,
            stored: 0,
            behind: 0,
            slot: NONE,
        }
    }
}

/// The dialog of a subscription. Subscription number n watches presentity n modulo their number.
#[derive(Debug)]
pub(super) struct Dialog {
    /// Of the notifier; empty before the first answer.
    pub tag: Box<[u8]>,
    /// Where requests go, among [`Targets`].
    pub target: u32,
    pub cseq: u32,
    /// CSeq of the last NOTIFY, or [`NONE`].
    pub notified: u32,
    /// The number of the state that was shown last; 0 if none.
    pub shown: u32,
    /// What is under way for it, or [`NONE`].
    pub slot: u32,
}

impl Default for Dialog {
    fn default() -> Self {
        Self {
            tag: Box::default(),
            target: 0,
            cseq: 0,
            notified: NONE,
            shown: 0,
            slot: NONE,
        }
    }
}

impl Dialog {
    /// Whether a NOTIFY with this CSeq is a new one; one that has come before, or was overtaken, is not.
    pub(super) fn is_news(&mut self, cseq: u32) -> bool {
        if self.notified != NONE && cseq <= self.notified {
            return false;
        }
        self.notified = cseq;
        true
    }
}

/// Remote targets. A server has few, or one for each dialog: the first of them are found again, and a dialog overwrites a later one of
/// its own.
#[derive(Debug)]
pub(super) struct Targets {
    known: Vec<Box<[u8]>>,
}

impl Default for Targets {
    /// Number 0 is that of a dialog without one.
    fn default() -> Self {
        Self {
            known: vec![Box::default()],
        }
    }
}

impl Targets {
    /// How many are looked through.
    const FEW: usize = 16;

    /// The number of a target, in place of the one that the dialog has.
    pub(super) fn put(&mut self, current: u32, uri: &[u8]) -> u32 {
        let at = current as usize;
        if *self.known[at] == *uri {
            return current;
        }
        let few = self.known.len().min(Self::FEW);
        if let Some(found) = self.known[..few].iter().position(|known| **known == *uri) {
            return found as u32;
        }
        if at >= Self::FEW {
            self.known[at] = uri.into();
            return current;
        }
        self.known.push(uri.into());
        self.known.len() as u32 - 1
    }

    /// The target of this number.
    pub(super) fn uri(&self, number: u32) -> &[u8] {
        &self.known[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_target_is_kept_once_and_a_dialog_of_many_keeps_one() {
        let mut targets = Targets::default();
        let first = targets.put(0, b"sip:a");
        assert_eq!(targets.put(0, b"sip:a"), first);
        assert_eq!(targets.put(first, b"sip:a"), first);
        for number in 0..100 {
            let uri = format!("sip:{number}");
            let at = targets.put(0, uri.as_bytes());
            assert_eq!(targets.uri(at), uri.as_bytes());
        }
        let before = targets.known.len();
        let last = targets.put(0, b"sip:x") as usize;
        assert_eq!(targets.put(last as u32, b"sip:y"), last as u32);
        assert_eq!(
            (targets.uri(last as u32), targets.known.len()),
            (&b"sip:y"[..], before + 1)
        );
        assert_eq!(targets.put(last as u32, b"sip:a"), first);
    }

    /// With a tag of up to 24 bytes and its place in the queue a subscription takes less than 70.
    #[test]
    fn a_dialog_takes_forty_bytes_beside_its_tag() {
        assert_eq!(size_of::<Dialog>(), 40);
    }

    #[test]
    fn a_notify_is_news_once_and_not_after_a_later_one() {
        let mut dialog = Dialog::default();
        let told = [0, 0, 2, 1, 3].map(|cseq| dialog.is_news(cseq));
        assert_eq!(told, [true, false, true, false, true]);
    }
}
