//! PUBLISH: publications and their entity-tags (RFC 3903).
