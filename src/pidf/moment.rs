//! Points in time as PIDF writes them: RFC 3339, with capital T and Z (RFC 3863, 4.1.7).

use crate::time::Timestamp;

/// Reads an `xs:dateTime` with a time zone. What cannot be read counts as absent: a bad clock must not cost the state.
/// Times before 1970 read as 1970.
pub fn parse_moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.trim_matches(super::xml::is_space).parse().ok()?;
    Some(Timestamp::from_millis(
        u64::try_from(at.as_millisecond()).unwrap_or(0),
    ))
}

/// Writes `2026-11-22T16:33:44.225Z`; without a fraction when there is none.
pub fn write_moment(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_capital_letters_and_read_back() {
        let at = Timestamp::from_millis(1_795_364_024_225);
        assert_eq!(write_moment(at), "2026-11-22T16:13:44.225Z");
        assert_eq!(parse_moment("2026-11-22T16:13:44.225Z"), Some(at));
        assert_eq!(
            write_moment(Timestamp::from_millis(0)),
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn offsets_count_and_nonsense_is_absent() {
        assert_eq!(
            parse_moment(" 2005-05-30T12:00:00+05:00\n"),
            parse_moment("2005-05-30T07:00:00Z")
        );
        assert_eq!(
            parse_moment("1960-01-01T00:00:00Z"),
            Some(Timestamp::from_millis(0))
        );
        for text in [
            "yesterday",
            "",
            "2005-13-01T00:00:00Z",
            "2005-05-30",
            "2005-05-30T12:00:00",
        ] {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        assert!(write_moment(Timestamp::from_millis(u64::MAX)).starts_with("9999-12-"));
        assert_eq!(parse_moment("9999-12-31T23:59:59.999999999-14:00"), None);
    }
}
