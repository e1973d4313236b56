//! How fast the run may send: never in floods.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives each message its turn.
pub(super) struct Pace {
    between: Duration,
    next: Cell<Instant>,
}

impl Pace {
    /// At most so many messages a second.
    pub fn new(rate: u32) -> Self {
        Self {
            between: Duration::from_secs(1) / rate.max(1),
            next: Cell::new(Instant::now()),
        }
    }

    /// Waits for the turn of one message.
    pub async fn turn(&self) {
        let turn = self.next.get().max(Instant::now());
        self.next.set(turn + self.between);
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::in_virtual_time;

    #[test]
    fn ten_messages_take_their_time() {
        in_virtual_time(async {
            let (pace, start) = (Pace::new(10), Instant::now());
            for _ in 0..11 {
                pace.turn().await;
            }
            let took = start.elapsed();
            assert!(took >= Duration::from_secs(1), "{took:?}");
            assert!(took < Duration::from_millis(1200), "{took:?}");
        });
    }
}
