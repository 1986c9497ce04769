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

    /// Reads an amount as people write it: `1,234.56` with `decimal` `.`, `1.234,56` with `,`. The other of the two, spaces and
    /// apostrophes group digits by three; parentheses are negative: `(12.34)`. A currency sign or code around it is skipped.
    ///
    /// It is strict, so that a separator that is taken for the other one is no amount and not a hundred times as much:
    ///
    /// ```
    /// use sluice_connector::Money;
    /// assert_eq!(Money::parse_grouped("1.234,56", ',').map(Money::micros), Some(1_234_560_000));
    /// assert_eq!(Money::parse_grouped("12.50", ','), None);
    /// ```
    pub fn parse_grouped(text: &str, decimal: char) -> Option<Self> {
        let text = text.trim();
        let (text, in_parentheses) = match text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        let is_sign = |c: char| c.is_whitespace() || c.is_alphabetic() || matches!(c, '$' | '€' | '£' | '¥');
        let text = text.trim_matches(is_sign);
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.trim_start_matches(is_sign)),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = text.split_once(decimal).unwrap_or((text, ""));
        let digits = ungrouped(whole, if decimal == ',' { '.' } else { ',' })?;
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || (digits.is_empty() && fraction.is_empty()) {
            return None;
        }
        let Self(micros) = Self::parse(&format!("{digits}.{fraction}"))?;
        Some(Self(if is_negative != in_parentheses { -micros } else { micros }))
    }

    /// Reads a whole number of parts, `places` of which are behind the point of the major unit: `scaled("1250", 2)` is 12.50.
    /// None for a text with a point: the network has changed its unit.
    pub fn scaled(text: &str, places: u8) -> Option<Self> {
        let digits = text.trim();
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        let is_whole = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
        if is_whole { Self::parse(&format!("{digits}e-{places}")) } else { None }
    }

    /// Reads a whole number of the currency's minor unit: cents of a euro, but whole yen and thousandths of a dinar (ISO 4217).
    /// None without a currency: how many places it has isn't known.
    ///
    /// ```
    /// use sluice_connector::Money;
    /// let of = |currency| Money::minor("1250", currency).map(Money::micros);
    /// assert_eq!([of("EUR"), of("jpy"), of("KWD")], [Some(12_500_000), Some(1_250_000_000), Some(1_250_000)]);
    /// assert_eq!(of(" "), None);
    /// ```
    pub fn minor(text: &str, currency: &str) -> Option<Self> {
        let is_in = |codes: &str| codes.split(' ').any(|code| code.eq_ignore_ascii_case(currency.trim()));
        if currency.trim().is_empty() {
            return None;
        }
        let places = match () {
            () if is_in("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF") => 0,
            () if is_in("BHD IQD JOD KWD LYD OMR TND") => 3,
            () if is_in("CLF UYW") => 4,
            () => 2,
        };
        Self::scaled(text, places)
    }

    /// The sum; none beyond what an amount may be.
    pub fn plus(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        (i128::from(sum).abs() <= Self::MAX).then_some(Self(sum))
    }
}

/// Digits without their grouping; none if a group is no group of three.
fn ungrouped(text: &str, grouping: char) -> Option<String> {
    let is_grouping = |c: char| c == grouping || matches!(c, '\'' | '’') || c.is_whitespace();
    let mut groups = text.split(is_grouping);
    let first = groups.next()?;
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || first.is_empty() || first.len() > 3 {
            return None;
        }
        digits.push_str(group);
    }
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
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

    #[test]
    fn separators_are_taken_at_their_word() {
        let of = |text, decimal| Money::parse_grouped(text, decimal).map(Money::micros);
        for (text, decimal, micros) in [
            ("12,50", ',', 12_500_000),
            ("1 234,5 €", ',', 1_234_500_000),
            ("EUR 1'234'567.00", '.', 1_234_567_000_000),
            ("-1.234", ',', -1_234_000_000),
            ("$-5", '.', -5_000_000),
            (",5", ',', 500_000),
            ("1234567,8", ',', 1_234_567_800_000),
        ] {
            assert_eq!(of(text, decimal), Some(micros), "{text}");
        }
        for (text, decimal) in [
            ("12.50", ','),
            ("12,50", '.'),
            ("1.23.456", ','),
            ("1234.567", ','),
            (".234", ','),
            ("1,2,3", ','),
            ("", ','),
            ("EUR", ','),
            ("1,5e3", ','),
            ("12,-", ','),
        ] {
            assert_eq!(of(text, decimal), None, "{text} with {decimal}");
        }
    }

    #[test]
    fn parts_are_whole_numbers() {
        assert_eq!(Money::scaled("55000", 4), Some(Money(5_500_000)));
        assert_eq!(Money::scaled("-7", 2), Some(Money(-70_000)));
        assert_eq!([Money::scaled("5.5", 4), Money::scaled("", 2), Money::scaled("-", 2)], [None; 3]);
        assert_eq!(Money(1).plus(Money(-2)), Some(Money(-1)));
        assert_eq!(Money(i64::MAX).plus(Money(1)), None);
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
