//! Money without floats.

/// An exact amount in millionths of the major unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// The widest amount: 12 digits before the point, as decimal(18,6) holds.
    const MAX: i128 = 999_999_999_999_999_999;

    /// An amount of so many millionths.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Millionths of the major unit.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads a plain decimal, as JSON writes numbers: `-12.50`, `1e3`, `.5`. Places beyond the sixth are
    /// rounded half to even. None for anything else, or more than 12 digits before the point.
    ///
    /// ```
    /// use sluice_connector::Money;
    /// assert_eq!(Money::parse("-12.50"), Some(Money::from_micros(-12_500_000)));
    /// assert_eq!(Money::parse("0.1").map(Money::micros), Some(100_000));
    /// assert_eq!(Money::parse("12,50"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > 36 || exponent.unsigned_abs() > 40 {
            return None;
        }
        let mut value: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i128::from(digit);
        }
        let value = scale(value, 6 + exponent - fraction.len() as i32)?;
        (value <= Self::MAX).then_some(Self(if negative { -(value as i64) } else { value as i64 }))
    }

    /// Reads an amount as people write it: `1,234.56` with `decimal` `.`, `1.234,56` with `,`; spaces and the
    /// other of the two are grouping; parentheses are negative: `(12.34)`. A currency sign before it is skipped.
    pub fn parse_grouped(text: &str, decimal: char) -> Option<Self> {
        let text = text.trim();
        let (text, negative) = match text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        let grouping = if decimal == ',' { '.' } else { ',' };
        let plain: String = text
            .chars()
            .filter(|c| *c != grouping && !c.is_whitespace() && !matches!(c, '$' | '€' | '£' | '\''))
            .map(|c| if c == decimal { '.' } else { c })
            .collect();
        let Self(micros) = Self::parse(&plain)?;
        Some(Self(if negative { -micros } else { micros }))
    }
}

/// `value` × 10^`power`, rounded half to even.
fn scale(value: i128, power: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    if power >= 0 {
        return value.checked_mul(10i128.checked_pow(power as u32)?);
    }
    let Some(divisor) = 10i128.checked_pow(power.unsigned_abs()) else { return Some(0) };
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest * 2 > divisor || (rest * 2 == divisor && quotient % 2 == 1);
    Some(quotient + i128::from(up))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_networks_write() {
        for (text, micros) in [
            ("100", 100_000_000),
            ("8.0", 8_000_000),
            ("-0.01", -10_000),
            ("1e2", 100_000_000),
            ("1.5E-1", 150_000),
            ("0.0000005", 0),
            ("0.0000015", 2),
            ("999999999999.999999", 999_999_999_999_999_999),
        ] {
            assert_eq!(Money::parse(text), Some(Money(micros)), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "NaN", "1,5", "1000000000000", "0x10", "1e999", "--1"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
        assert_eq!(Money::parse_grouped("$1,234.56", '.'), Some(Money(1_234_560_000)));
        assert_eq!(Money::parse_grouped("1.234,56", ','), Some(Money(1_234_560_000)));
        assert_eq!(Money::parse_grouped("($12.34)", '.'), Some(Money(-12_340_000)));
    }

    /// Exponents around zero, around the bounds of the types that may hold one, and beyond all of them.
    fn extreme() -> impl Strategy<Value = String> {
        let bounds = [0, 40, i64::from(i32::MAX), i64::from(i32::MIN), i64::from(u32::MAX), i64::MAX, i64::MIN];
        let near = (proptest::sample::select(bounds.to_vec()), -2i64..=2);
        let near = near.prop_map(|(bound, off)| (i128::from(bound) + i128::from(off)).to_string());
        prop_oneof![near, any::<i32>().prop_map(|exponent| exponent.to_string()), "-?[0-9]{1,60}"]
    }

    #[test]
    fn the_smallest_exponent_is_no_amount() {
        for text in ["1e-2147483648", "1e2147483647", "0e-2147483648", "1e-2147483649", "1e-9223372036854775808"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_text(micros in -999_999_999_999_999_999i64..=999_999_999_999_999_999) {
            let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
            let text = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
            prop_assert_eq!(Money::parse(&text), Some(Money(micros)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (Money::parse(&text), Money::parse_grouped(&text, ','));
        }

        #[test]
        fn no_exponent_panics(
            mantissa in "[-+]?[0-9]{0,40}[.,]?[0-9]{0,40}", exponent in extreme(), mark in "[eE][+]?",
        ) {
            let text = format!("{mantissa}{mark}{exponent}");
            for parsed in [Money::parse(&text), Money::parse_grouped(&text, '.'), Money::parse_grouped(&text, ',')] {
                prop_assert!(parsed.is_none_or(|Money(micros)| i128::from(micros).abs() <= Money::MAX), "{text}");
            }
        }

        #[test]
        fn an_exponent_moves_the_point(digits in 1i64..1_000_000, exponent in -12i32..=6) {
            let power = 10i128.pow((exponent + 12) as u32);
            let exact = i128::from(digits) * power;
            let wanted = (exact % 1_000_000 == 0).then_some(Money((exact / 1_000_000) as i64));
            let parsed = Money::parse(&format!("{digits}e{exponent}"));
            prop_assert!(wanted.is_none() || parsed == wanted, "{parsed:?}, not {wanted:?}");
        }
    }
}
