//! Stores: `memory:` and `file:PATH` behind one trait.
