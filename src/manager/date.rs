//! Points in time as they are written in documents (RFC 3339).

use crate::time::Timestamp;

/// Reads a date such as `2026-11-23T09:00:00Z` or `2026-11-23T10:00:00.5+01:00`.
pub fn read(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(instant.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// Writes a date in UTC, with fractions of a second only if there are any.
pub fn write(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    // What is beyond the year 9999 has no RFC 3339 form; the last that has one stands for it.
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_any_zone_and_written_in_utc() {
        let at = Timestamp::from_millis(1_795_424_400_500);
        assert_eq!(write(at), "2026-11-23T09:00:00.5Z");
        assert_eq!(read("2026-11-23T10:00:00.500+01:00"), Some(at));
        assert_eq!(write(Timestamp::from_millis(0)), "1970-01-01T00:00:00Z");
        assert!(write(Timestamp::from_millis(u64::MAX)).starts_with("9999-12-"));
    }

    #[test]
    fn what_is_no_date_or_before_1970_is_refused() {
        for text in ["tomorrow", "2026-11-23", "2026-11-23T09:00:00", "1969-12-31T23:59:59Z", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
