//! Warnings of status words that a connector doesn't know.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sluice_model::Slice;

/// How many words a run warns of by name.
const MAX_WORDS: usize = 20;
/// The longest beginning of a word that is logged, in characters.
const MAX_CHARS: usize = 100;

/// The words of one run: a line for each, twenty at most, and their number at the end. A network can send a thousand of
/// them in each answer.
#[derive(Debug, Default)]
pub struct UnknownWords(Mutex<Warned>);

#[derive(Debug, Default)]
struct Warned {
    words: BTreeSet<String>,
    /// How often a further word came.
    more: u64,
}

impl UnknownWords {
    /// Warns of what is new among the words of a response.
    pub fn warn(&self, slice: &Slice, words: &[String]) {
        if words.is_empty() {
            return;
        }
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for word in words {
            let shown: String = word.chars().take(MAX_CHARS).collect();
            if warned.words.contains(&shown) {
                continue;
            }
            if warned.words.len() == MAX_WORDS {
                warned.more += 1;
                continue;
            }
            tracing::warn!(network = slice.network, account = slice.account, status = shown, "unknown status word");
            warned.words.insert(shown);
        }
    }
}

impl Drop for UnknownWords {
    fn drop(&mut self) {
        let warned = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if warned.more > 0 {
            tracing::warn!(more = warned.more, "further unknown status words");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_words_are_named_and_the_rest_is_counted() {
        let slice = Slice {
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            settings: Vec::new(),
            window: sluice_model::Window { since: chrono::DateTime::UNIX_EPOCH, until: chrono::DateTime::UNIX_EPOCH },
            timezone: chrono_tz::UTC,
            axis: sluice_model::Axis::Modified,
            cursor: None,
        };
        let words = UnknownWords::default();
        let thousand: Vec<String> = (0..1_000).map(|n| format!("{n}{}", "x".repeat(1_000))).collect();
        words.warn(&slice, &thousand);
        words.warn(&slice, &thousand[..30]);
        let warned = words.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!((warned.words.len(), warned.more), (20, 990));
        assert!(warned.words.iter().all(|word| word.chars().count() == MAX_CHARS));
    }
}
