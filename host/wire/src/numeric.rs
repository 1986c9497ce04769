//! Decimals of any width as PostgreSQL's `numeric`, digit by digit: nothing goes through a type of fewer digits.

use bytes::{BufMut, BytesMut};

/// Digits of a group in the binary form, whose base is 10,000.
const GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// The text of a decimal, such as `-12` with scale 3: `-0.012`.
pub(crate) fn text(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = split_sign(unscaled);
    let Ok(places) = usize::try_from(scale) else {
        let zeros = "0".repeat(usize::from(scale.unsigned_abs()));
        return if digits == "0" { digits.to_owned() } else { format!("{sign}{digits}{zeros}") };
    };
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Writes the binary form of a decimal's text.
pub(crate) fn write(text: &str, out: &mut BytesMut) {
    let (sign, unsigned) = split_sign(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let whole_groups = whole.len().div_ceil(GROUP);
    let fraction_groups = fraction.len().div_ceil(GROUP);
    let padded =
        format!("{whole:0>before$}{fraction:0<after$}", before = whole_groups * GROUP, after = fraction_groups * GROUP);
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(GROUP)
        .map(|group| group.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let kept = groups.get(leading..groups.len().saturating_sub(trailing)).unwrap_or_default();
    let weight = if kept.is_empty() { 0 } else { whole_groups as i64 - leading as i64 - 1 };
    let is_negative = sign == "-" && !kept.is_empty();
    out.put_i16(i16::try_from(kept.len()).unwrap_or(i16::MAX));
    out.put_i16(i16::try_from(weight).unwrap_or(i16::MAX));
    out.put_u16(if is_negative { NEGATIVE } else { 0 });
    out.put_u16(u16::try_from(fraction.len()).unwrap_or(u16::MAX));
    kept.iter().for_each(|group| out.put_u16(*group));
}

/// The text of the binary form; none if it is malformed.
pub(crate) fn read(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(2 * at)?, *bytes.get(2 * at + 1)?]));
    let (count, weight, sign, scale) = (usize::from(word(0)?), word(1)?.cast_signed(), word(2)?, usize::from(word(3)?));
    match sign {
        NAN => return Some("NaN".to_owned()),
        POSITIVE_INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        0 | NEGATIVE if bytes.len() == 8 + 2 * count => {}
        _ => return None,
    }
    let groups: Vec<u16> = (0..count).map(|at| word(4 + at).filter(|group| *group < 10_000)).collect::<Option<_>>()?;
    let group = |position: i32| -> String {
        let at = i32::from(weight) - position;
        let value = usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
        format!("{value:04}")
    };
    let whole: String = (0..=i32::from(weight)).rev().map(group).collect();
    let whole = whole.trim_start_matches('0');
    let mut fraction: String = (1..=scale.div_ceil(GROUP) as i32).map(|place| group(-place)).collect();
    fraction.truncate(scale);
    let sign = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

fn split_sign(text: &str) -> (&str, &str) {
    text.strip_prefix('-').map_or(("", text), |rest| ("-", rest))
}
