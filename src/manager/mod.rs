//! The Manager protocol: XML messages, session machines, merged state.
