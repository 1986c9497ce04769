//! A JSON value whose numbers are texts, so that `1234.5` and ids beyond 2^53 are written exactly.

use std::borrow::Cow;

/// A JSON value in document order.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number, written as it stands.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(Cow<'static, str>, Json)>),
}

impl Json {
    /// A text, or null.
    pub(crate) fn text_or_null(value: Option<&str>) -> Self {
        value.map_or(Self::Null, Self::text)
    }

    pub(crate) fn text(value: &str) -> Self {
        Self::Text(value.to_owned())
    }

    pub(crate) fn number(value: impl ToString) -> Self {
        Self::Number(value.to_string())
    }

    /// An object of fixed names.
    pub(crate) fn map<const N: usize>(entries: [(&'static str, Json); N]) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// Replaces (or adds) a member of an object; nothing for any other value.
    pub(crate) fn set(&mut self, name: &'static str, value: Json) {
        if let Self::Map(entries) = self {
            match entries.iter_mut().find(|(key, _)| key == name) {
                Some(entry) => entry.1 = value,
                None => entries.push((Cow::Borrowed(name), value)),
            }
        }
    }

    /// Takes a member out of an object.
    pub(crate) fn drop(&mut self, name: &str) {
        if let Self::Map(entries) = self {
            entries.retain(|(key, _)| key != name);
        }
    }

    /// The compact text.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Appends the compact text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => out.push_str(value),
            Self::Text(value) => quote(value, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (index, (name, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn quote(value: &str, out: &mut String) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if u32::from(other) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
}
