//! Which escapes of a text may be a part of a secret: most aren't, and what stands around them needn't be resolved.

use std::ops::Range;

use super::escape::{Escape, LONGEST_ESCAPE, next_marker};
use super::escapes::Sought;

/// The parts of a text in which something may be found that isn't found without resolving escapes: what is found holds an
/// escape that is resolved, so it is no further from one than `around`.
pub(super) fn areas(text: &[u8], sought: &Sought<'_>, around: usize) -> Vec<Range<usize>> {
    // Kinds are resolved one by one then, which `candidates` doesn't know.
    if sought.ambiguous {
        let first = next_marker(text, 0).map(|marker| marker.saturating_sub(sought.longest));
        return first.map(|first| first..text.len()).into_iter().collect();
    }
    let mut areas: Vec<Range<usize>> = Vec::new();
    candidates(text, sought.pairs, |at| {
        let area = at.saturating_sub(around)..text.len().min(at + LONGEST_ESCAPE + around);
        match areas.last_mut() {
            Some(last) if area.start <= last.end => last.end = area.end,
            _ => areas.push(area),
        }
    });
    areas
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
    use super::*;

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
}
