//! Numbers as digits, without the way through the formatter, which takes longer than all the rest of a header line.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A number in 16 hexadecimal digits, in lower case.
pub fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = HEX[(number >> (4 * place)) as usize & 15];
    }
    digits
}

/// A number in decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    /// Its digits: at least one.
    pub fn of(mut number: u32) -> Self {
        let mut digits = [0; 10];
        let mut start = digits.len();
        loop {
            start -= 1;
            // A digit fits.
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        text(self.as_bytes())
    }
}

/// Digits as text.
pub fn text(digits: &[u8]) -> &str {
    // They are ASCII.
    str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for number in [0, 1, 9, 10, 255, 5060, 1 << 31, u32::MAX] {
            assert_eq!(Decimal::of(number).as_str(), number.to_string());
        }
        for number in [0, 1, 0xfeed, 1 << 63, u64::MAX] {
            assert_eq!(text(&hex(number)), format!("{number:016x}"));
        }
    }
}
