//! Who writes down what happens in a simulated world: ledger and observer behind one lock.

use std::sync::{Arc, Mutex, PoisonError};

use super::ledger::Ledger;
use super::observer::Observer;

/// A handle of the books. The network's observer must be `Send`, hence the lock; nobody ever waits for it.
#[derive(Clone)]
pub struct Books(Arc<Mutex<(Ledger, Observer)>>);

impl Books {
    /// Books with these two parts.
    pub fn new(ledger: Ledger, observer: Observer) -> Self {
        Self(Arc::new(Mutex::new((ledger, observer))))
    }

    /// Opens them. Within `entry` the network must not be called: its observer opens them too.
    pub fn with<T>(&self, entry: impl FnOnce(&mut Ledger, &mut Observer) -> T) -> T {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ledger, observer) = &mut *books;
        entry(ledger, observer)
    }
}
