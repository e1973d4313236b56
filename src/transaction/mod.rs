//! Non-INVITE client and server transactions (RFC 3261, section 17; RFC 4320).
