//! What is replaced in which kind of text.

use std::sync::Arc;

use serde_json::Value;
use sluice_fetch::Erased;
use sluice_lake::{Replace, Substitutes};

use super::raw::RawErasure;

/// Replaces values in texts.
pub(super) struct Texts {
    erased: Arc<Erased>,
    words: Arc<Erased>,
}

impl Texts {
    pub(super) fn new(erased: Arc<Erased>) -> Self {
        Self { words: Arc::new(erased.without_numbers()), erased }
    }

    pub(super) fn erased(&self) -> &Erased {
        &self.erased
    }

    /// What is replaced in tables.
    pub(super) fn substitutes(&self, raw: &RawErasure) -> Substitutes {
        let (values, words) = (self.erased.clone(), self.words.clone());
        Substitutes {
            values: Box::new(move |text| values.replaced_text(text)),
            words: Box::new(move |text| words.replaced_text(text)),
            documents: self.documents(),
            names: raw.names.clone(),
            salt: uuid::Uuid::now_v7().as_u128(),
            native: raw.native.clone(),
        }
    }

    /// Replaces values in JSON, in its texts and not in its numbers, which are counts and amounts; and in any other text.
    pub(super) fn documents(&self) -> Replace {
        let erased = self.erased.clone();
        Box::new(move |text| replaced(&erased, text))
    }

    /// The same, and names of what has changed with them.
    pub(super) fn with_names(&self, substitutes: &Substitutes) -> Replace {
        let (documents, names) = (self.documents(), substitutes.names.clone());
        Box::new(move |text| {
            let replaced = documents(text);
            let renamed = sluice_lake::renamed(replaced.as_deref().unwrap_or(text), &names);
            renamed.or(replaced)
        })
    }
}

/// A text with stand-ins; none if it holds no value.
pub(super) fn replaced(erased: &Erased, text: &str) -> Option<String> {
    if !text.starts_with(['{', '[', '"']) {
        return erased.replaced_text(text);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return erased.replaced_text(text) };
    replace_in(erased, &mut value).then(|| value.to_string())
}

/// Replaces values in the texts of JSON, and returns whether there were any.
fn replace_in(erased: &Erased, value: &mut Value) -> bool {
    match value {
        Value::String(text) => match replaced(erased, text) {
            Some(other) => {
                *text = other;
                true
            }
            None => false,
        },
        Value::Array(items) => items.iter_mut().filter_map(|item| replace_in(erased, item).then_some(())).count() > 0,
        Value::Object(members) => {
            let mut any = false;
            for (name, mut member) in std::mem::take(members) {
                let other = replaced(erased, &name);
                any |= replace_in(erased, &mut member) || other.is_some();
                members.insert(other.unwrap_or(name), member);
            }
            any
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Secret;

    use super::*;

    #[test]
    fn texts_of_json_are_replaced_and_numbers_are_not() {
        let mut erased = Erased::new(Secret::new("key".to_owned()), Vec::new());
        let value = erased.value("12345").unwrap();
        erased.add(value.clone());
        let other = &value.stand_in;
        for (text, wanted) in [
            (r#"{"a":[12345,"12345"],"n":0.1}"#, format!(r#"{{"a":[12345,"{other}"],"n":0.1}}"#)),
            (r#"{"12345":{"x":"{\"y\":\"12345\"}"}}"#, format!(r#"{{"{other}":{{"x":"{{\"y\":\"{other}\"}}"}}}}"#)),
            ("order 12345", format!("order {other}")),
        ] {
            assert_eq!(replaced(&erased, text), Some(wanted), "{text}");
        }
        assert_eq!(replaced(&erased, r#"{"a":12345}"#), None);
    }
}
