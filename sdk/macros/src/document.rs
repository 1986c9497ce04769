//! A TOML document whose mistakes name their line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.line, self.text)
    }
}

/// The result of reading a part of the file.
pub(crate) type Read<T> = Result<T, Mistake>;

/// A mistake in a line.
pub(crate) fn mistake<T>(line: usize, text: impl Into<String>) -> Read<T> {
    Err(Mistake { line, text: text.into() })
}

/// The line of a place in a text, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// A text with its line.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A table, whose keys are taken out one by one: what nobody asks for is a mistake.
pub(crate) struct Section<'a> {
    document: &'a str,
    /// How a mistake names it.
    name: String,
    pub(crate) line: usize,
    entries: Vec<(String, Value<'a>)>,
    asked: RefCell<BTreeSet<String>>,
}

/// A value with its line.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    document: &'a str,
    pub(crate) line: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(crate) fn root(document: &'a str, table: &'a DeTable<'a>) -> Self {
        Self::of(document, "the file", 1, table)
    }

    fn of(document: &'a str, name: &str, line: usize, table: &'a DeTable<'a>) -> Self {
        let mut entries: Vec<(usize, String, Value<'a>)> = table
            .iter()
            .map(|(key, value)| (key.span().start, key.get_ref().to_string(), Value::of(document, key, value)))
            .collect();
        // As they stand in the file.
        entries.sort_by_key(|(at, ..)| *at);
        let entries = entries.into_iter().map(|(_, key, value)| (key, value)).collect();
        Self { document, name: name.to_owned(), line, entries, asked: RefCell::default() }
    }

    pub(crate) fn value(&self, key: &str) -> Option<Value<'a>> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&self, key: &str) -> Read<Value<'a>> {
        let missing = || Mistake { line: self.line, text: format!("{} has no `{key}`", self.name) };
        self.value(key).ok_or_else(missing)
    }

    pub(crate) fn text(&self, key: &str) -> Read<Option<Text>> {
        self.value(key).map(|value| value.text(key)).transpose()
    }

    pub(crate) fn number(&self, key: &str) -> Read<Option<u32>> {
        self.value(key).map(|value| value.number(key)).transpose()
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Read<bool> {
        let Some(value) = self.value(key) else { return Ok(default) };
        match value.value.as_bool() {
            Some(flag) => Ok(flag),
            None => mistake(value.line, format!("`{key}` must be true or false")),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub(crate) fn texts(&self, key: &str) -> Read<Vec<Text>> {
        self.value(key).map_or(Ok(Vec::new()), |value| value.texts(key))
    }

    pub(crate) fn section(&self, key: &str) -> Read<Option<Section<'a>>> {
        self.value(key).map(|value| value.section(key)).transpose()
    }

    /// An array of tables.
    pub(crate) fn sections(&self, key: &str) -> Read<Vec<Section<'a>>> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let Some(array) = value.value.as_array() else {
            return mistake(value.line, format!("`{key}` must be a list of tables, as `[[{key}]]` makes"));
        };
        array.iter().map(|element| Value::at(self.document, element).section(key)).collect()
    }

    /// All entries, in their order.
    pub(crate) fn all(&self) -> Vec<(String, Value<'a>)> {
        self.asked.borrow_mut().extend(self.entries.iter().map(|(key, _)| key.clone()));
        self.entries.clone()
    }

    /// A mistake if there is a key that nobody asked for.
    pub(crate) fn finish(&self) -> Read<()> {
        let asked = self.asked.borrow();
        match self.entries.iter().find(|(key, _)| !asked.contains(key)) {
            Some((key, value)) => {
                let known: Vec<&str> = asked.iter().map(String::as_str).collect();
                mistake(value.line, format!("{} has no key `{key}`; it has {}", self.name, known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

impl<'a> Value<'a> {
    fn of(document: &'a str, key: &'a Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { document, line: line_of(document, key.span().start), value: value.get_ref() }
    }

    fn at(document: &'a str, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { document, line: line_of(document, value.span().start), value: value.get_ref() }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<Text> {
        self.value.as_str().map(|text| Text { text: text.to_owned(), line: self.line })
    }

    pub(crate) fn text(&self, key: &str) -> Read<Text> {
        match self.as_text() {
            Some(text) => Ok(text),
            None => mistake(self.line, format!("`{key}` must be a text")),
        }
    }

    pub(crate) fn number(&self, key: &str) -> Read<u32> {
        let number = self.value.as_integer().and_then(|number| number.as_str().replace('_', "").parse().ok());
        match number {
            Some(number) => Ok(number),
            None => mistake(self.line, format!("`{key}` must be a whole number")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Read<Vec<Text>> {
        match self.value.as_array() {
            Some(array) => array.iter().map(|element| Self::at(self.document, element).text(key)).collect(),
            None => Ok(vec![self.text(key)?]),
        }
    }

    pub(crate) fn section(&self, key: &str) -> Read<Section<'a>> {
        match self.value.as_table() {
            Some(table) => Ok(Section::of(self.document, &format!("`{key}`"), self.line, table)),
            None => mistake(self.line, format!("`{key}` must be a table")),
        }
    }
}
