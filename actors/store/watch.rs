//! A thread that looks at the store's clock: who waits for a disk that does not answer is told so in time.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::shared::{Shared, locked};
use super::{Health, STILL};

/// How often it looks: finer than any deadline, and nothing to speak of.
const LOOK: Duration = Duration::from_millis(250);

/// Looks until the store's thread has ended.
pub(super) fn watch(shared: &Arc<Shared>) {
    let mut said: Option<Instant> = None;
    loop {
        {
            let ended = locked(&shared.ended);
            let waited = shared.end.wait_timeout_while(ended, LOOK, |ended| !*ended);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
        }
        look(shared, Instant::now(), &mut said);
    }
}

/// One look. `said`: when a hanging disk was last spoken of.
pub(super) fn look(shared: &Arc<Shared>, now: Instant, said: &mut Option<Instant>) {
    let deadline = shared.settings.deadline;
    let is_over = |since: Instant| now.saturating_duration_since(since) >= deadline;
    let (ops, late, busy) = {
        let mut hand = locked(&shared.hand);
        let Some(hand) = hand.as_mut() else {
            *said = None;
            return;
        };
        let busy = hand.busy.filter(|since| is_over(*since));
        if busy.is_none() && !is_over(hand.since) {
            return;
        }
        hand.told = true;
        (std::mem::take(&mut hand.ops), hand.late.clone(), busy)
    };
    if let Some(since) = busy {
        hangs(shared, since, now, said);
    }
    if !ops.is_empty() {
        locked(&shared.counters).failed += ops.len() as u64;
        shared.tell(ops.into_iter().map(|op| (op, late.clone())));
    }
}

fn hangs(shared: &Arc<Shared>, since: Instant, now: Instant, said: &mut Option<Instant>) {
    let seconds = now.saturating_duration_since(since).as_secs();
    let first = said.is_none();
    if first {
        let mut health = locked(&shared.health);
        *health = Health {
            hanging_since: Some(since),
            reason: "the disk does not answer".to_owned(),
            ..health.clone()
        };
        drop(health);
        shared.set_down(true);
    } else {
        // Whoever came between the look at `down` and the queue.
        shared.turn_away();
    }
    if said.is_none_or(|said| now.saturating_duration_since(said) >= STILL) {
        *said = Some(now);
        tracing::warn!(
            seconds,
            "the store's disk does not answer; publications and subscriptions are refused with 503"
        );
    }
    if now.saturating_duration_since(since) >= shared.settings.give_up {
        shared.declare_void();
        let why = format!("the store's disk has not answered for {seconds} s");
        (shared.settings.fatal)(&why);
    }
}
