//! Sizes in settings.

use std::ops::RangeInclusive;

use super::kind::{Kind, Wrong};
use super::value::{Value, What};

/// A number of bytes: a whole number, or a text with a unit, `"512 MiB"`.
pub struct Size(pub RangeInclusive<u64>);

/// Units and their bytes, the largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Kind for Size {
    type Is = u64;

    fn allowed(&self) -> String {
        format!(
            "bytes, from {} to {}, a number or a text with a unit as \"512 MiB\"",
            size_text(*self.0.start()),
            size_text(*self.0.end())
        )
    }

    fn read(&self, value: &Value) -> Result<u64, Wrong> {
        let text = match &value.what {
            What::Whole(Some(number)) => number.to_string(),
            What::Typed(text) | What::Text(text) => text.trim().to_owned(),
            What::Whole(None) | What::Number(_) | What::Truth(_) => {
                return Err(Wrong::not_allowed(value));
            }
            What::List(_) | What::Table(_) | What::Date(_) => {
                return Err(Wrong::not_allowed(value));
            }
        };
        let unit = UNITS.iter().find_map(|(name, bytes)| {
            let number = text.strip_suffix(name)?;
            Some((number, *bytes))
        });
        let (number, unit) = unit.unwrap_or((&text, 1));
        let bytes = number.trim().parse::<u64>().ok();
        bytes
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| self.0.contains(bytes))
            .ok_or_else(|| Wrong::not_allowed(value))
    }

    fn write(&self, is: &u64) -> String {
        match size_text(*is) {
            text if text.contains(' ') => format!("{text:?}"),
            number => number,
        }
    }
}

/// Bytes in the largest unit that takes no fraction.
fn size_text(bytes: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => bytes.to_string(),
    }
}
