//! What is noted while records are read, for [`Notes`].

use sluice_model::RecordSet;
pub use sluice_model::{NoteCount, NoteKind, Notes};

/// How many values are noted with their record and field. All others are counted, and records of which characters were replaced
/// are known.
const MAX_ENTRIES: usize = 1 << 18;
/// How many fields the notes of one record name.
const MAX_FIELDS_SHOWN: usize = 8;
/// How many characters of a field's path a note shows.
const MAX_PATH_SHOWN: usize = 60;

/// Kinds of oddities, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NoteSet(u16);

impl NoteSet {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn insert(&mut self, kind: NoteKind) {
        self.0 |= bit(kind);
    }

    pub(super) fn remove(&mut self, kind: NoteKind) {
        self.0 &= !bit(kind);
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn kinds(self) -> impl Iterator<Item = NoteKind> {
        NoteKind::ALL.into_iter().filter(move |kind| self.0 & bit(*kind) != 0)
    }
}

fn bit(kind: NoteKind) -> u16 {
    1 << kind as u16
}

/// What is noted while records are read.
#[derive(Debug, Default)]
pub(super) struct NoteLog {
    /// Record, node of the field, kind.
    entries: Vec<(usize, usize, NoteKind)>,
    /// Records of which characters were replaced.
    replaced: RecordSet,
    /// By kind: how many values, and the record and field of the first.
    tallies: [Tally; NoteKind::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    values: u64,
    first: Option<(usize, usize)>,
}

impl NoteLog {
    /// Notes one value of a record. Records may come in any order.
    pub(super) fn note(&mut self, record: usize, node: usize, kind: NoteKind) {
        let tally = &mut self.tallies[kind as usize];
        tally.values += 1;
        if tally.first.is_none_or(|(first, _)| record < first) {
            tally.first = Some((record, node));
        }
        if kind.replaces_characters() {
            self.replaced.insert(record);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push((record, node, kind));
        }
    }

    /// Notes so many values outside of the records.
    pub(super) fn note_outside(&mut self, kind: NoteKind, values: u64) {
        self.tallies[kind as usize].values += values;
    }

    /// The notes, given the paths of nodes.
    pub(super) fn finish(mut self, path: impl Fn(usize) -> String) -> Notes {
        let path = |node| shortened(path(node));
        let count = |kind: NoteKind| {
            let Tally { values, first } = self.tallies[kind as usize];
            let (record, path) = (first.map(|(record, _)| record), first.map(|(_, node)| path(node)));
            NoteCount { kind, values, record, path: path.unwrap_or_default() }
        };
        let counts: Vec<_> = NoteKind::ALL.into_iter().map(count).filter(|count| count.values > 0).collect();
        if counts.is_empty() {
            return Notes::default();
        }
        self.entries.sort_unstable();
        self.entries.dedup();
        let records = self.entries.chunk_by(|one, next| one.0 == next.0);
        let records = records.map(|entries| (entries.first().map_or(0, |(record, ..)| *record), shown(entries, path)));
        Notes::new(counts, records.collect(), self.replaced)
    }
}

/// The notes of one record.
fn shown(entries: &[(usize, usize, NoteKind)], path: impl Fn(usize) -> String) -> String {
    let note = |(_, node, kind): &(usize, usize, NoteKind)| match path(*node) {
        path if path.is_empty() => kind.name().to_owned(),
        path => format!("{path}: {}", kind.name()),
    };
    let mut notes: Vec<String> = entries.iter().take(MAX_FIELDS_SHOWN).map(note).collect();
    if entries.len() > MAX_FIELDS_SHOWN {
        notes.push(format!("and {} more", entries.len() - MAX_FIELDS_SHOWN));
    }
    notes.join("; ")
}

fn shortened(path: String) -> String {
    match path.char_indices().nth(MAX_PATH_SHOWN) {
        Some((end, _)) => path.get(..end).map(|path| format!("{path}…")).unwrap_or_default(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use arrow::array::Array;

    use super::*;

    #[test]
    fn notes_of_a_record_name_its_fields() {
        let mut log = NoteLog::default();
        log.note(7, 1, NoteKind::Nul);
        log.note(2, 2, NoteKind::NotANumber);
        log.note(7, 1, NoteKind::Nul);
        log.note(7, 0, NoteKind::Charset);
        let notes = log.finish(|node| ["", "a.b", "sum"][node].to_owned());
        assert_eq!(notes.of_record(2), Some("sum: not-a-number"));
        assert_eq!(notes.of_record(7), Some("charset; a.b: nul"));
        assert_eq!(notes.of_record(3), None);
        let column = notes.column(9).unwrap();
        assert_eq!((column.len(), column.null_count(), column.value(7)), (9, 7, "charset; a.b: nul"));
    }

    #[test]
    fn kinds_are_counted_with_their_first_place() {
        let mut log = NoteLog::default();
        log.note(7, 1, NoteKind::Nul);
        log.note(2, 2, NoteKind::Nul);
        log.note_outside(NoteKind::Charset, 3);
        let notes = log.finish(|node| format!("field {node}"));
        let lines: Vec<String> = notes.counts().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "3 values with bytes of another character set (outside of the records)",
                "2 values with a NUL, read as U+FFFD (first in record 2, `field 2`)",
            ]
        );
    }

    #[test]
    fn many_notes_and_long_paths_are_shortened() {
        let mut log = NoteLog::default();
        (0..10).for_each(|node| log.note(0, node, NoteKind::Control));
        let notes = log.finish(|_| "x".repeat(100));
        let text = notes.of_record(0).unwrap();
        assert!(text.starts_with(&format!("{}…: control; ", "x".repeat(60))) && text.ends_with("; and 2 more"));
    }

    #[test]
    fn replaced_characters_are_known_beyond_the_notes_that_are_shown() {
        let mut log = NoteLog::default();
        (0..MAX_FIELDS_SHOWN).for_each(|node| log.note(0, node, NoteKind::Control));
        log.note(0, MAX_FIELDS_SHOWN, NoteKind::Nul);
        (0..MAX_ENTRIES).for_each(|_| log.note(1, 0, NoteKind::Control));
        log.note(2, 0, NoteKind::Charset);
        let notes = log.finish(|_| "x".to_owned());
        assert!(notes.of_record(0).is_some_and(|text| !text.contains("nul")) && notes.of_record(2).is_none());
        assert_eq!([0, 1, 2, 3].map(|record| notes.has_replaced(record)), [true, false, true, false]);
    }

    #[test]
    fn nothing_odd_is_nothing() {
        let notes = NoteLog::default().finish(|_| String::new());
        assert!(notes.is_empty() && notes.counts().is_empty() && notes.column(3).is_none());
        assert_eq!(size_of::<Notes>(), size_of::<usize>());
    }
}
