//! What a PUBLISH and a REGISTER take of their sender's share and of the node's room, before they are stored.

use super::Registry;
use super::bindings::Binding;
use super::books::What;
use super::ledger::NOBODY;
use super::publications::Publication;
use super::registrar::RegisterError;
use super::store::Change;
use crate::exchange::Incoming;
use crate::publication::PublishError;

/// What a PUBLISH has taken of its sender's share and of the node's room, to be given back if it is not stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub owner: u32,
    publications: u64,
    bytes: u64,
    /// It is the first publication of its presentity.
    presentity: bool,
}

impl Bill {
    /// Nothing is taken.
    pub const NOTHING: Self = Self {
        owner: NOBODY,
        publications: 0,
        bytes: 0,
        presentity: false,
    };
}

impl Registry {
    /// Takes what a body needs, in the place of that of an old publication if there is one.
    pub(super) fn bill(
        &mut self,
        row: u32,
        old: Option<usize>,
        body: usize,
        incoming: &Incoming,
    ) -> Result<Bill, PublishError> {
        let owner = self.owner(incoming);
        let publications = self.presentities.get(row).map(|row| &row.publications);
        let first = publications.is_some_and(Vec::is_empty);
        let old = old.and_then(|index| publications?.get(index));
        let old = old.map(|held| (held.owner, held.record.body.len()));
        let before = old.map_or(0, |(_, body)| Publication::size(body));
        self.room(Publication::size(body).saturating_sub(before))?;
        let mut bill = Bill {
            owner,
            publications: 1,
            bytes: body as u64,
            presentity: false,
        };
        match old {
            // What takes no more than before is taken, however much there is.
            Some((own, before)) if own == owner && body <= before => {
                self.ledger.load(owner, What::Publications, 1);
                self.ledger.load(owner, What::Bytes, bill.bytes);
            }
            old => {
                let given = old.filter(|(own, _)| *own == owner);
                let (one, bytes) = given.map_or((0, 0), |(_, body)| (1, body as u64));
                let ledger = &mut self.ledger;
                ledger.charge(owner, What::Publications, 1, one)?;
                if let Err(over) = ledger.charge(owner, What::Bytes, bill.bytes, bytes) {
                    ledger.credit(owner, What::Publications, 1);
                    return Err(over.into());
                }
            }
        }
        let limit = self.settings.limits.presentities as u64;
        bill.presentity = first && self.ledger.add_presentity(limit);
        if first && !bill.presentity {
            self.give_back(bill);
            return Err(PublishError::Full {
                retry_after: self.settings.retry_after,
            });
        }
        Ok(bill)
    }

    /// It is not stored.
    pub(super) fn give_back(&mut self, bill: Bill) {
        self.ledger
            .credit(bill.owner, What::Publications, bill.publications);
        self.ledger.credit(bill.owner, What::Bytes, bill.bytes);
        if bill.presentity {
            self.ledger.remove_presentity();
        }
    }

    /// A publication is gone, or has another body: it takes no room any more.
    pub(super) fn pay_back(&mut self, owner: u32, body: usize) {
        self.ledger.credit(owner, What::Publications, 1);
        self.ledger.credit(owner, What::Bytes, body as u64);
        self.ledger.grow(-(Publication::size(body) as i64));
    }

    /// Takes what new contacts need: whom they count for, how many they are, and whether they are the first ones.
    pub(super) fn bill_contacts(
        &mut self,
        row: u32,
        changes: &[Change],
        incoming: &Incoming,
    ) -> Result<(u32, usize, bool), RegisterError> {
        let owner = self.owner(incoming);
        let new = changes.iter().filter(|change| change.expect.is_none());
        let more = new.count();
        if more == 0 {
            return Ok((owner, 0, false));
        }
        self.room(more * (size_of::<Binding>() + incoming.message.raw().len()))?;
        self.charge(owner, What::Bindings, more)?;
        let bindings = self.bindings.rows.get(row as usize);
        let first = bindings.is_some_and(|row| row.bindings.is_empty());
        let limit = self.settings.limits.presentities as u64;
        if first && !self.ledger.add_registered(limit) {
            self.ledger.credit(owner, What::Bindings, more as u64);
            return Err(RegisterError::Full {
                retry_after: self.settings.retry_after,
            });
        }
        Ok((owner, more, first))
    }

    /// A contact is there, or gone.
    pub(super) fn count_binding(&mut self, owner: u32, size: usize, is_there: bool) {
        if is_there {
            return self.ledger.grow(size as i64);
        }
        self.ledger.grow(-(size as i64));
        self.ledger.credit(owner, What::Bindings, 1);
    }
}
