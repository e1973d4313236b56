//! PIDF, data model and RPID documents: reader and writer (RFC 3863, 4479, 4480).
