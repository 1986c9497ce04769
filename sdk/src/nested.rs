//! Records inside a record: arrays and objects, which the host gives as JSON text.

use std::borrow::Cow;

/// A JSON value inside of a record, as its text. Nothing is copied until a text with escapes is asked for.
///
/// ```
/// use sluice_connector::Nested;
/// let parts = Nested::new(r#"[{"id":"p1","earnings":{"value":1.50}},{"id":"p2"}]"#).items();
/// assert_eq!(parts[0].text("earnings.value").as_deref(), Some("1.50"));
/// assert_eq!(parts[1].text("earnings.value"), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Nested<'a>(&'a str);

impl<'a> Nested<'a> {
    /// Takes a field's text.
    pub fn new(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// The elements of an array. Any other value is its own only element, as APIs write a list of one; null and nothing are none.
    pub fn items(self) -> Vec<Self> {
        if !self.0.starts_with('[') {
            return if matches!(self.0, "" | "null") { Vec::new() } else { vec![self] };
        }
        let mut items = Vec::new();
        let mut rest = Scan(&self.0[1..]);
        while let Some(value) = rest.value() {
            items.push(Self(value));
            rest.skip(',');
        }
        items
    }

    /// The members of an object, in their order, names as they are written.
    pub fn members(self) -> Vec<(&'a str, Self)> {
        let mut members = Vec::new();
        let Some(inner) = self.0.strip_prefix('{') else { return members };
        let mut rest = Scan(inner);
        while let Some(name) = rest.value() {
            rest.skip(':');
            let Some(value) = rest.value() else { break };
            members.push((name.trim_matches('"'), Self(value)));
            rest.skip(',');
        }
        members
    }

    /// The value at names joined by `.`; none if it is absent or null. The empty path is the value itself.
    pub fn at(self, path: &str) -> Option<Self> {
        let mut value = self;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            value = value.members().into_iter().rev().find(|(key, _)| *key == name)?.1;
        }
        (!matches!(value.0, "" | "null")).then_some(value)
    }

    /// The text at a path: strings unescaped, numbers and booleans as they are written, others as JSON text.
    pub fn text(self, path: &str) -> Option<Cow<'a, str>> {
        let value = self.at(path)?.0;
        Some(match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) if text.contains('\\') => Cow::Owned(unescaped(text)),
            Some(text) => Cow::Borrowed(text),
            None => Cow::Borrowed(value),
        })
    }

    /// The text at a path without white space around it; none if nothing is left.
    pub fn filled(self, path: &str) -> Option<Cow<'a, str>> {
        let text = self.text(path)?;
        match &text {
            Cow::Borrowed(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
            Cow::Owned(text) => {
                Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Cow::Owned(text.to_owned()))
            }
        }
    }
}

/// A reader of JSON that is known to be whole.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn skip(&mut self, mark: char) {
        self.0 = self.0.trim_start();
        self.0 = self.0.strip_prefix(mark).unwrap_or(self.0);
    }

    /// The text of the next value; none at the end of what it is in.
    fn value(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start();
        let length = length(self.0.as_bytes());
        if length == 0 {
            return None;
        }
        let (value, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(value.trim_end())
    }
}

/// How many bytes a value has that a text begins with; 0 if it begins with none.
fn length(text: &[u8]) -> usize {
    let (mut depth, mut in_string, mut at) = (0_u32, false, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => {
                in_string = !in_string;
                if depth == 0 && !in_string {
                    return at + 1;
                }
            }
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 0 => return at,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    if depth == 0 && !in_string { text.len() } else { 0 }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next();
        let mut taken = at + 1 + escape.map_or(0, char::len_utf8);
        match escape {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (character, length) = unicode(&rest[taken..]);
                out.push(character);
                taken += length;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out + rest
}

/// The character of four hexadecimal digits, or of a surrogate pair, and how many bytes it takes.
fn unicode(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xd800..0xdc00).contains(&first)
        && text.get(4..6) == Some("\\u")
        && let Some(second) = unit(6).filter(|unit| (0xdc00..0xe000).contains(unit))
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_every_kind_are_found() {
        let text = r#" {"a": "x\"]},", "b": [1, {"c": null}], "d": {"e": -1.5e3, "f": true}, "g": "", "a b": []} "#;
        let value = Nested::new(text);
        assert_eq!(value.text("a").as_deref(), Some("x\"]},"));
        assert_eq!(value.text("b").as_deref(), Some(r#"[1, {"c": null}]"#));
        assert_eq!((value.text("d.e").as_deref(), value.text("d.f").as_deref()), (Some("-1.5e3"), Some("true")));
        assert_eq!((value.text("g").as_deref(), value.filled("g")), (Some(""), None));
        assert_eq!(value.text("b").map(|list| Nested::new(&list).items().len()), Some(2));
        assert!(value.text("h").is_none() && value.text("d.h").is_none() && value.text("a.b").is_none());
        assert_eq!(value.at("a b").map(|list| list.items().len()), Some(0));
    }

    #[test]
    fn a_single_value_is_a_list_of_one() {
        assert_eq!(Nested::new(r#"{"a":1}"#).items().len(), 1);
        assert_eq!(
            Nested::new("null").items().len() + Nested::new("").items().len() + Nested::new("[]").items().len(),
            0
        );
        assert_eq!(Nested::new("[[1,2],[3]]").items().len(), 2);
    }

    #[test]
    fn escapes_are_undone() {
        let text = |json| Nested::new(json).text("").map(Cow::into_owned);
        assert_eq!(text(r#""a\n\u00e9\ud83d\ude00\/\\b""#).as_deref(), Some("a\né😀/\\b"));
        assert_eq!(text(r#""\ud83d!""#).as_deref(), Some("\u{fffd}!"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", path in ".*") {
            let value = Nested::new(&text);
            let _ = (value.items().len(), value.members().len(), value.text(&path), value.filled(""));
        }

        #[test]
        fn every_string_survives(text in ".*") {
            let json = crate::quoted(&text);
            prop_assert_eq!(Nested::new(&json).text("").map(Cow::into_owned), Some(text));
        }
    }
}
