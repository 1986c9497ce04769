//! Sums without floats.

use std::iter::Sum;
use std::ops::AddAssign;

/// Millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i128);

impl Micros {
    /// Reads a plain decimal.
    ///
    /// # Panics
    /// If it is none, or has more than six places: a test would compare nonsense.
    pub fn parse(text: &str) -> Self {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        assert!(
            fraction.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
            "`{text}` is no amount"
        );
        let number = |text: &str| text.parse::<i128>().unwrap_or(0);
        Self(sign * (number(whole) * 1_000_000 + number(&format!("{fraction:0<6}"))))
    }
}

impl AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, amount| Self(sum.0 + amount.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_signs_and_places() {
        assert_eq!(Micros::parse("-0.5"), Micros(-500_000));
        assert_eq!(Micros::parse("12.340000"), Micros(12_340_000));
        assert_eq!(Micros::parse("8"), Micros(8_000_000));
    }
}
