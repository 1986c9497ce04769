//! Text of which some bytes aren't UTF-8.
//!
//! Networks join texts of shops that each have a character set of their own, so a body in UTF-8 may hold single words
//! in windows-1252 (`Caf\xe9`), or characters that were cut (`Caf\xc3`).

use std::str::from_utf8;

/// How many places are remembered. All others are counted.
const MAX_MARKS: usize = 1 << 20;
/// What windows-1252 has at 0x80 to 0x9f, by the Encoding Standard; U+FFFD where it has only a control character.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', '\u{fffd}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];
/// Letters that are words: à, é, è, å, ö, ø, ó.
const WORDS: &str = "àÀéÉèÈåÅöÖøØóÓ";
/// What may follow a letter at the end of a word, in windows-1252, and looks like the rest of a character in UTF-8.
const FOLLOWERS: &str = "‘’“”…–—»\u{a0}";

/// Places in a text where a character isn't the body's own, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    places: Vec<usize>,
    next: usize,
    uncounted: u64,
}

impl Marks {
    pub(super) fn push(&mut self, place: usize) {
        if self.places.len() < MAX_MARKS { self.places.push(place) } else { self.uncounted += 1 }
    }

    /// Whether there is one before `end` that wasn't passed yet.
    #[inline]
    pub(super) fn is_before(&self, end: usize) -> bool {
        self.places.get(self.next).is_some_and(|place| *place < end)
    }

    /// The next one that wasn't passed yet.
    pub(super) fn next(&self) -> Option<usize> {
        self.places.get(self.next).copied()
    }

    /// Passes those before `end`, and returns how many they were.
    pub(super) fn pass(&mut self, end: usize) -> u64 {
        let before = self.next;
        while self.is_before(end) {
            self.next += 1;
        }
        (self.next - before) as u64
    }

    /// How many were not passed, and how many have no place.
    pub(super) fn left(&self) -> u64 {
        (self.places.len() - self.next) as u64 + self.uncounted
    }
}

/// The body as text, and where it isn't UTF-8.
///
/// Such a byte becomes the letter that it is in windows-1252, if a letter is plausible there: beside another letter,
/// not in upper case behind one in lower case, and not where a cut character of UTF-8 is likelier. In a body without
/// any character of UTF-8 beyond ASCII, which is likely windows-1252 as a whole, signs such as `€` count too.
/// All else becomes U+FFFD.
pub(super) fn repair(body: &[u8]) -> (String, Marks) {
    let is_mixed = body.utf8_chunks().any(|chunk| !chunk.valid().is_ascii());
    let (mut text, mut marks) = (String::with_capacity(body.len() + body.len() / 8), Marks::default());
    let mut at = 0;
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        at += chunk.valid().len();
        let invalid = chunk.invalid();
        if is_cut_character(invalid, is_mixed) {
            marks.push(text.len());
            text.push(char::REPLACEMENT_CHARACTER);
            at += invalid.len();
            continue;
        }
        for byte in invalid {
            at += 1;
            let (before, after) = (text.chars().next_back(), character_at(body, at));
            marks.push(text.len());
            text.push(plausible(*byte, before, after, is_mixed));
        }
    }
    (text, marks)
}

/// Whether several bytes are the beginning of one character in UTF-8, rather than a letter and a sign.
fn is_cut_character(invalid: &[u8], is_mixed: bool) -> bool {
    match invalid {
        [_, rest @ ..] if !rest.is_empty() => is_mixed || !rest.iter().all(|byte| FOLLOWERS.contains(sign(*byte))),
        _ => false,
    }
}

/// A byte beyond ASCII in windows-1252.
fn sign(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The character at `at`, in UTF-8 or else in windows-1252.
fn character_at(body: &[u8], at: usize) -> Option<char> {
    let rest = body.get(at..)?;
    let valid = |length: usize| from_utf8(rest.get(..length)?).ok()?.chars().next();
    (1..=4).find_map(valid).or_else(|| rest.first().map(|byte| sign(*byte)))
}

fn plausible(byte: u8, before: Option<char>, after: Option<char>, is_mixed: bool) -> char {
    let letter = sign(byte);
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let is_plausible = match letter {
        'ª' | 'º' if before.is_some_and(|c| c.is_ascii_digit()) => true,
        _ if !letter.is_alphabetic() => !is_mixed,
        _ if letter.is_uppercase() && before.is_some_and(char::is_lowercase) => false,
        // The first bytes of `é`, `°` and `€`, behind which the rest was cut.
        'Ã' | 'Â' | 'â' if is_mixed && !is_letter(after) => false,
        _ => is_letter(before) || is_letter(after) || WORDS.contains(letter),
    };
    if is_plausible { letter } else { char::REPLACEMENT_CHARACTER }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn repaired(body: &[u8]) -> String {
        repair(body).0
    }

    #[test]
    fn letters_of_windows_1252_are_kept() {
        assert_eq!(repaired(b"|Caf\xe9 S\xf8nderg\xe5rd|"), "|Café Søndergård|");
        assert_eq!(
            repaired(b"\xc9t\xe9|CAF\xc9|\xe0 la carte|na\xefve|Stra\xdfe|\x8aKODA"),
            "Été|CAFÉ|à la carte|naïve|Straße|ŠKODA"
        );
        assert_eq!(repaired("é|Caf\u{e9}".as_bytes()), "é|Café");
        assert_eq!(repaired(b"\xc3\xa9|Caf\xe9|S\xf8\xe5"), "é|Café|Søå");
    }

    #[test]
    fn signs_count_where_nothing_is_utf_8() {
        assert_eq!(repaired(b"don\x92t|\x80 5|\xa35|Caf\xe9\x92s|2\xba"), "don’t|€ 5|£5|Café’s|2º");
        assert_eq!(repaired(b"\xc3\xa9|\x80 5|2\xba"), "é|\u{fffd} 5|2º");
    }

    #[test]
    fn cut_characters_are_no_letters() {
        assert_eq!(repaired(b"Caf\xc3|"), "Caf\u{fffd}|");
        assert_eq!(repaired(b"\xc3\xa9|CAF\xc3|caf\xe2|"), "é|CAF\u{fffd}|caf\u{fffd}|");
        assert_eq!(repaired(b"5 \xe2\x82|"), "5 \u{fffd}|");
        assert_eq!(repaired(b"promo \xf0\x9f\x98|"), "promo \u{fffd}|");
    }

    #[test]
    fn what_is_no_letter_is_replaced() {
        assert_eq!(repaired(b"\xc3\xa9 1\xff2 \x81"), "é 1\u{fffd}2 \u{fffd}");
    }

    #[test]
    fn places_are_those_of_the_text() {
        let (text, mut marks) = repair(b"\xe9a\xc3\xa9\xf8");
        assert_eq!(text, "éaéø");
        assert!(marks.is_before(1) && marks.next() == Some(0));
        assert_eq!((marks.pass(5), marks.left()), (1, 1));
        assert_eq!((marks.next(), marks.pass(9), marks.left()), (Some(5), 1, 0));
    }

    proptest! {
        #[test]
        fn utf_8_stays_as_it_is(before in any::<String>(), byte in 0xc0..=0xff_u8, after in "[ -~]{1,9}") {
            let (text, marks) = repair(before.as_bytes());
            prop_assert_eq!((text.as_str(), marks.left()), (before.as_str(), 0));
            let body = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            let (text, marks) = repair(&body);
            prop_assert!(text.starts_with(&before) && text.ends_with(&after));
            prop_assert_eq!(marks.next(), Some(before.len()));
            prop_assert_eq!((text.chars().count(), marks.left()), (before.chars().count() + 1 + after.chars().count(), 1));
        }
    }
}
