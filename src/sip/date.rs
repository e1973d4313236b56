//! The Date header (RFC 3261, 20.17).

use jiff::fmt::rfc2822::DateTimePrinter;

use crate::time::Timestamp;

/// A moment as Date has it: `Sat, 13 Nov 2010 23:29:00 GMT`, always in GMT.
pub fn date(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        // Years of five digits have no date.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_in_gmt() {
        let at = Timestamp::from_millis(1_289_690_940_999);
        assert_eq!(date(at), "Sat, 13 Nov 2010 23:29:00 GMT");
    }
}
