//! Values of calendar properties: dates, times, durations (RFC 5545, 3.3).

use std::ops::Range;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// A DATE or DATE-TIME as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// What the clock shows; midnight for a DATE.
    pub local: NaiveDateTime,
    /// No time of day was written.
    pub date_only: bool,
    /// It ends in `Z`.
    pub utc: bool,
}

/// Reads `20260102`, `20260102T030405` or `20260102T030405Z`.
pub(super) fn date_time(text: &str) -> Option<Written> {
    let text = text.trim();
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = digits(date, 8)?;
    let number = |range: Range<usize>| date.get(range)?.parse::<u32>().ok();
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(4..6)?, number(6..8)?)?;
    let Some(time) = time else {
        return Some(Written {
            local: date.into(),
            date_only: true,
            utc: false,
        });
    };
    let (time, utc) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, true),
        None => (time, false),
    };
    let time = digits(time, 6)?;
    let number = |range: Range<usize>| time.get(range)?.parse::<u32>().ok();
    // A leap second is told as the second before.
    let second = number(4..6).filter(|second| *second <= 60)?.min(59);
    let time = NaiveTime::from_hms_opt(number(0..2)?, number(2..4)?, second)?;
    Some(Written {
        local: date.and_time(time),
        date_only: false,
        utc,
    })
}

fn digits(text: &str, count: usize) -> Option<&str> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// How long something takes: days by the calendar, the rest by the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Length {
    /// Whole days, each as long as it is (a day of a clock change has 23 or 25 hours).
    pub days: i64,
    /// Exact seconds.
    pub seconds: i64,
}

impl Length {
    /// At most this many seconds, a clock change included.
    pub fn at_most(self) -> i64 {
        self.days * 86_400 + self.seconds + 2 * 86_400
    }
}

/// Reads `P1W`, `P1DT2H30M`; nobody's meeting takes ten thousand days.
pub(super) fn duration(text: &str) -> Option<Length> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let mut length = Length::default();
    let mut in_time = false;
    let mut number: Option<i64> = None;
    for c in text.chars() {
        match c {
            '0'..='9' => {
                let digit = i64::from(c.to_digit(10)?);
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            }
            'T' if !in_time && number.is_none() => in_time = true,
            unit => {
                let count = number.take().filter(|count| *count <= 366 * 86_400)?;
                match (unit, in_time) {
                    ('W', false) => length.days += 7 * count,
                    ('D', false) => length.days += count,
                    ('H', true) => length.seconds += 3600 * count,
                    ('M', true) => length.seconds += 60 * count,
                    ('S', true) => length.seconds += count,
                    _ => return None,
                }
            }
        }
    }
    let whole = number.is_none() && !text.is_empty() && !text.ends_with('T');
    (whole && length.days <= 10_000).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_or_refused() {
        let at = |h, m, s| {
            NaiveDate::from_ymd_opt(2026, 1, 2)
                .unwrap()
                .and_hms_opt(h, m, s)
                .unwrap()
        };
        let written = |local, date_only, utc| {
            Some(Written {
                local,
                date_only,
                utc,
            })
        };
        assert_eq!(date_time("20260102"), written(at(0, 0, 0), true, false));
        assert_eq!(
            date_time("20260102T030405"),
            written(at(3, 4, 5), false, false)
        );
        assert_eq!(
            date_time("20260102T030460Z"),
            written(at(3, 4, 59), false, true)
        );
        for wrong in [
            "",
            "2026",
            "20261302",
            "20260230",
            "20260102T",
            "20260102T240000",
            "20260102T03045",
            "2026010é",
        ] {
            assert_eq!(date_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_or_refused() {
        assert_eq!(
            duration("PT1H30M"),
            Some(Length {
                days: 0,
                seconds: 5400
            })
        );
        assert_eq!(
            duration("+P1DT1S"),
            Some(Length {
                days: 1,
                seconds: 1
            })
        );
        assert_eq!(
            duration("P2W"),
            Some(Length {
                days: 14,
                seconds: 0
            })
        );
        for wrong in [
            "",
            "P",
            "PT",
            "1H",
            "P1",
            "P1H",
            "PT1D",
            "-PT1H",
            "P99999999999999999999D",
            "P1DT",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
