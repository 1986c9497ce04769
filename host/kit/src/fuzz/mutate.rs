//! One body from another.

use std::ops::Range;

use super::dice::Dice;
use super::spans::{Markup, Span};

/// Most changes of one body.
const MOST_CHANGES: usize = 3;
/// Most bytes that a repeated piece makes.
const MOST_REPEATED: usize = 1 << 20;
/// Most times that a piece is repeated in most bodies.
const FEW_TIMES: usize = 20;
/// Characters of a long text.
const LONG: usize = 2_000;

/// What JSON can have in place of a value.
const ODD_JSON: [&str; 22] = [
    "null",
    "\"\"",
    "true",
    "[]",
    "{}",
    "0",
    "-1",
    "1e999",
    "123456789012345678901234567890.123456789",
    "\"NaN\"",
    "\"-\"",
    "\"1.234,56\"",
    "\"($1.00)\"",
    "\"0000-00-00\"",
    "\"2026-02-30T25:61:00Z\"",
    "\"9999-12-31T23:59:60+14:00\"",
    "\"\\u0000\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\" x \"",
    "[null, 1]",
    "{\"a\": 1}",
    "[{\"a\": 1}]",
];
/// What a field or an element can have in place of a text.
const ODD_TEXTS: [&str; 22] = [
    "",
    " ",
    "null",
    "0",
    "-1",
    "1e999",
    "123456789012345678901234567890.123456789",
    "NaN",
    "-",
    "1.234,56",
    "($1.00)",
    "0000-00-00",
    "2026-02-30 25:61:00",
    "9999-12-31T23:59:60+14:00",
    "\0😀",
    "\"",
    "'",
    "&",
    "&amp;",
    "<b/>",
    ",",
    "\n",
];
/// Bytes at which decoders go wrong.
const ODD_BYTES: [u8; 14] = *b"\0\n\r\"\\,:{[<&;\xc3\xff";
const HTML: &str = "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body></body></html>\n";

/// A body with other bytes in place of some.
pub(super) fn replaced(body: &[u8], range: &Range<usize>, with: &[u8]) -> Vec<u8> {
    [&body[..range.start], with, &body[range.end..]].concat()
}

/// How many changes of one field there are.
pub(super) fn changes_of_a_field(markup: Markup) -> usize {
    // It is removed, or has an odd value, or one of two long texts.
    1 + odd_values(markup).len() + 2
}

/// A body with a field removed or changed.
pub(super) fn with_field_changed(body: &[u8], span: &Span, markup: Markup, change: usize) -> Vec<u8> {
    match change.checked_sub(1) {
        None => replaced(body, &span.whole, b""),
        Some(value) => replaced(body, &span.value, &odd_value(markup, value)),
    }
}

/// A body with a few changes by chance. `spans` are its pieces.
pub(super) fn changed(body: &[u8], spans: &[Span], markup: Markup, dice: &mut Dice) -> Vec<u8> {
    let mut changed = change(body, spans, markup, dice);
    for _ in 0..dice.below(MOST_CHANGES) {
        changed = change(&changed, &markup.spans(&changed), markup, dice);
    }
    changed
}

fn change(body: &[u8], spans: &[Span], markup: Markup, dice: &mut Dice) -> Vec<u8> {
    match dice.below(10) {
        0 => recoded(body, dice),
        1 | 2 => bytes_changed(body, dice),
        _ => piece_changed(body, spans, markup, dice),
    }
}

fn odd_values(markup: Markup) -> &'static [&'static str] {
    match markup {
        Markup::Json => &ODD_JSON,
        Markup::Xml | Markup::Delimited(_) => &ODD_TEXTS,
    }
}

fn odd_value(markup: Markup, number: usize) -> Vec<u8> {
    let values = odd_values(markup);
    let quote = if markup == Markup::Json { "\"" } else { "" };
    let long = |text: &str| format!("{quote}{}{quote}", text.repeat(LONG)).into_bytes();
    match values.get(number) {
        Some(value) => value.as_bytes().to_vec(),
        None if number == values.len() => long("x"),
        None => long("9é"),
    }
}

/// A piece is removed, has an odd value or that of another piece, or stands many times.
fn piece_changed(body: &[u8], spans: &[Span], markup: Markup, dice: &mut Dice) -> Vec<u8> {
    let Some(span) = dice.pick(spans) else { return bytes_changed(body, dice) };
    match dice.below(5) {
        0 | 1 => {
            let number = dice.below(changes_of_a_field(markup));
            with_field_changed(body, span, markup, number)
        }
        2 => {
            let other = dice.pick(spans).unwrap_or(span);
            replaced(body, &span.value, &body[other.value.clone()])
        }
        3 => {
            let other = dice.pick(spans).unwrap_or(span);
            let unit = [&body[other.unit.clone()], separator(span)].concat();
            replaced(body, &(span.unit.start..span.unit.start), &unit)
        }
        _ => {
            let unit = [&body[span.unit.clone()], separator(span)].concat();
            let most = MOST_REPEATED / unit.len().max(1);
            let times = if dice.below(8) == 0 { dice.below(most) } else { dice.below(FEW_TIMES.min(most)) };
            replaced(body, &(span.unit.start..span.unit.start), &unit.repeat(times + 1))
        }
    }
}

fn separator(span: &Span) -> &[u8] {
    span.separator.as_slice()
}

/// A byte is changed, odd ones are added, some are removed or stand twice, or the rest is cut off.
fn bytes_changed(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(body.len() + 1);
    let end = (at + 1 + dice.below(64)).min(body.len());
    let here = at..end.max(at);
    match dice.below(6) {
        0 if at < body.len() => replaced(body, &(at..at + 1), &[body[at] ^ (1_u8 << dice.below(8))]),
        1 => body[..at].to_vec(),
        2 => replaced(body, &here, b""),
        3 => replaced(body, &(at..at), &body[here]),
        _ => {
            let odd = dice.pick(&ODD_BYTES).copied().unwrap_or_default();
            replaced(body, &(at..at), &[odd])
        }
    }
}

/// The text in another encoding or with other line breaks, among other bytes, or another text altogether.
fn recoded(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    match dice.below(9) {
        0 => ["\u{feff}", &*text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect(),
        1 => ["\u{feff}", &*text].concat().encode_utf16().flat_map(u16::to_be_bytes).collect(),
        2 => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
        3 => body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes(),
        4 => ["\u{feff}", &*text].concat().into_bytes(),
        5 => text.replace('\n', "\r\n").into_bytes(),
        6 => [body, body].concat(),
        7 => HTML.as_bytes().to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_bodies_and_many_of_them() {
        let cases: [(Markup, &[u8]); 4] = [
            (Markup::Json, b"{\"a\": [{\"id\": 1, \"b\": \"x\"}, {\"id\": 2, \"b\": null}]}"),
            (Markup::Xml, b"<a><row id='1'>x</row><row id='2'/></a>"),
            (Markup::Delimited(b','), b"id,b\n1,x\n2,\n"),
            (Markup::Json, b""),
        ];
        for (markup, body) in cases {
            let spans = markup.spans(body);
            let bodies = |seed: u64| -> Vec<Vec<u8>> {
                let mut dice = Dice::new(seed);
                (0..500).map(|_| changed(body, &spans, markup, &mut dice)).collect()
            };
            assert_eq!(bodies(7), bodies(7));
            let different: BTreeSet<_> = bodies(8).into_iter().collect();
            assert!(different.len() > if body.is_empty() { 10 } else { 200 }, "{} of {markup:?}", different.len());
        }
    }

    #[test]
    fn each_field_is_removed_and_has_each_odd_value() {
        let body = b"{\"a\": 1, \"b\": 2}";
        let spans = Markup::Json.spans(body);
        let changed = |change| String::from_utf8(with_field_changed(body, &spans[0], Markup::Json, change));
        assert_eq!(changed(0).as_deref(), Ok("{ \"b\": 2}"));
        assert_eq!(changed(1).as_deref(), Ok("{\"a\": null, \"b\": 2}"));
        let longest = changed(changes_of_a_field(Markup::Json) - 1).map(|body| body.len());
        assert!(longest.is_ok_and(|bytes| bytes > 3 * LONG));
    }
}
