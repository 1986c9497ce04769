//! Zeros at the beginning of a reference's number, of which there may be any number: `&#0000000000000000000115;`.

use std::ops::Range;

use super::resolved::Resolved;

/// With more zeros a number may be longer than an escape that is looked for.
const MOST_ZEROS: usize = 4;

/// Where a number with very many zeros begins, if there is one.
pub(super) fn padded_from(text: &[u8]) -> Option<usize> {
    next_padding(text, 0..text.len()).map(|(place, _)| place.start)
}

/// A part of a text with shorter numbers, from `start` on and of `most` bytes at most, and where it ends.
pub(super) fn without_zeros(text: &[u8], start: usize, most: usize) -> (Resolved, usize) {
    let (mut plain, mut copied) = (Resolved::default(), start);
    let end = loop {
        let end = text.len().min(copied.saturating_add(most.saturating_sub(plain.text.len())));
        let Some((place, kept)) = next_padding(text, copied..end) else { break end };
        plain.push(&text[copied..place.start], copied..place.start, false);
        copied = place.end;
        plain.push(&text[place.start..place.start + kept], place, true);
    };
    plain.push(&text[copied..end], copied..end, false);
    (plain, end)
}

/// The first `#000000` or `#x000000` of a reference that begins in a part of the text, and its length without the zeros.
fn next_padding(text: &[u8], part: Range<usize>) -> Option<(Range<usize>, usize)> {
    memchr::memchr_iter(b'#', &text[part.clone()]).find_map(|at| {
        let at = part.start + at;
        // What stands before it is `&`, or the end of its own escape: `&amp;`, `%26`.
        let begins = at.checked_sub(1).is_some_and(|before| matches!(text[before], b'&' | b';' | b'6'));
        let kept = if matches!(text.get(at + 1), Some(b'x' | b'X')) { 2 } else { 1 };
        let zeros = text.get(at + kept..).filter(|_| begins)?.iter().take_while(|byte| **byte == b'0').count();
        (zeros > MOST_ZEROS).then_some((at..at + kept + zeros, kept))
    })
}
