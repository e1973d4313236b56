//! The subscriptions in a dialog.

/// Rows, in order. A dialog has one subscription, unless its watcher thinks otherwise (RFC 6665, 4.5.2): so one needs no
/// allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Members {
    /// None yet, or none any more.
    #[default]
    None,
    /// One.
    One(u32),
    /// Several.
    Many(Box<Vec<u32>>),
}

impl Members {
    /// All of them.
    pub fn rows(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }

    /// Adds one.
    pub fn push(&mut self, row: u32) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(row),
            Self::One(first) => Self::Many(Box::new(vec![first, row])),
            Self::Many(mut rows) => {
                rows.push(row);
                Self::Many(rows)
            }
        };
    }

    /// Takes one out.
    pub fn remove(&mut self, row: u32) {
        match self {
            Self::One(only) if *only == row => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(rows) => rows.retain(|other| *other != row),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_and_go_in_order() {
        let mut members = Members::default();
        assert!(members.is_empty());
        for row in [3, 1, 2] {
            members.push(row);
        }
        assert_eq!(members.rows(), [3, 1, 2]);
        members.remove(1);
        members.remove(9);
        assert_eq!(members.rows(), [3, 2]);
        members.remove(3);
        members.remove(2);
        assert!(members.is_empty());
        members.push(7);
        members.remove(7);
        assert!(members.is_empty());
    }
}
