//! What a number's literal text can be cast to without loss.

use sluice_model::Kinds;

/// Integers up to this one are exact in an `f64`.
const MAX_EXACT: u64 = 1 << 53;

/// The kind of a JSON number, and whether it is an integer that no `f64` holds.
///
/// A number that neither an `i64` nor the shortest text of an `f64` gives back is text: `12345678901234567890`,
/// `0.12345678901234567`, `1e400`.
#[inline]
pub(super) fn number_kinds(text: &[u8], integer: bool, exponent: bool) -> (Kinds, bool) {
    match (integer, text.len()) {
        (true, ..=15) if text != b"-0" => (Kinds::INTEGER, false),
        (true, _) => integer_kinds(text),
        // 16 characters with a point hold at most 15 digits, and any 15 digits survive an f64.
        (false, ..=16) if !exponent => (Kinds::FLOAT, false),
        (false, _) => (if survives_f64(text) { Kinds::FLOAT } else { Kinds::TEXT }, false),
    }
}

#[cold]
fn integer_kinds(text: &[u8]) -> (Kinds, bool) {
    match std::str::from_utf8(text).unwrap_or_default().parse::<i64>() {
        Ok(0) => (Kinds::FLOAT, false), // the sign of -0
        Ok(number) => (Kinds::INTEGER, number.unsigned_abs() > MAX_EXACT),
        Err(_) => (Kinds::TEXT, false),
    }
}

/// Whether the text is as short as any that gives its `f64`, so that the `f64` gives it back.
#[cold]
fn survives_f64(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(number) = text.parse::<f64>() else { return false };
    number.is_finite() && significant_digits(text) <= significant_digits(&format!("{number:e}"))
}

/// How many digits a number has without leading and trailing zeros.
fn significant_digits(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Kinds {
        let exponent = text.contains(['e', 'E']);
        number_kinds(text.as_bytes(), !exponent && !text.contains('.'), exponent).0
    }

    #[test]
    fn integers_fit_an_i64_or_are_text() {
        for text in ["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(kinds(text), Kinds::INTEGER, "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "123456789012345678901234567890"] {
            assert_eq!(kinds(text), Kinds::TEXT, "{text}");
        }
        assert!(number_kinds(b"9007199254740993", true, false).1);
        assert!(!number_kinds(b"9007199254740992", true, false).1);
    }

    #[test]
    fn floats_give_back_their_digits_or_are_text() {
        for text in [
            "1.0",
            "-0",
            "-0.0",
            "1e3",
            "1E-7",
            "0.30000000000000004",
            "-12148166919567.062",
            "12345678901234.50",
            "2.50000000000000000000",
        ] {
            assert_eq!(kinds(text), Kinds::FLOAT, "{text}");
        }
        for text in ["1e400", "1e-400", "0.1234567890123456789", "1234567890123456.78", "1e99999999999999999999"] {
            assert_eq!(kinds(text), Kinds::TEXT, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_exponent_panics(mantissa in "-?[0-9]{1,40}([.][0-9]{1,40})?", exponent in any::<i64>(), digits in "[0-9]{1,60}") {
            let near = [i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, exponent].map(|at| at.saturating_add(exponent % 3));
            let exponents = near.iter().map(ToString::to_string).chain([digits.clone(), format!("-{digits}")]);
            for text in exponents.map(|exponent| format!("{mantissa}e{exponent}")) {
                let kinds = kinds(&text);
                prop_assert!(kinds == Kinds::FLOAT || kinds == Kinds::TEXT, "{}", text);
            }
        }
    }
}
