//! Which escapes of a text may be a part of a secret: most aren't, and what stands around them needn't be resolved.

use std::ops::Range;

use super::escape::{Escape, LONGEST_ESCAPE, next_marker};
use super::escapes::Sought;

/// How far behind a marker a byte may be a part of an escape that begins with it, if no other one stands between: an escape,
/// and in each further round what follows the character that it stands for.
const REACH: usize = 3 * LONGEST_ESCAPE;
/// Markers that are passed over in search of bytes that stand for themselves.
const MOST_MARKERS: usize = 64;

/// The parts of a text in which something may be found that isn't found without resolving escapes: what is found holds an
/// escape that is resolved.
///
/// 1. What is found is no further from that escape than `around`.
/// 2. A byte without a marker among the [`REACH`] bytes that end with it is a part of no escape in any round, and so is one
///    byte of the text in which is searched. So what is found ends before there are as many such bytes on one side of its
///    escape as the longest form has.
/// 3. A part that begins with such a byte is resolved as it is within the whole text.
pub(super) fn areas(text: &[u8], sought: &Sought<'_>, around: usize) -> Vec<Range<usize>> {
    // Kinds are resolved one by one then, which `candidates` doesn't know.
    if sought.ambiguous {
        let first = next_marker(text, 0).map(|marker| marker.saturating_sub(sought.longest));
        return first.map(|first| first..text.len()).into_iter().collect();
    }
    let mut areas: Vec<Range<usize>> = Vec::new();
    // Where an area begins, and the last candidate in it.
    let mut open: Option<(usize, usize)> = None;
    // Areas of two that are no further from each other have something in common.
    let near = 2 * sought.longest + REACH;
    candidates(text, sought.pairs, |at| {
        open = Some(match open {
            None => (begin_of_area(text, at, sought.longest, around), at),
            Some((begin, last)) if at - last <= near => (begin, at),
            Some((begin, last)) => {
                let (end, next) =
                    (end_of_area(text, last, sought.longest, around), begin_of_area(text, at, sought.longest, around));
                if next <= end {
                    (begin, at)
                } else {
                    areas.push(begin..end);
                    (next, at)
                }
            }
        });
    });
    areas.extend(open.map(|(begin, last)| begin..end_of_area(text, last, sought.longest, around)));
    areas
}

/// Where what is found around the candidate `at` may begin at the earliest.
fn begin_of_area(text: &[u8], at: usize, longest: usize, around: usize) -> usize {
    let least = at.saturating_sub(around);
    let (mut end, mut plain) = (at, 0);
    for _ in 0..MOST_MARKERS {
        let marker = memchr::memrchr3(b'\\', b'&', b'%', &text[least..end]).map(|place| least + place);
        // Before `least` there may be one.
        let from = marker.map_or(if least == 0 { 0 } else { least + REACH }, |marker| marker + REACH);
        let bytes = end.saturating_sub(from);
        if plain + bytes >= longest {
            return end - (longest - plain);
        }
        let Some(marker) = marker else { return least };
        (end, plain) = (marker, plain + bytes);
    }
    least
}

/// Where what is found around the candidate `at` ends at the latest.
fn end_of_area(text: &[u8], at: usize, longest: usize, around: usize) -> usize {
    let text = &text[..text.len().min(at + LONGEST_ESCAPE + around)];
    let (mut marker, mut plain) = (at, 0);
    for _ in 0..MOST_MARKERS {
        let next = next_marker(text, marker + 1).unwrap_or(text.len());
        let from = next.min(marker + REACH);
        if plain + (next - from) >= longest {
            return from + (longest - plain);
        }
        if next == text.len() {
            break;
        }
        (marker, plain) = (next, plain + (next - from));
    }
    text.len()
}

/// Calls `seen` with the places of the escapes that may be a part of a form once all is resolved. Of an escape that is,
/// one of these holds, in the text as it is after one round:
/// 1. its character begins a form, or stands in one after the character before it; and it ends one, or stands in one before
///    the character after it, unless that begins an escape;
/// 2. it, or a character of the `LONGEST_ESCAPE` before it, begins another escape: it is resolved again, or with that;
/// 3. it isn't ASCII, and one of its bytes is in a form.
fn candidates(text: &[u8], pairs: &Pairs, mut seen: impl FnMut(usize)) {
    // Of the text after one round: its last byte, and its length from what may begin an escape of the next one.
    let (mut last, mut since_marker) = (None, usize::MAX);
    let mut from = 0;
    while let Some(at) = next_marker(text, from) {
        if at > from {
            last = text.get(at - 1).copied();
            since_marker = since_marker.saturating_add(at - from);
        }
        let Some(escape) = Escape::at(&text[at..]) else {
            let begins = may_begin(text[at], &text[at + 1..]);
            since_marker = if begins { 1 } else { since_marker.saturating_add(1) };
            (last, from) = (Some(text[at]), at + 1);
            continue;
        };
        let end = at + escape.length;
        let (fits, begins) = match *escape.bytes() {
            [byte] if byte.is_ascii() => {
                let next = text.get(end).copied().filter(|next| !is_marker(*next));
                let fits = pairs.may_follow(last, byte) && next.is_none_or(|next| pairs.may_precede(byte, next));
                (fits, may_begin(byte, &text[end..]))
            }
            ref bytes => (bytes.iter().any(|byte| pairs.holds(*byte)), false),
        };
        if fits || begins || since_marker <= LONGEST_ESCAPE {
            seen(at);
        }
        since_marker = if begins { 1 } else { since_marker.saturating_add(escape.bytes().len()) };
        (last, from) = (escape.bytes().last().copied(), end);
    }
}

fn is_marker(byte: u8) -> bool {
    matches!(byte, b'\\' | b'&' | b'%')
}

/// Whether `byte` may begin an escape with the rest of the text behind it, in which there may be escapes still.
fn may_begin(byte: u8, rest: &[u8]) -> bool {
    let marked = |at: usize| rest.get(at).is_none_or(|byte| is_marker(*byte));
    match byte {
        b'\\' => marked(0) || rest[0].is_ascii_punctuation() || b"uxbfnrt".contains(&rest[0]),
        b'&' => {
            let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#').count();
            name < LONGEST_ESCAPE && (marked(name) || rest[name] == b';')
        }
        b'%' => {
            let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            digits == 2 || marked(digits)
        }
        _ => false,
    }
}

/// Which bytes stand side by side in some forms, which begin and which end one.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    /// By first byte, the bytes that follow it.
    after: Vec<Bytes>,
    begin: Bytes,
    end: Bytes,
    all: Bytes,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            after: vec![Bytes::default(); 256],
            begin: Bytes::default(),
            end: Bytes::default(),
            all: Bytes::default(),
        }
    }
}

impl Pairs {
    /// Adds those of a form.
    pub(super) fn add(&mut self, form: &[u8]) {
        form.first().into_iter().for_each(|byte| self.begin.add(*byte));
        form.last().into_iter().for_each(|byte| self.end.add(*byte));
        form.iter().for_each(|byte| self.all.add(*byte));
        form.windows(2).for_each(|pair| self.after[usize::from(pair[0])].add(pair[1]));
    }

    /// Whether `byte` may be one of a form's after `before`; without it, at the beginning of a text, which may be cut.
    fn may_follow(&self, before: Option<u8>, byte: u8) -> bool {
        self.begin.has(byte) || before.is_none_or(|before| self.after[usize::from(before)].has(byte))
    }

    fn may_precede(&self, byte: u8, next: u8) -> bool {
        self.end.has(byte) || self.after[usize::from(byte)].has(next)
    }

    fn holds(&self, byte: u8) -> bool {
        self.all.has(byte)
    }
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes([u64; 4]);

impl Bytes {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::deadline::Deadline;
    use crate::redact::escapes::in_escapes;

    fn seen(text: &str) -> Vec<usize> {
        let mut pairs = Pairs::default();
        pairs.add(b"k3y/of+the-shop");
        let mut seen = Vec::new();
        candidates(text.as_bytes(), &pairs, |at| seen.push(at));
        seen
    }

    #[test]
    fn escapes_of_ordinary_texts_are_no_candidates() {
        for text in [
            r"https:\/\/www.example.com\/a\/b?x=1&amp;y=2&amp;z=3%20of",
            r#"{\"name\":\"Sm\u00f8rrebr\u00f8d\", \"share\": \"100% of it\"}"#,
            "fish &amp; chips &lt;b&gt; &quot;x&quot; 100%25 R&D",
        ] {
            assert_eq!(seen(text), Vec::<usize>::new(), "{text}");
        }
    }

    #[test]
    fn an_escape_between_characters_of_a_form_is_one() {
        assert_eq!(seen(r"xk3y\/of"), [4]);
        assert_eq!(seen("k3y&#47;of"), [3]);
        assert_eq!(seen("k3y%2Fof"), [3]);
        // What it begins is an escape after it is resolved.
        assert_eq!(seen("k3y%252Fof"), [3]);
        assert_eq!(seen(r"k3y\\u002fof"), [3]);
        assert_eq!(seen("k3y&amp;#47;of"), [3]);
        // One in the middle of another one.
        assert_eq!(seen("k3y%2%46of"), [5]);
    }

    const FORM: &[u8] = b"k3y/of+the-shop";

    fn sought(pairs: &Pairs) -> Sought<'_> {
        Sought { longest: FORM.len(), ambiguous: false, pairs, deadline: Deadline::NEVER }
    }

    #[test]
    fn an_area_is_what_a_form_may_take_up() {
        let mut pairs = Pairs::default();
        pairs.add(FORM);
        let (plain, around) = ("of a long text ".repeat(40), 36 * FORM.len());
        let text = format!(r"{plain}&quot;{plain}\\b{plain}{plain}k3y\/of{plain}");
        let found = areas(text.as_bytes(), &sought(&pairs), around);
        assert_eq!(found.len(), 2, "{found:?}");
        for (area, candidate) in found.iter().zip([r"\\b", r"\/of"]) {
            let at = text.find(candidate).unwrap();
            assert_eq!(*area, at - FORM.len()..at + REACH + FORM.len() + usize::from(candidate.starts_with(r"\\")));
        }
    }

    /// A character as networks write it, in up to three rounds.
    fn written(c: u8, writing: u8) -> String {
        match writing {
            0 => format!("\\u00{c:02x}"),
            1 => format!("&#{c};"),
            2 => format!("%{c:02X}"),
            3 => format!("\\\\u00{c:02x}"),
            4 => format!("&amp;#{c};"),
            5 => format!("%2526%25%32%33{c}%3B"),
            6 => format!("&amp;amp;#x{c:x};"),
            _ => char::from(c).to_string(),
        }
    }

    proptest! {
        #[test]
        fn a_form_is_found_whatever_stands_around_it(
            before in noise(),
            writings in prop::collection::vec(0..14_u8, FORM.len()),
            after in noise(),
        ) {
            prop_assume!(writings.iter().any(|writing| *writing < 7));
            let mut pairs = Pairs::default();
            pairs.add(FORM);
            let form: String = FORM.iter().zip(&writings).map(|(c, writing)| written(*c, *writing)).collect();
            let text = format!("{before} {form} {after}");
            let find = |text: &[u8]| memchr::memmem::find_iter(text, FORM).map(|at| at..at + FORM.len()).collect::<Vec<_>>();
            let places = in_escapes(text.as_bytes(), &sought(&pairs), find).unwrap_or_default();
            let (start, end) = (before.len() + 1, before.len() + 1 + form.len());
            prop_assert!(places.iter().any(|place| place.start <= start && place.end >= end), "{}: {:?}", text, places);
        }
    }

    /// Words, with escapes and what looks like some between them, thinly or densely.
    fn noise() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => "[a-z ]{0,90}",
            1 => prop::sample::select(vec!["\\\"", "&amp;", "%20", "\\\\b", "&", "%", "\\", "\\\\\\\\u0041", "&#0000000065;"])
                .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }
}
