//! Replaces ids, names and references in answers by others of the same form, the same ones everywhere.
//!
//! What a field is decides whether it is replaced: a field whose values land in the ids, names and references of a fact is,
//! and one that mapping reads otherwise (status words, amounts, times) isn't. Of fields that mapping doesn't read, texts are
//! replaced unless they are numbers, dates or codes, and numbers where the field's name is that of an id.

mod delimited;
mod fields;
mod json;
mod xml;

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::{Digest, Format};

pub(crate) use fields::Fields;

/// A known text is replaced wherever it stands alone, if it is at least so long.
const LONG: usize = 5;

/// Replaces texts, each by the same one as long as it lives.
pub(crate) struct Scrubber {
    key: Digest,
    known: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// The network's words, which stay.
    words: BTreeSet<String>,
    /// Texts of fields that aren't replaced.
    kept: BTreeSet<String>,
}

impl Scrubber {
    /// One whose replacements follow from the key: without it nobody gets from a replacement to what it stands for.
    /// `words`: texts that are never replaced.
    pub(crate) fn new(key: Digest, words: BTreeSet<String>) -> Self {
        Self { key, known: BTreeMap::new(), used: BTreeSet::new(), words, kept: BTreeSet::new() }
    }

    /// Adds the words of a text that the connector itself writes: they name nobody.
    pub(crate) fn keep_words(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2);
        self.words.extend(words.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic())).map(str::to_owned));
    }

    /// The text that stands for this one: digits for digits and letters for letters.
    pub(crate) fn replace(&mut self, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let mut tries = (0_u32..100).map(|attempt| disguised(self.key, text, attempt));
        let replacement = tries.find(|new| new != text && !self.used.contains(new));
        // Of texts of one digit there are too few for all to differ.
        let replacement = replacement.unwrap_or_else(|| disguised(self.key, text, 0));
        self.used.insert(replacement.clone());
        self.known.insert(text.to_owned(), replacement.clone());
        replacement
    }

    /// A body, with what has to be replaced in it.
    pub(crate) fn body(&mut self, body: &[u8], format: Option<&Format>, fields: &Fields) -> Vec<u8> {
        // A body that isn't UTF-8 is read byte by byte: what is replaced is ASCII, and the rest stays as it is.
        let text = std::str::from_utf8(body).map(str::to_owned);
        let is_utf8 = text.is_ok();
        let text = text.unwrap_or_else(|_| body.iter().copied().map(char::from).collect());
        let begin = text.trim_start();
        let mut change = |path: &str, value: &str, is_text: bool| self.change(fields, path, value, is_text);
        let scrubbed = match format {
            Some(Format::Delimited(form)) => delimited::rewrite(&text, form, &mut change),
            _ if begin.starts_with(['{', '[', '"']) => json::rewrite(&text, &mut change),
            _ if begin.starts_with('<') => xml::rewrite(&text, &mut change),
            _ => self.line(&text),
        };
        if is_utf8 {
            return scrubbed.into_bytes();
        }
        scrubbed.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
    }

    /// What a value is replaced by, if it has to be.
    fn change(&mut self, fields: &Fields, path: &str, value: &str, is_text: bool) -> Option<String> {
        let value = value.trim();
        if value.is_empty() || self.is_word(value) {
            return None;
        }
        let is_known = value.len() >= LONG && self.known.contains_key(value) && !fields.is_kept(path);
        if is_known || fields.is_scrubbed(path, value, is_text) {
            return Some(self.replace(value));
        }
        if fields.is_kept(path) {
            self.kept.insert(value.to_owned());
        }
        let is_joined = is_text && value.contains(['/', '=', ',', ' ']);
        is_joined.then(|| self.inside(value)).filter(|new| new != value)
    }

    /// Whether it is a word of the network, whatever field it is in.
    fn is_word(&self, value: &str) -> bool {
        self.words.contains(value)
    }

    /// A text, such as an address, in which long ones that are known are replaced where they stand alone.
    fn inside(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first, since it may hold others.
        let mut known: Vec<_> = self.known.iter().filter(|(known, _)| known.len() >= LONG).collect();
        known.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        for (known, new) in known {
            if stands_in(&text, known) {
                text = text.replace(known, new);
            }
        }
        text
    }

    /// A text in which known ones are replaced where they stand alone: a request's key, a header.
    pub(crate) fn line(&self, text: &str) -> String {
        let mut line = String::with_capacity(text.len());
        let is_part = |c: char| c.is_alphanumeric();
        let mut rest = text;
        while let Some(begin) = rest.find(is_part) {
            let end = rest[begin..].find(|c| !is_part(c)).map_or(rest.len(), |length| begin + length);
            line.push_str(&rest[..begin]);
            let word = &rest[begin..end];
            let is_id = word.len() >= 2 && word.contains(|c: char| c.is_ascii_digit());
            line.push_str(self.known.get(word).filter(|_| is_id).map_or(word, String::as_str));
            rest = &rest[end..];
        }
        line + rest
    }

    /// Texts that were replaced, and are to be nowhere: long ones that no replacement happens to be.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = &str> {
        let known = self.known.keys().map(String::as_str);
        known.filter(|text| {
            text.len() > LONG
                && text.bytes().any(|b| b.is_ascii_alphanumeric())
                && !self.used.contains(*text)
                && !self.kept.contains(*text)
        })
    }
}

/// Whether a text has another one, not as a part of a longer word.
pub(crate) fn stands_in(text: &str, part: &str) -> bool {
    // The places of a decimal are no number of their own.
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || (is_number && c == '.'));
    text.match_indices(part)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + part.len()..].chars().next()))
}

/// A text of the same form.
fn disguised(key: Digest, text: &str, attempt: u32) -> String {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)).unwrap_or_default();
    let rest = &text[scheme.len()..];
    let mut noise = (0_u32..).flat_map(|block| {
        let hex = Digest::of(format!("{key}/{attempt}/{block}/{text}").as_bytes()).to_hex();
        (0..32)
            .map(|at| hex.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0))
            .collect::<Vec<_>>()
    });
    let mut is_first = true;
    let letter = |c: char| {
        let noise = noise.next().unwrap_or_default();
        let new = match c {
            // A number that begins with no zero stays one.
            '1'..='9' if is_first => char::from(b'1' + noise % 9),
            '0'..='9' => char::from(b'0' + noise % 10),
            'a'..='z' => char::from(b'a' + noise % 26),
            'A'..='Z' => char::from(b'A' + noise % 26),
            _ if c.is_alphabetic() => 'x',
            _ => c,
        };
        is_first = false;
        new
    };
    scheme.chars().chain(rest.chars().map(letter).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_text_has_the_same_replacement_of_its_form() {
        let mut scrubber = Scrubber::new(Digest::of(b"key"), BTreeSet::new());
        let new = scrubber.replace("Lamp & Co 10");
        assert!(new != "Lamp & Co 10" && new.len() == 12 && new[4..7] == *" & ", "{new}");
        assert_eq!(scrubber.replace("Lamp & Co 10"), new);
        let numbers: BTreeSet<String> = (10..60).map(|n: u32| scrubber.replace(&n.to_string())).collect();
        assert_eq!(numbers.len(), 50, "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 2 && !number.starts_with('0')));
        let id = scrubber.replace("77123");
        assert_eq!(scrubber.line("page-77123,9-2"), format!("page-{id},9-2"));
        assert!(Scrubber::new(Digest::of(b"other"), BTreeSet::new()).replace("Lamp & Co 10") != new);
    }
}
