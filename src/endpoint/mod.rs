//! The heart of the stack as a value: checks, transactions, module table (RFC 3261, section 8.2).

/// A module in the endpoint's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u16);
