//! Dialogs: tags, CSeq, route set, remote target (RFC 3261, section 12).
