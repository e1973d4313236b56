//! The Registry actor: a thin shell over `rollcall_core::registry`.
