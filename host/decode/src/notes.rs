//! Notes: what was odd in a body that was read all the same.

use arrow::array::StringArray;

/// The column of a native table that holds each record's notes.
pub const DECODE_NOTES: &str = "_decode_notes";

/// How many values are noted with their record and field. All others are counted.
const MAX_ENTRIES: usize = 1 << 18;
/// How many fields the notes of one record name.
const MAX_FIELDS_SHOWN: usize = 8;
/// How many characters of a field's path a note shows.
const MAX_PATH_SHOWN: usize = 60;

/// A kind of oddity, and what was made of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// A byte that isn't in the body's character set: read as windows-1252, or U+FFFD.
    Charset,
    /// Half of a surrogate pair: U+FFFD.
    LoneSurrogate,
    /// A NUL: U+FFFD, or left out behind the end.
    Nul,
    /// A control character where the format allows none: kept.
    Control,
    /// `NaN` or `Infinity`: null.
    NotANumber,
    /// A name that stands twice in one object: its last value.
    DuplicateName,
    /// A backslash that begins no escape: kept.
    BadEscape,
    /// An entity that nobody declared, or an `&` that begins none: its character in HTML, or kept as it is written.
    Entity,
    /// A SOAP reference to nothing, or to what it stands in: null.
    Reference,
    /// Null where a list of records is documented, beside lists that are there: no records.
    NullList,
}

impl NoteKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Charset,
        Self::LoneSurrogate,
        Self::Nul,
        Self::Control,
        Self::NotANumber,
        Self::DuplicateName,
        Self::BadEscape,
        Self::Entity,
        Self::Reference,
        Self::NullList,
    ];

    /// The kind in notes of records, in kebab-case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Charset => "charset",
            Self::LoneSurrogate => "lone-surrogate",
            Self::Nul => "nul",
            Self::Control => "control",
            Self::NotANumber => "not-a-number",
            Self::DuplicateName => "duplicate-name",
            Self::BadEscape => "bad-escape",
            Self::Entity => "entity",
            Self::Reference => "reference",
            Self::NullList => "null-list",
        }
    }

    /// The kind in a sentence that begins with a number of values: `2 values with …`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Charset => "bytes of another character set",
            Self::LoneSurrogate => "half of a surrogate pair, read as U+FFFD",
            Self::Nul => "a NUL, read as U+FFFD",
            Self::Control => "a control character, kept",
            Self::NotANumber => "`NaN` or `Infinity`, read as null",
            Self::DuplicateName => "a name that stands twice, the last one kept",
            Self::BadEscape => "a backslash that begins no escape, kept",
            Self::Entity => "an undeclared entity",
            Self::Reference => "a SOAP reference that leads nowhere, read as null",
            Self::NullList => "null instead of a list of records",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Kinds of oddities, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NoteSet(u16);

impl NoteSet {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn insert(&mut self, kind: NoteKind) {
        self.0 |= kind.bit();
    }

    pub(super) fn remove(&mut self, kind: NoteKind) {
        self.0 &= !kind.bit();
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn kinds(self) -> impl Iterator<Item = NoteKind> {
        NoteKind::ALL.into_iter().filter(move |kind| self.0 & kind.bit() != 0)
    }
}

/// How often a kind of oddity occurs in a response, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteCount {
    /// The kind.
    pub kind: NoteKind,
    /// How many values have it.
    pub values: u64,
    /// The first record that has it; none if it only stands outside of the records.
    pub record: Option<usize>,
    /// The field of that record; empty if it isn't known.
    pub path: String,
}

impl std::fmt::Display for NoteCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values = if self.values == 1 { "value" } else { "values" };
        write!(f, "{} {values} with {}", self.values, self.kind.meaning())?;
        match self.record {
            Some(record) if self.path.is_empty() => write!(f, " (first in record {record})"),
            Some(record) => write!(f, " (first in record {record}, `{}`)", self.path),
            None => f.write_str(" (outside of the records)"),
        }
    }
}

/// The notes of one response. Without an oddity they take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(Option<Box<NoteTable>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NoteTable {
    counts: Vec<NoteCount>,
    /// Records and their notes, by record.
    records: Vec<(usize, String)>,
}

impl Notes {
    /// Whether nothing was odd.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Each kind that occurs, once.
    pub fn counts(&self) -> &[NoteCount] {
        self.0.as_ref().map_or(&[], |found| &found.counts)
    }

    /// A record's notes: `path: kind; path: kind`, at most eight fields. None if nothing was odd in it.
    pub fn of_record(&self, record: usize) -> Option<&str> {
        let records = &self.0.as_ref()?.records;
        let at = records.binary_search_by_key(&record, |(record, _)| *record).ok()?;
        records.get(at).map(|(_, notes)| notes.as_str())
    }

    /// The notes of `rows` records as a column for [`DECODE_NOTES`]; none if no record has any.
    pub fn column(&self, rows: usize) -> Option<StringArray> {
        let records = &self.0.as_ref()?.records;
        let mut noted = records.iter().peekable();
        let cells = (0..rows).map(|row| noted.next_if(|(record, _)| *record == row).map(|(_, notes)| notes));
        (!records.is_empty()).then(|| cells.collect())
    }
}

/// What is noted while records are read.
#[derive(Debug, Default)]
pub(super) struct NoteLog {
    /// Record, node of the field, kind.
    entries: Vec<(usize, usize, NoteKind)>,
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
        Notes(Some(Box::new(NoteTable { records: records.collect(), counts })))
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
    fn nothing_odd_is_nothing() {
        let notes = NoteLog::default().finish(|_| String::new());
        assert!(notes.is_empty() && notes.counts().is_empty() && notes.column(3).is_none());
        assert_eq!(size_of::<Notes>(), size_of::<usize>());
    }
}
