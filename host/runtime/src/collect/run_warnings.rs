//! Warnings that a network or a connector can cause as often as it likes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_model::Slice;

/// How many lines of a kind a run logs.
const MAX_LINES: usize = 20;
/// The longest beginning of a word that is logged, in characters.
const MAX_CHARS: usize = 100;

/// What a warning is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum WarningKind {
    UnknownStatus,
    Doubtful,
    Agreed,
    UnreadResponse,
}

/// The kinds, with what the lines beyond the limit are called.
const KINDS: [(WarningKind, &str); 4] = [
    (WarningKind::UnknownStatus, "unknown status words"),
    (WarningKind::Doubtful, "doubtful slices"),
    (WarningKind::Agreed, "slices that are accepted because another read agrees"),
    (WarningKind::UnreadResponse, "kept responses that can't be read"),
];

/// The warnings of one run: twenty lines of each kind, and their number at the end. A network can cause a thousand with
/// each answer.
#[derive(Debug, Default)]
pub struct RunWarnings([Mutex<Warned>; KINDS.len()]);

#[derive(Debug, Default)]
struct Warned {
    lines: BTreeSet<String>,
    /// How many came beyond these.
    more: u64,
}

impl RunWarnings {
    /// Whether a warning is logged: it is new, and one of the first twenty. Else it is counted, unless it was logged.
    pub(super) fn admits(&self, kind: WarningKind, line: &str) -> bool {
        let mut warned = self.of(kind);
        if warned.lines.contains(line) {
            return false;
        }
        if warned.lines.len() == MAX_LINES {
            warned.more += 1;
            return false;
        }
        warned.lines.insert(line.to_owned())
    }

    /// Warns of what is new among the unknown status words of a response.
    pub fn unknown_statuses(&self, slice: &Slice, words: &[String]) {
        for word in words {
            let shown: String = word.chars().take(MAX_CHARS).collect();
            if self.admits(WarningKind::UnknownStatus, &shown) {
                tracing::warn!(network = slice.network, account = slice.account, status = shown, "unknown status word");
            }
        }
    }

    fn of(&self, kind: WarningKind) -> MutexGuard<'_, Warned> {
        self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunWarnings {
    fn drop(&mut self) {
        for (kind, what) in KINDS {
            let more = self.of(kind).more;
            if more > 0 {
                tracing::warn!(more, "further {what}");
            }
        }
    }
}

/// The most sentences that are held of a run's answers, those that are first in their order; further ones are counted.
const MAX_HELD: usize = 1_000;
/// Of these so many are shown.
const MAX_SHOWN: usize = 20;
/// The most bytes of one.
const MAX_SENTENCE_BYTES: usize = 1 << 10;

/// What people should know of answers that aren't doubted, one sentence each: every response can bring some.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    held: BTreeSet<String>,
    more: usize,
}

impl Sentences {
    pub(super) fn add(&mut self, mut sentence: String) {
        sentence.truncate(sentence.floor_char_boundary(MAX_SENTENCE_BYTES));
        if self.held.insert(sentence) && self.held.len() > MAX_HELD {
            self.held.pop_last();
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, sentences: impl IntoIterator<Item = String>) {
        sentences.into_iter().for_each(|sentence| self.add(sentence));
    }

    /// The first, and how many more there are.
    pub(super) fn shown(&self) -> Vec<String> {
        let mut shown: Vec<String> = self.held.iter().take(MAX_SHOWN).cloned().collect();
        let more = self.more + self.held.len() - shown.len();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        shown
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
        let warnings = RunWarnings::default();
        let thousand: Vec<String> = (0..1_000).map(|n| format!("{n}{}", "x".repeat(1_000))).collect();
        warnings.unknown_statuses(&slice, &thousand);
        warnings.unknown_statuses(&slice, &thousand[..30]);
        let warned = warnings.of(WarningKind::UnknownStatus);
        assert_eq!((warned.lines.len(), warned.more), (20, 990));
        assert!(warned.lines.iter().all(|word| word.chars().count() == MAX_CHARS));
    }

    #[test]
    fn of_many_sentences_a_thousand_are_held_and_the_first_are_shown() {
        let mut sentences = Sentences::default();
        sentences.extend((0..20_000).rev().map(|n| format!("{n:05}{}", "x".repeat(10_000))));
        sentences.add("00001".to_owned() + &"x".repeat(10_000));
        assert_eq!((sentences.held.len(), sentences.more), (MAX_HELD, 20_000 - MAX_HELD));
        assert!(sentences.held.iter().all(|sentence| sentence.len() == MAX_SENTENCE_BYTES));
        let shown = sentences.shown();
        assert!(shown[0].starts_with("00000x") && shown[19].starts_with("00019x"), "{shown:?}");
        assert_eq!((shown.len(), shown[20].as_str()), (21, "and 19980 more"));
        sentences = Sentences::default();
        sentences.add("one".to_owned());
        assert_eq!(sentences.shown(), ["one"]);
    }

    #[test]
    fn each_kind_has_its_own_twenty() {
        let warnings = RunWarnings::default();
        for (at, (kind, _)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert!((0..20).all(|n| warnings.admits(kind, &n.to_string())));
            assert!(!warnings.admits(kind, "one more"));
            assert_eq!(warnings.of(kind).more, 1);
        }
    }
}
