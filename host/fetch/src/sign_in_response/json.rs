//! Reads one value of a JSON text, and its shape, without a tree of the rest.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Names of an object's members that are shown.
const SHOWN_NAMES: usize = 8;

/// The text, number or boolean at a JSON Pointer (RFC 6901); none if there is none, or the text isn't JSON.
pub(super) fn json_text(body: &[u8], pointer: &str) -> Option<String> {
    let names: Vec<String> =
        pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = At(&names).deserialize(&mut json).ok()?;
    json.end().ok()?;
    value
}

/// Reads the value at a path of names and numbers.
struct At<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl At<'_> {
    fn scalar(&self, text: impl ToString) -> Option<String> {
        self.0.is_empty().then(|| text.to_string())
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.scalar(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = match self.0.split_first() {
            Some((first, rest)) => (first.parse::<usize>().ok(), rest),
            None => (None, self.0),
        };
        let (mut place, mut found) = (0, None);
        loop {
            if wanted == Some(place) {
                let Some(value) = items.next_element_seed(At(rest))? else { break };
                found = value;
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
            place += 1;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            match self.0.split_first() {
                Some((first, rest)) if *first == name => found = members.next_value_seed(At(rest))?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// What a JSON text is, without its values.
pub(super) enum JsonShape {
    /// The first names.
    Object(Vec<String>),
    /// The number of items.
    Array(usize),
    Scalar,
}

impl<'de> Deserialize<'de> for JsonShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = JsonShape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_unit<E: Error>(self) -> Result<JsonShape, E> {
        Ok(JsonShape::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonShape, A::Error> {
        let mut count = 0;
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(JsonShape::Array(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<JsonShape, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            if names.len() < SHOWN_NAMES {
                names.push(name);
            }
        }
        Ok(JsonShape::Object(names))
    }
}
