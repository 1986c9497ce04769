//! Literal texts into typed values, and only where nothing is lost.

/// Digits after the point that a decimal column keeps.
pub(super) const DECIMAL_SCALE: i32 = 12;
const DECIMAL_MAX: i128 = 10_i128.pow(38);
const EXACT_INTEGER: u64 = 1 << 53;

/// A number's literal, taken apart.
struct Number<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: Option<i32>,
}

/// A number as JSON writes it: no plus, no leading zeros, digits on both sides of a point.
fn number(text: &str) -> Option<Number<'_>> {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let bytes = &bytes[usize::from(negative)..];
    let digits = |from: &[u8]| from.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, mut rest) = bytes.split_at(digits(bytes));
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return None;
    }
    let mut fraction: &[u8] = &[];
    if let Some((b'.', after)) = rest.split_first() {
        (fraction, rest) = after.split_at(digits(after));
        if fraction.is_empty() {
            return None;
        }
    }
    let exponent = match rest.split_first() {
        None => None,
        Some((b'e' | b'E', after)) => {
            let text = std::str::from_utf8(after).ok()?;
            Some(text.parse().ok()?)
        }
        Some(_) => return None,
    };
    Some(Number { negative, whole, fraction, exponent })
}

/// An integer without point or exponent; `-0` would lose its sign.
pub(super) fn int64(text: &str) -> Option<i64> {
    let number = number(text)?;
    if !number.fraction.is_empty() || number.exponent.is_some() || text == "-0" {
        return None;
    }
    text.parse().ok()
}

/// A float that is as exact as the number's literal.
pub(super) fn float64(text: &str) -> Option<f64> {
    let parts = number(text)?;
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    if parts.fraction.is_empty() && parts.exponent.is_none() {
        return (parts.whole.len() <= 15 || value.abs() <= EXACT_INTEGER as f64 && exact_integer(parts.whole))
            .then_some(value);
    }
    if parts.whole.len() + parts.fraction.len() <= 15 && parts.exponent.is_none() {
        return Some(value);
    }
    is_exact(&parts, value).then_some(value)
}

fn exact_integer(digits: &[u8]) -> bool {
    std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u64>().is_ok_and(|value| value <= EXACT_INTEGER))
}

/// Whether the shortest text of `value` has the literal's digits and magnitude.
fn is_exact(parts: &Number<'_>, value: f64) -> bool {
    let digits: Vec<u8> = parts.whole.iter().chain(parts.fraction).copied().collect();
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = trim_zeros(&digits[leading..]);
    if significant.is_empty() {
        return true;
    }
    let magnitude = (parts.whole.len() as i32 - 1 - leading as i32).saturating_add(parts.exponent.unwrap_or(0));
    let shortest = format!("{:e}", value.abs());
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return false };
    let mantissa: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    exponent.parse() == Ok(magnitude) && trim_zeros(&mantissa) == significant
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    &digits[..end]
}

/// Units of 10⁻¹², exactly.
pub(super) fn decimal(text: &str) -> Option<i128> {
    let parts = number(text)?;
    let mut units: i128 = 0;
    for digit in parts.whole.iter().chain(parts.fraction) {
        units = units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let mut shift = (DECIMAL_SCALE - parts.fraction.len() as i32).saturating_add(parts.exponent.unwrap_or(0));
    if units == 0 {
        return Some(0);
    }
    while shift < 0 {
        if units % 10 != 0 {
            return None;
        }
        units /= 10;
        shift += 1;
    }
    let units = units.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    (units < DECIMAL_MAX).then_some(if parts.negative { -units } else { units })
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Microseconds since 1970 of an RFC 3339 time with an offset and at most six decimals.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|(place, separator)| bytes[*place] != *separator) {
        return None;
    }
    let (year, month, day) = (parse_digits(bytes, 0, 4)?, parse_digits(bytes, 5, 2)?, parse_digits(bytes, 8, 2)?);
    let (hour, minute, second) =
        (parse_digits(bytes, 11, 2)?, parse_digits(bytes, 14, 2)?, parse_digits(bytes, 17, 2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut micros = 0;
    if let Some((b'.', after)) = rest.split_first() {
        let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = trim_zeros(&after[..count]);
        if count == 0 || kept.len() > 6 {
            return None;
        }
        micros =
            kept.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')) * 10_i64.pow(6 - kept.len() as u32);
        rest = &after[count..];
    }
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (parse_digits(rest, 1, 2)?, parse_digits(rest, 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let days = i64::from(date.to_epoch_days());
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + micros)
}

fn parse_digits(bytes: &[u8], from: usize, count: usize) -> Option<i64> {
    bytes
        .get(from..from + count)?
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;
    use sluice_model::Kind;

    use super::*;

    /// Whether a column of this kind can hold the literal without loss.
    fn holds(kind: Kind, text: &str) -> bool {
        match kind {
            Kind::Boolean => boolean(text).is_some(),
            Kind::Int64 => int64(text).is_some(),
            Kind::Float64 => float64(text).is_some(),
            Kind::Decimal => decimal(text).is_some(),
            Kind::Timestamp => timestamp(text).is_some(),
            Kind::Text => true,
        }
    }

    #[test]
    fn integers_are_only_integers() {
        assert_eq!(int64("-12"), Some(-12));
        assert_eq!(int64("9223372036854775807"), Some(i64::MAX));
        for text in ["", "1.0", "1e3", "007", "+1", "-0", "9223372036854775808", "1 ", "abc"] {
            assert_eq!(int64(text), None, "{text}");
        }
    }

    #[test]
    fn floats_are_refused_where_they_would_round() {
        for text in ["1.5", "0.1", "12.50", "9007199254740992", "1e3", "0.30000000000000004", "-0.0", "1E-7", "0"] {
            assert!(holds(Kind::Float64, text), "{text}");
        }
        for text in ["9007199254740993", "0.12345678901234567890123", "1e400", "NaN", "inf", "1.", ".5", "1,5", "01"] {
            assert!(!holds(Kind::Float64, text), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(decimal("12.5"), Some(12_500_000_000_000));
        assert_eq!(decimal("-0.000000000001"), Some(-1));
        assert_eq!(decimal("1.0000000000000"), Some(1_000_000_000_000));
        assert_eq!(decimal("1.5e2"), Some(150_000_000_000_000));
        assert_eq!(decimal("0.0000000000001"), None);
        assert_eq!(decimal("100000000000000000000000000"), None);
        assert_eq!(decimal("1e2147483647"), None);
    }

    #[test]
    fn times_need_an_offset() {
        assert_eq!(timestamp("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(timestamp("1970-01-01T02:00:00.25+02:00"), Some(250_000));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999Z"), Some(-1));
        for text in ["1970-01-01T00:00:01", "1970-02-30T00:00:00Z", "1970-01-01T00:00:00.1234567Z", "1970-01-01", ""] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_floats_text_is_read_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let text = format!("{value:?}");
            prop_assert_eq!(float64(&text).map(f64::to_bits), Some(value.to_bits()));
        }

        #[test]
        fn nothing_panics(text in "[-0-9.eE+:TZ ]{0,40}") {
            for kind in [Kind::Boolean, Kind::Int64, Kind::Float64, Kind::Decimal, Kind::Timestamp, Kind::Text] {
                holds(kind, &text);
            }
        }

        #[test]
        fn no_exponent_panics(mantissa in "-?[0-9]{0,45}[.]?[0-9]{0,45}", exponent in any::<i64>(), digits in "[0-9]{0,60}") {
            let near = [i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, exponent].map(|at| at.saturating_add(exponent % 3));
            let exponents = near.iter().map(ToString::to_string).chain([digits.clone(), format!("-{digits}")]);
            for text in exponents.map(|exponent| format!("{mantissa}e{exponent}")) {
                prop_assert!(int64(&text).is_none(), "{}", text);
                prop_assert!(decimal(&text).is_none_or(|units| units.abs() < DECIMAL_MAX), "{}", text);
                prop_assert!(float64(&text).is_none_or(f64::is_finite), "{}", text);
            }
        }

        #[test]
        fn times_agree_with_chrono(micros in -62_135_596_800_000_000_i64..253_402_300_799_000_000) {
            let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(timestamp(&time.to_rfc3339()), Some(micros));
        }
    }
}
