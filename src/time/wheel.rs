//! A timer table: a hierarchical wheel over a slab, exact to the millisecond.
//!
//! Level 0 has a slot for each of the next 64 ms, level 1 a slot for each of the next 64 × 64 ms, and so on; eleven
//! levels cover every [`Timestamp`]. An item lies on the level of the highest bit in which its time differs from the
//! wheel's own time, and moves down when the wheel's time enters its slot. So putting in and taking out cost the same
//! whether there are ten timers or a million, and no item has an allocation of its own.

use std::collections::BTreeMap;

use crate::slots::Slots;

use super::Timestamp;

/// Bits of time that one level looks at.
const BITS: u32 = 6;
/// Slots of a level.
const SLOTS: usize = 1 << BITS;
/// Enough levels for 64 bits of milliseconds.
const LEVELS: usize = 64usize.div_ceil(BITS as usize);
/// End of a slot's list.
const NONE: u32 = u32::MAX;

/// Names one timer of a [`Wheel`]. A key of a timer that has fired or was cancelled names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    serial: u32,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    /// Counts insertions, from zero again after 2^32: tells a key of an earlier life of this place, and orders late items of
    /// one time.
    serial: u32,
    next: u32,
    previous: u32,
    item: T,
}

/// A list of items through the slab, in order of insertion.
#[derive(Debug)]
struct Slot {
    first: u32,
    last: u32,
    /// No item is earlier. One that was may have been cancelled: to search the next one would take as long as the slot is
    /// full, and a timer that is moved on again and again, as of a publication that is refreshed, is mostly the earliest.
    earliest: u64,
}

/// Items that come due at points in time.
#[derive(Debug)]
pub struct Wheel<T> {
    entries: Slots<Entry<T>>,
    slots: Vec<Slot>,
    /// One bit for each slot that has items, by level.
    occupied: [u64; LEVELS],
    /// The wheel's own time: nothing in the slots is earlier.
    elapsed: u64,
    /// Items put in for a time before `elapsed`, by time and serial. Rarely any.
    late: BTreeMap<(u64, u32), u32>,
    serial: u32,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Wheel<T> {
    /// An empty wheel.
    pub fn new() -> Self {
        let empty = || Slot {
            first: NONE,
            last: NONE,
            earliest: 0,
        };
        Self {
            entries: Slots::new(),
            slots: (0..LEVELS * SLOTS).map(|_| empty()).collect(),
            occupied: [0; LEVELS],
            elapsed: 0,
            late: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Puts an item in, due at `at`. A time that has passed is due at once, in its order.
    pub fn insert(&mut self, at: Timestamp, item: T) -> TimerKey {
        self.serial = self.serial.wrapping_add(1);
        let (at, serial) = (at.as_millis(), self.serial);
        let entry = Entry {
            at,
            serial,
            next: NONE,
            previous: NONE,
            item,
        };
        let index = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 timers");
        if at < self.elapsed {
            self.late.insert((at, serial), index);
        } else {
            self.link(index);
        }
        TimerKey { index, serial }
    }

    /// Takes an item out before it is due. None if it has fired or was taken out already.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.serial != key.serial {
            return None;
        }
        if self.late.remove(&(entry.at, entry.serial)).is_none() {
            self.unlink(key.index);
        }
        Some(self.entries.remove(key.index as usize).item)
    }

    /// Takes out the earliest item that is due at `now`: by time, and among equal times by insertion.
    pub fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, T)> {
        let now = now.as_millis();
        if let Some((&(at, serial), &index)) = self.late.first_key_value() {
            if at > now {
                return None;
            }
            self.late.remove(&(at, serial));
            return Some((
                Timestamp::from_millis(at),
                self.entries.remove(index as usize).item,
            ));
        }
        while let Some((level, position, start)) = self.first_slot() {
            if start > now {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            let first = self.slots[position].first;
            if level == 0 {
                self.unlink(first);
                return Some((
                    Timestamp::from_millis(start),
                    self.entries.remove(first as usize).item,
                ));
            }
            self.move_down(level, position);
        }
        self.elapsed = self.elapsed.max(now);
        None
    }

    /// When to look again: when the earliest item is due, or before that where one was cancelled. Always later than the time
    /// of a [`Wheel::pop`] that has found nothing.
    pub fn next(&self) -> Option<Timestamp> {
        if let Some((&(at, _), _)) = self.late.first_key_value() {
            return Some(Timestamp::from_millis(at));
        }
        let (level, position, start) = self.first_slot()?;
        if level == 0 {
            return Some(Timestamp::from_millis(start));
        }
        Some(Timestamp::from_millis(self.slots[position].earliest))
    }

    /// When the item of this key is due; None if it has fired or was cancelled.
    pub fn due(&self, key: TimerKey) -> Option<Timestamp> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.serial == key.serial).then(|| Timestamp::from_millis(entry.at))
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The slot that comes next in time: its level, its place in `slots`, and the time at which it begins.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        // All of a lower level comes before all of a higher one, and within a level slots are in order of time: an item
        // shares all bits above its level with `elapsed`, so no slot number wraps around.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = level as u32 * BITS;
        let above = if shift + BITS >= u64::BITS {
            0
        } else {
            self.elapsed >> (shift + BITS) << (shift + BITS)
        };
        Some((
            level,
            level * SLOTS + slot as usize,
            above | u64::from(slot) << shift,
        ))
    }

    /// The level and the place in `slots` that a time belongs to, seen from `elapsed`.
    fn place(&self, at: u64) -> (usize, usize) {
        let differing = (at ^ self.elapsed) | 1;
        let level = (differing.ilog2() / BITS) as usize;
        let slot = (at >> (level as u32 * BITS)) as usize % SLOTS;
        (level, level * SLOTS + slot)
    }

    /// Appends an item to the slot of its time. Items of one time are always in one slot, so their order is kept.
    fn link(&mut self, index: u32) {
        let at = self.entries[index as usize].at;
        let (level, position) = self.place(at);
        self.occupied[level] |= 1 << (position % SLOTS);
        let slot = &mut self.slots[position];
        let last = std::mem::replace(&mut slot.last, index);
        if last == NONE {
            slot.first = index;
            slot.earliest = at;
        } else {
            slot.earliest = slot.earliest.min(at);
            self.entries[last as usize].next = index;
        }
        let entry = &mut self.entries[index as usize];
        entry.previous = last;
        entry.next = NONE;
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            at, next, previous, ..
        } = self.entries[index as usize];
        let (level, position) = self.place(at);
        let slot = &mut self.slots[position];
        if previous == NONE {
            slot.first = next;
        }
        if next == NONE {
            slot.last = previous;
        }
        if slot.first == NONE {
            self.occupied[level] &= !(1 << (position % SLOTS));
        }
        if let Some(entry) = self.entries.get_mut(previous as usize) {
            entry.next = next;
        }
        if let Some(entry) = self.entries.get_mut(next as usize) {
            entry.previous = previous;
        }
    }

    /// Distributes a slot that the wheel's time has entered over the levels below, in order.
    fn move_down(&mut self, level: usize, position: usize) {
        let slot = &mut self.slots[position];
        let mut index = std::mem::replace(&mut slot.first, NONE);
        slot.last = NONE;
        self.occupied[level] &= !(1 << (position % SLOTS));
        while let Some(entry) = self.entries.get(index as usize) {
            let next = entry.next;
            self.link(index);
            index = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn drain<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<(u64, T)> {
        std::iter::from_fn(|| wheel.pop(at(now)))
            .map(|(at, item)| (at.as_millis(), item))
            .collect()
    }

    #[test]
    fn items_come_out_by_time_and_then_by_insertion() {
        let mut wheel = Wheel::new();
        for (time, name) in [(500, "c"), (70, "b"), (500, "d"), (3, "a"), (501, "e")] {
            wheel.insert(at(time), name);
        }
        assert_eq!(wheel.next(), Some(at(3)));
        assert_eq!(
            drain(&mut wheel, 500),
            [(3, "a"), (70, "b"), (500, "c"), (500, "d")]
        );
        assert_eq!(wheel.next(), Some(at(501)));
        assert_eq!(drain(&mut wheel, 500), []);
        assert_eq!(drain(&mut wheel, u64::MAX), [(501, "e")]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn nothing_is_due_a_millisecond_early() {
        for distance in [
            1,
            63,
            64,
            65,
            4_095,
            4_096,
            3_600_000,
            1 << 40,
            u64::MAX - 1,
        ] {
            let mut wheel = Wheel::new();
            wheel.insert(at(distance), ());
            assert_eq!(wheel.pop(at(distance - 1)), None, "{distance}");
            assert_eq!(wheel.next(), Some(at(distance)));
            assert_eq!(
                wheel.pop(at(distance)),
                Some((at(distance), ())),
                "{distance}"
            );
        }
    }

    #[test]
    fn a_time_that_has_passed_is_due_at_once_and_in_its_order() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.pop(at(1_000)), None::<(Timestamp, &str)>);
        wheel.insert(at(1_000), "now");
        wheel.insert(at(900), "late");
        let cancelled = wheel.insert(at(800), "cancelled");
        wheel.insert(at(900), "late too");
        assert_eq!(wheel.cancel(cancelled), Some("cancelled"));
        assert_eq!(wheel.next(), Some(at(900)));
        assert_eq!(
            drain(&mut wheel, 1_000),
            [(900, "late"), (900, "late too"), (1_000, "now")]
        );
    }

    #[test]
    fn a_key_names_nothing_once_its_timer_fired_or_was_cancelled() {
        let mut wheel = Wheel::new();
        let fired = wheel.insert(at(1), "fired");
        assert_eq!(wheel.pop(at(1)), Some((at(1), "fired")));
        let cancelled = wheel.insert(at(2), "cancelled");
        assert_eq!(wheel.due(cancelled), Some(at(2)));
        assert_eq!(
            wheel.cancel(fired),
            None,
            "the place is used again, the key is not"
        );
        assert_eq!(wheel.cancel(cancelled), Some("cancelled"));
        assert_eq!(
            (wheel.cancel(cancelled), wheel.due(cancelled), wheel.len()),
            (None, None, 0)
        );
    }

    #[test]
    fn after_the_earliest_of_a_far_slot_was_cancelled_one_looks_once_in_vain() {
        let mut wheel = Wheel::new();
        let earliest = wheel.insert(at(100_000), 1);
        wheel.insert(at(100_200), 2);
        wheel.insert(at(100_100), 3);
        assert_eq!(wheel.next(), Some(at(100_000)));
        wheel.cancel(earliest);
        assert_eq!(wheel.next(), Some(at(100_000)));
        assert_eq!(wheel.pop(at(100_000)), None);
        assert_eq!(wheel.next(), Some(at(100_100)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let distance = prop_oneof![0..3u64, 0..70u64, 0..5_000u64, 0..400_000u64, any::<u64>()];
        let step = prop_oneof![
            4 => distance.clone().prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Cancel),
            2 => prop_oneof![0..3u64, 0..70u64, 0..5_000u64, 0..400_000u64].prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// The model is an ordered map by time and number of insertion.
        #[test]
        fn a_wheel_agrees_with_an_ordered_map(start in 0..u64::MAX / 2, steps in steps()) {
            let (mut wheel, mut model) = (Wheel::new(), BTreeMap::new());
            let (mut now, mut keys) = (start, Vec::new());
            for step in steps {
                match step {
                    Step::Insert(distance) => {
                        // Some of them in the past.
                        let time = (now - now.min(50)).saturating_add(distance);
                        model.insert((time, keys.len()), keys.len());
                        keys.push((time, wheel.insert(at(time), keys.len())));
                    }
                    Step::Cancel(which) if !keys.is_empty() => {
                        let number = which % keys.len();
                        let (time, key) = keys[number];
                        prop_assert_eq!(wheel.cancel(key), model.remove(&(time, number)));
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(distance) => {
                        now += distance;
                        let later = model.split_off(&(now + 1, 0));
                        let due = std::mem::replace(&mut model, later);
                        let due: Vec<_> = due.into_iter().map(|((time, _), item)| (time, item)).collect();
                        prop_assert_eq!(drain(&mut wheel, now), due);
                        prop_assert!(wheel.next().is_none_or(|next| next > at(now)));
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let earliest = model.keys().next().map(|&(time, _)| at(time));
                prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                prop_assert!(wheel.next() <= earliest);
            }
        }
    }
}
