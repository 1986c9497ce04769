//! Entities and character references of XML, undeclared ones included.

use sluice_model::named_character;

use super::notes::{NoteKind, NoteSet};

/// What a reference stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entity {
    /// A character, by the rules of XML.
    Known(char),
    /// A character, but not by the rules of XML.
    Odd(char, NoteKind),
    /// Nobody knows.
    Unknown,
}

/// How long the name of an entity may be.
const MAX_NAME: usize = 32;

/// What `&name;` stands for.
pub(super) fn resolve(name: &str) -> Entity {
    match name {
        "amp" => Entity::Known('&'),
        "lt" => Entity::Known('<'),
        "gt" => Entity::Known('>'),
        "quot" => Entity::Known('"'),
        "apos" => Entity::Known('\''),
        _ => match name.strip_prefix('#') {
            Some(number) => character(number),
            None => named_character(name).map_or(Entity::Unknown, |letter| Entity::Odd(letter, NoteKind::Entity)),
        },
    }
}

fn character(number: &str) -> Entity {
    match code(number) {
        None => Entity::Unknown,
        Some(0) => Entity::Odd(char::REPLACEMENT_CHARACTER, NoteKind::Nul),
        Some(0xd800..=0xdfff) => Entity::Odd(char::REPLACEMENT_CHARACTER, NoteKind::LoneSurrogate),
        Some(code) => {
            char::from_u32(code).map_or(Entity::Odd(char::REPLACEMENT_CHARACTER, NoteKind::Entity), Entity::Known)
        }
    }
}

fn code(number: &str) -> Option<u32> {
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    is_number.then(|| u32::from_str_radix(digits, radix).unwrap_or(u32::MAX))
}

/// The character that two halves of a surrogate pair give, as some serialisers write it: `&#55357;` with
/// `&#56832;` at the beginning of `rest`. And how much of `rest` that is.
pub(super) fn surrogate_pair(name: &str, rest: &str) -> Option<(char, usize)> {
    let high = code(name.strip_prefix('#')?).filter(|code| (0xd800..0xdc00).contains(code))?;
    let (number, _) = split_name(rest.strip_prefix("&#")?)?;
    let low = code(number).filter(|code| (0xdc00..0xe000).contains(code))?;
    let character = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?;
    Some((character, number.len() + 3))
}

/// The name of an entity up to its semicolon, and what follows.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().take(MAX_NAME + 1).position(|byte| byte == b';')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// A text in which references stand, of an attribute for instance. Unknown ones are kept as they are written.
pub(super) fn unescape(text: &str) -> (String, NoteSet) {
    let (mut plain, mut odd, mut rest) = (String::with_capacity(text.len()), NoteSet::default(), text);
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        rest = match split_name(after).map(|(name, behind)| (resolve(name), name, behind)) {
            Some((Entity::Known(letter), _, behind)) => {
                plain.push(letter);
                behind
            }
            Some((Entity::Odd(letter, kind), name, behind)) => {
                let pair = surrogate_pair(name, behind);
                plain.push(pair.map_or(letter, |(letter, _)| letter));
                if pair.is_none() {
                    odd.insert(kind);
                }
                behind.get(pair.map_or(0, |(_, length)| length)..).unwrap_or_default()
            }
            Some((Entity::Unknown, ..)) | None => {
                plain.push('&');
                odd.insert(NoteKind::Entity);
                after
            }
        };
    }
    plain.push_str(rest);
    (plain, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_for_characters() {
        for (name, letter) in [("amp", '&'), ("#233", 'é'), ("#x20AC", '€'), ("#X41", 'A'), ("#29", '\u{1d}')] {
            assert_eq!(resolve(name), Entity::Known(letter), "{name}");
        }
        for (name, letter) in [("nbsp", '\u{a0}'), ("eacute", 'é'), ("Ouml", 'Ö'), ("oslash", 'ø'), ("szlig", 'ß')]
        {
            assert_eq!(resolve(name), Entity::Odd(letter, NoteKind::Entity), "{name}");
        }
        assert_eq!(resolve("#0"), Entity::Odd('\u{fffd}', NoteKind::Nul));
        assert_eq!(resolve("#xd83d"), Entity::Odd('\u{fffd}', NoteKind::LoneSurrogate));
        assert_eq!(resolve("#9999999999999"), Entity::Odd('\u{fffd}', NoteKind::Entity));
        for name in ["", "b", "#", "#x", "#+1", "#-1", "acute", "qacute", "a b"] {
            assert_eq!(resolve(name), Entity::Unknown, "{name}");
        }
    }

    #[test]
    fn what_nobody_knows_is_kept() {
        let unescaped = |text| {
            let (plain, odd) = unescape(text);
            (plain, odd.kinds().collect::<Vec<_>>())
        };
        assert_eq!(unescaped("a&lt;b&amp;c"), ("a<b&c".to_owned(), vec![]));
        assert_eq!(unescaped("?a=1&b=2&c;"), ("?a=1&b=2&c;".to_owned(), vec![NoteKind::Entity]));
        assert_eq!(unescaped("&#55357;&#56832;"), ("\u{1f600}".to_owned(), vec![]));
        assert_eq!(unescaped("&#55357;x"), ("\u{fffd}x".to_owned(), vec![NoteKind::LoneSurrogate]));
    }
}
