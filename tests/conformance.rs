//! The conformance corpora, each case with the outcome of its manifest.
