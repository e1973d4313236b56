//! Numbered rows that are kept in pieces, as `slab` keeps them in one: growing copies none of them, and takes memory for one piece
//! more instead of for twice as many.

use std::fmt;
use std::ops::{Index, IndexMut};

/// The size of a piece, at most; it is more than half of this. So large that an allocator (mimalloc from 4 MiB on) keeps it apart from
/// others, and gives it back as a whole. What is not used yet of it is address space, and no memory.
const PIECE_BYTES: usize = 8 << 20;

/// Up to so many rows the first piece grows as vectors do: many have a few rows only.
const FEW: usize = 1024;

enum Slot<T> {
    Taken(T),
    /// The next free one behind it, or the end.
    Free(usize),
}

/// Rows by numbers, which are given anew when their rows are gone, the last one first.
pub(crate) struct Slots<T> {
    /// All full but the last.
    pieces: Vec<Vec<Slot<T>>>,
    next: usize,
    len: usize,
}

impl<T> Slots<T> {
    /// Rows of a piece: a power of two, so that numbers are divided by shifts.
    const PIECE: usize = 1 << (PIECE_BYTES / size_of::<Slot<T>>()).ilog2();

    /// No rows; nothing is allocated.
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            next: 0,
            len: 0,
        }
    }

    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many rows there is memory for.
    pub fn capacity(&self) -> usize {
        self.pieces.iter().map(Vec::capacity).sum()
    }

    /// The number that the next row gets.
    pub const fn vacant_key(&self) -> usize {
        self.next
    }

    /// Adds a row and says its number.
    pub fn insert(&mut self, row: T) -> usize {
        let number = self.next;
        let taken = Slot::Taken(row);
        match self.slot_mut(number) {
            Some(slot) => {
                if let Slot::Free(next) = std::mem::replace(slot, taken) {
                    self.next = next;
                }
            }
            None => {
                self.add(taken);
                self.next = number + 1;
            }
        }
        self.len += 1;
        number
    }

    fn add(&mut self, slot: Slot<T>) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < Self::PIECE => {
                if last.len() == last.capacity() && last.len() >= FEW {
                    last.reserve_exact(Self::PIECE - last.len());
                }
                last.push(slot);
            }
            Some(_) => {
                let mut piece = Vec::with_capacity(Self::PIECE);
                piece.push(slot);
                self.pieces.push(piece);
            }
            None => self.pieces.push(vec![slot]),
        }
    }

    /// The row of a number.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        match self
            .pieces
            .get(number / Self::PIECE)?
            .get(number % Self::PIECE)?
        {
            Slot::Taken(row) => Some(row),
            Slot::Free(_) => None,
        }
    }

    /// The row of a number.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        match self.slot_mut(number)? {
            Slot::Taken(row) => Some(row),
            Slot::Free(_) => None,
        }
    }

    /// Takes a row out, if there is one of that number.
    pub fn try_remove(&mut self, number: usize) -> Option<T> {
        let free = Slot::Free(self.next);
        let slot = self.slot_mut(number)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        let Slot::Taken(row) = std::mem::replace(slot, free) else {
            return None;
        };
        self.next = number;
        self.len -= 1;
        Some(row)
    }

    /// Takes a row out.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn remove(&mut self, number: usize) -> T {
        self.try_remove(number).expect("a row of that number")
    }

    /// Rows with their numbers, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let slots = self.pieces.iter().flatten().enumerate();
        slots.filter_map(|(number, slot)| match slot {
            Slot::Taken(row) => Some((number, row)),
            Slot::Free(_) => None,
        })
    }

    /// Gives the memory of free numbers at the end back. Free ones between are given anew in their order from then on.
    pub fn shrink_to_fit(&mut self) {
        let end = self.iter().last().map_or(0, |(number, _)| number + 1);
        self.pieces.truncate(end.div_ceil(Self::PIECE));
        if let Some(last) = self.pieces.last_mut() {
            last.truncate((end - 1) % Self::PIECE + 1);
            last.shrink_to_fit();
        }
        self.pieces.shrink_to_fit();
        self.next = end;
        let numbers = (0..end).rev();
        for number in numbers {
            let next = self.next;
            if let Some(slot @ Slot::Free(_)) = self.slot_mut(number) {
                *slot = Slot::Free(next);
                self.next = number;
            }
        }
    }

    #[inline]
    fn slot_mut(&mut self, number: usize) -> Option<&mut Slot<T>> {
        self.pieces
            .get_mut(number / Self::PIECE)?
            .get_mut(number % Self::PIECE)
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: usize) -> &T {
        self.get(number).expect("a row of that number")
    }
}

impl<T> IndexMut<usize> for Slots<T> {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).expect("a row of that number")
    }
}

impl<T: fmt::Debug> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slab::Slab;

    use super::*;

    /// Large, so that a piece is a few rows.
    type Row = [usize; 8192];
    const PIECE: usize = Slots::<Row>::PIECE;

    fn row(number: usize) -> Row {
        [number; 8192]
    }

    #[test]
    fn growing_takes_a_piece_at_a_time() {
        let mut slots = Slots::new();
        for number in 0..5 * PIECE {
            assert_eq!(slots.vacant_key(), number);
            assert_eq!(slots.insert(row(number)), number);
            assert!(slots.capacity() <= (number + 1).next_multiple_of(PIECE).max(4));
        }
        assert_eq!(slots.len(), 5 * PIECE);
        assert_eq!(slots[PIECE + 1], row(PIECE + 1));
    }

    #[test]
    fn what_is_free_at_the_end_is_given_back_and_what_is_free_between_is_used_first() {
        let mut slots = Slots::new();
        for number in 0..4 * PIECE {
            slots.insert(row(number));
        }
        for number in (3..6).chain(PIECE + 5..4 * PIECE) {
            assert_eq!(slots.remove(number), row(number));
        }
        slots.shrink_to_fit();
        assert_eq!(slots.capacity(), PIECE + 5);
        assert_eq!(slots.len(), PIECE + 2);
        let last = slots.iter().last().expect("rows");
        assert_eq!(last, (PIECE + 4, &row(PIECE + 4)));
        for number in (3..6).chain([PIECE + 5]) {
            assert_eq!(slots.insert(row(number)), number);
        }
        for number in 0..=PIECE + 5 {
            slots.remove(number);
        }
        slots.shrink_to_fit();
        assert_eq!((slots.capacity(), slots.vacant_key()), (0, 0));
        assert_eq!(slots.insert(row(1)), 0);
    }

    proptest! {
        /// It does what a slab does.
        #[test]
        fn it_numbers_rows_as_a_slab_does(steps in prop::collection::vec((any::<bool>(), 0..600usize), 0..3000)) {
            let (mut slots, mut slab) = (Slots::new(), Slab::new());
            for (insert, number) in steps {
                if insert {
                    prop_assert_eq!(slots.vacant_key(), slab.vacant_key());
                    prop_assert_eq!(slots.insert(number), slab.insert(number));
                } else {
                    prop_assert_eq!(slots.try_remove(number), slab.try_remove(number));
                }
                prop_assert_eq!(slots.get(number), slab.get(number));
                prop_assert_eq!(slots.len(), slab.len());
            }
            prop_assert!(slots.iter().eq(slab.iter()));
        }
    }
}
