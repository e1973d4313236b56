//! The heart of the stack as a value: checks, transactions, module table (RFC 3261, section 8.2).
