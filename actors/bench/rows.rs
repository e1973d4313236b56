//! What the load generator remembers of each presentity and each subscription.

use std::rc::Rc;

/// No slot: nothing is under way.
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
    /// Where requests go. Shared, since a server has few.
    pub target: Rc<[u8]>,
    pub cseq: u32,
    /// CSeq of the last NOTIFY, if one has come.
    pub notified: Option<u32>,
    /// The number of the state that was shown last; 0 if none.
    pub shown: u32,
    /// Whether a NOTIFY has come since the last SUBSCRIBE was first sent.
    pub fresh: bool,
    /// What is under way for it, or [`NONE`].
    pub slot: u32,
}

impl Dialog {
    pub(super) fn new(target: Rc<[u8]>) -> Self {
        Self {
            tag: Box::default(),
            target,
            cseq: 0,
            notified: None,
            shown: 0,
            fresh: false,
            slot: NONE,
        }
    }
}

/// Remote targets, each kept once as long as there are few.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: Vec<Rc<[u8]>>,
}

impl Targets {
    /// How many are looked through.
    const FEW: usize = 16;

    pub(super) fn shared(&mut self, uri: &[u8]) -> Rc<[u8]> {
        if let Some(known) = self.known.iter().find(|known| ***known == *uri) {
            return known.clone();
        }
        let new: Rc<[u8]> = uri.into();
        if self.known.len() < Self::FEW {
            self.known.push(new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_target_is_kept_once() {
        let mut targets = Targets::default();
        let first = targets.shared(b"sip:a");
        assert!(Rc::ptr_eq(&first, &targets.shared(b"sip:a")));
        for number in 0..100 {
            let uri = format!("sip:{number}");
            assert_eq!(*targets.shared(uri.as_bytes()), *uri.as_bytes());
        }
        assert_eq!(targets.known.len(), Targets::FEW);
    }
}
