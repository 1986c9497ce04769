//! Names of characters in HTML.
//!
//! Decoders read them as these characters, and a search for secrets has to find what decoders read.

/// HTML's entities that are met in data, beyond the five of XML.
const HTML: [(&str, char); 24] = [
    ("nbsp", '\u{a0}'),
    ("euro", '€'),
    ("pound", '£'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("deg", '°'),
    ("sect", '§'),
    ("middot", '·'),
    ("bull", '•'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("sbquo", '‚'),
    ("bdquo", '„'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("hellip", '…'),
    ("szlig", 'ß'),
    ("times", '×'),
    ("shy", '\u{ad}'),
];
/// Letters whose entities are their base and a word: `&eacute;`.
const ACCENTS: [(&str, &str, &str); 8] = [
    ("acute", "AEIOUYaeiouy", "ÁÉÍÓÚÝáéíóúý"),
    ("grave", "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
    ("circ", "AEIOUaeiou", "ÂÊÎÔÛâêîôû"),
    ("uml", "AEIOUYaeiouy", "ÄËÏÖÜŸäëïöüÿ"),
    ("tilde", "ANOano", "ÃÑÕãñõ"),
    ("cedil", "Cc", "Çç"),
    ("ring", "Aa", "Åå"),
    ("slash", "Oo", "Øø"),
];

/// The character that `&name;` stands for in data, beyond the five names of XML: letters with accents, and signs.
pub fn named_character(name: &str) -> Option<char> {
    if let Some((_, letter)) = HTML.iter().find(|(known, _)| *known == name) {
        return Some(*letter);
    }
    ACCENTS.iter().find_map(|(accent, bases, letters)| {
        let base = name.strip_suffix(accent)?;
        let mut pairs = bases.chars().zip(letters.chars());
        pairs.find(|(known, _)| base.chars().eq([*known])).map(|(_, letter)| letter)
    })
}

/// Whether a text may be the beginning of a name that [`named_character`] knows.
pub fn begins_character_name(start: &str) -> bool {
    let mut rest = start.chars();
    let base = rest.next();
    HTML.iter().any(|(name, _)| name.starts_with(start))
        || ACCENTS
            .iter()
            .any(|(accent, bases, _)| base.is_none_or(|base| bases.contains(base)) && accent.starts_with(rest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_a_character() {
        for (name, letter) in [("nbsp", '\u{a0}'), ("eacute", 'é'), ("Ouml", 'Ö'), ("oslash", 'ø'), ("szlig", 'ß')]
        {
            assert_eq!(named_character(name), Some(letter), "{name}");
            for end in 0..=name.len() {
                assert!(begins_character_name(&name[..end]), "{name} {end}");
            }
        }
        for name in ["", "amp", "acute", "qacute", "é"] {
            assert_eq!(named_character(name), None, "{name}");
        }
        assert!(!begins_character_name("qa") && !begins_character_name("eacutes"));
    }
}
