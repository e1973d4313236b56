//! Asking for a share: whose a request is, whether it comes too often, and whether there is memory for more.

use super::books::What;
use super::shares::Over;
use super::{Effect, Registry};
use crate::exchange::Incoming;
use crate::sip::Head;
use crate::time::Timestamp;

impl Registry {
    /// The row of whoever is behind a request.
    pub(super) fn owner(&mut self, incoming: &Incoming) -> u32 {
        let shares = &self.settings.shares;
        self.ledger.open(shares, shares.owner(incoming))
    }

    /// The row of the account whose address of record this is.
    pub(super) fn owner_of_aor(&mut self, aor: &str) -> u32 {
        let shares = &self.settings.shares;
        let home = self.settings.home.as_deref();
        let home = home.filter(|_| self.settings.domains.is_empty());
        self.ledger.open(shares, shares.account_of(aor, home))
    }

    /// Whether a request does not come too often; it is refused if so.
    pub(super) fn ask(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        out: &mut Vec<Effect>,
    ) -> bool {
        self.ledger.forget(now);
        let owner = self.owner(incoming);
        let Err(retry_after) = self.ledger.ask(now, owner) else {
            return true;
        };
        let over = Over::Rate {
            retry_after,
            proxied: incoming.message.has_several_vias(),
        };
        self.count_over(over);
        let mut head = Head::new();
        over.write(&mut head);
        let reason = Some(over.to_string());
        self.refuse(incoming, over.status(), reason, head, &over, out);
        false
    }

    /// Whether the node has room for so many bytes more.
    pub(super) fn room(&mut self, bytes: usize) -> Result<(), Over> {
        if bytes == 0 || self.ledger.has_room(bytes) {
            return Ok(());
        }
        Err(Over::Memory {
            retry_after: self.settings.retry_after,
        })
    }

    /// Somebody gets more of something, within its share.
    pub(super) fn charge(&mut self, owner: u32, what: What, more: usize) -> Result<(), Over> {
        self.ledger.charge(owner, what, more as u64, 0)
    }

    /// Counts a refusal.
    pub(super) fn count_over(&mut self, over: Over) {
        match over {
            Over::Quota { .. } => self.counters.over_share += 1,
            Over::Rate { .. } => self.counters.over_rate += 1,
            Over::Memory { .. } => self.counters.over_memory += 1,
        }
    }

    /// Has the log say when new state begins to be refused, and when that is over.
    pub(super) fn tell_memory(&mut self, now: Timestamp, refused: bool, out: &mut Vec<Effect>) {
        if let Some(refused) = self.ledger.news(now, refused) {
            out.push(Effect::Memory {
                refused,
                used: self.settings.books.memory(),
                limit: self.settings.limits.memory,
            });
        }
    }
}
