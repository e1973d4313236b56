//! The subscriber: SUBSCRIBE, refresh and the NOTIFYs that come (RFC 6665, section 4.1).
