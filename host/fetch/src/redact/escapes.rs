//! Finds values in a text after its escapes are resolved: a network may write any character of a secret as an escape.
//!
//! JSON's and JavaScript's backslashes, the character references of XML and HTML, and the percent-encoding of URLs are
//! resolved together, and up to three times: texts are nested, such as a URL in a JSON string in a JSON string. A value
//! that itself holds an escape would be resolved with them, so for it the kinds are resolved one by one as well.

use std::ops::Range;

use super::candidates::{Pairs, areas};
use super::escape::{ALL, BACKSLASH, Escape, LONGEST_ESCAPE, PERCENT, REFERENCE, begins_reference, next_marker};
use super::resolved::{Resolved, resolve};
use super::zeros::{padded_from, without_zeros};
use crate::deadline::{Deadline, Late};

/// The kinds that are resolved in each round. The first plan is enough for values that hold nothing that may be taken for
/// an escape.
const PLANS: [[u8; 3]; 7] = [
    [ALL, ALL, ALL],
    [BACKSLASH, REFERENCE, PERCENT],
    [BACKSLASH, PERCENT, REFERENCE],
    [REFERENCE, BACKSLASH, PERCENT],
    [REFERENCE, PERCENT, BACKSLASH],
    [PERCENT, BACKSLASH, REFERENCE],
    [PERCENT, REFERENCE, BACKSLASH],
];
/// The text is resolved in parts of this size, so that a large one needs no second copy of it.
const PART_BYTES: usize = 1 << 20;
/// The most bytes for which one byte of a value can stand in the text, over all rounds: `&#x000041;` whose characters are
/// escaped again is longer, and isn't found.
const BYTES_PER_BYTE: usize = 36;

/// What the forms that are searched are like.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// Bytes of the longest one.
    pub(super) longest: usize,
    /// Whether one may hold what begins an escape.
    pub(super) ambiguous: bool,
    /// Which bytes stand side by side in them.
    pub(super) pairs: &'a Pairs,
    /// Until when they are sought.
    pub(super) deadline: Deadline,
}

/// The places in `text` at which `find` finds something after escapes are resolved: sorted and without overlaps.
pub(super) fn in_escapes(
    text: &[u8],
    sought: &Sought<'_>,
    find: impl Fn(&[u8]) -> Vec<Range<usize>>,
) -> Result<Vec<Range<usize>>, Late> {
    let mut places = in_short_escapes(text, sought, &find)?;
    if let Some(padded) = padded_from(text) {
        let overlap = sought.longest * BYTES_PER_BYTE;
        let mut start = padded.saturating_sub(overlap);
        loop {
            let (part, end) = without_zeros(text, start, PART_BYTES.max(4 * overlap));
            let found = in_short_escapes(&part.text, sought, &find)?;
            places.extend(found.into_iter().map(|place| part.source(place)));
            if end == text.len() {
                break;
            }
            let length = part.text.len();
            start = part.source(length - overlap..length).start;
        }
    }
    Ok(merged(places))
}

/// The same for escapes that aren't longer than `LONGEST_ESCAPE`, unsorted.
fn in_short_escapes(
    text: &[u8],
    sought: &Sought<'_>,
    find: &impl Fn(&[u8]) -> Vec<Range<usize>>,
) -> Result<Vec<Range<usize>>, Late> {
    let mut places = Vec::new();
    let overlap = sought.longest * BYTES_PER_BYTE;
    let part = PART_BYTES.max(4 * overlap);
    let plans = &PLANS[..if sought.ambiguous { PLANS.len() } else { 1 }];
    for area in areas(text, sought, overlap) {
        let mut start = area.start;
        loop {
            let end = area.end.min(start + part);
            for plan in plans {
                sought.deadline.check()?;
                for place in in_part(&text[start..end], plan, find) {
                    places.push(start + place.start..start + place.end);
                }
            }
            if end == area.end {
                break;
            }
            start = end - overlap;
        }
    }
    Ok(places)
}

/// Calls `see` with a text as it is, and after each round in which its escapes are resolved. `see` gets the text of the round,
/// whether it is the last one, and what gives the place in `text` of a place in the round's text.
pub(crate) fn in_all_escapes(text: &[u8], mut see: impl FnMut(&[u8], bool, &dyn Fn(Range<usize>) -> Range<usize>)) {
    let mut rounds: Vec<Resolved> = Vec::new();
    for kinds in PLANS[0] {
        let current = rounds.last().map_or(text, |last| last.text.as_slice());
        let next = resolve(current, kinds);
        let source = |place| rounds.iter().rev().fold(place, |place, round| round.source(place));
        see(current, next.is_none(), &source);
        match next {
            Some(next) => rounds.push(next),
            None => return,
        }
    }
    let source = |place| rounds.iter().rev().fold(place, |place, round| round.source(place));
    if let Some(last) = rounds.last() {
        see(&last.text, true, &source);
    }
}

/// Whether a text begins with an escape.
pub(crate) fn is_escape(text: &[u8]) -> bool {
    next_marker(text, 0) == Some(0) && Escape::at(text).is_some()
}

/// How many bytes at the end of a text that was cut may be the start of what `partial` knows, as they are or after escapes
/// are resolved; an escape that was cut is one of them. `partial` says how many bytes at the end of a text may be a start.
pub(super) fn partial_in_escapes(text: &[u8], longest: usize, partial: impl Fn(&[u8]) -> usize) -> usize {
    if padded_from(text).is_none() {
        return partial_in_short_escapes(text, longest, partial);
    }
    let (plain, _) = without_zeros(text, 0, text.len());
    let end = plain.text.len();
    match partial_in_short_escapes(&plain.text, longest, partial) {
        0 => 0,
        bytes => text.len() - plain.source(end - bytes..end).start,
    }
}

fn partial_in_short_escapes(text: &[u8], longest: usize, partial: impl Fn(&[u8]) -> usize) -> usize {
    let tail = &text[text.len().saturating_sub(longest * BYTES_PER_BYTE)..];
    let cut = tail.len() - cut_escape(tail);
    let (tail, cut) = (&tail[..cut], tail.len() - cut);
    let mut rounds: Vec<Resolved> = Vec::new();
    let mut most = partial(tail);
    for kinds in PLANS[0] {
        let Some(next) = resolve(rounds.last().map_or(tail, |last| &last.text), kinds) else { break };
        let end = next.text.len();
        let bytes = partial(&next.text);
        rounds.push(next);
        if bytes > 0 {
            let place = rounds.iter().rev().fold(end - bytes..end, |place, round| round.source(place));
            most = most.max(tail.len() - place.start);
        }
    }
    cut + most
}

/// How many bytes at the end of a text are an escape that isn't complete.
fn cut_escape(text: &[u8]) -> usize {
    let end = &text[text.len().saturating_sub(LONGEST_ESCAPE)..];
    let cut = (0..end.len()).find(|at| {
        matches!(end[*at], b'\\' | b'&' | b'%')
            && Escape::at(&end[*at..]).is_none()
            && end[at + 1..].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b'\\'))
    });
    cut.map_or(0, |at| end.len() - at)
}

/// A text with its escapes resolved once; none if it has no escapes.
pub(super) fn resolved(text: &[u8]) -> Option<Vec<u8>> {
    resolve(text, ALL).map(|resolved| resolved.text)
}

fn in_part(text: &[u8], plan: &[u8], find: &impl Fn(&[u8]) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut rounds: Vec<Resolved> = Vec::new();
    let mut places = Vec::new();
    for kinds in plan {
        if let Some(next) = resolve(rounds.last().map_or(text, |last| &last.text), *kinds) {
            let found = find(&next.text);
            rounds.push(next);
            let source = |place| rounds.iter().rev().fold(place, |place, round| round.source(place));
            places.extend(found.into_iter().map(source));
        }
    }
    places
}

fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}

/// Whether a value may be taken for an escape, or for the beginning of one, where it stands in a text.
///
/// 1. After a backslash an escape of the value's next character may stand, which begins with a backslash or another sign:
///    two backslashes are an escape.
/// 2. After `%` and `&` no escape can stand within an escape: what makes one are characters of the value as they are, and
///    those after the value.
pub(super) fn is_ambiguous(value: &[u8]) -> bool {
    std::iter::successors(next_marker(value, 0), |at| next_marker(value, at + 1)).any(|at| {
        let rest = &value[at + 1..];
        match value[at] {
            b'&' if rest.contains(&b';') => Escape::at(&value[at..]).is_some(),
            b'&' => begins_reference(rest),
            b'%' => rest.iter().take(2).all(u8::is_ascii_hexdigit),
            _ => true,
        }
    })
}
