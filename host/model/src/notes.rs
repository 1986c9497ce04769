//! Notes: what was odd in a body that was read all the same.

use arrow::array::StringArray;

/// The column of a native table that holds each record's notes.
pub const DECODE_NOTES: &str = "_decode_notes";

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
    /// A name that occurs twice in one object: its last value.
    DuplicateName,
    /// A backslash that begins no escape: kept.
    BadEscape,
    /// An undeclared entity, or an `&` that begins none: its character in HTML, or kept as it is written.
    Entity,
    /// A SOAP reference to nothing, or to an element that encloses it: null.
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

    /// Whether U+FFFD may stand where characters were.
    pub fn replaces_characters(self) -> bool {
        matches!(self, Self::Charset | Self::LoneSurrogate | Self::Nul)
    }

    /// So many values of the kind: `2 values with bytes of another character set`.
    pub fn count(self, values: u64) -> String {
        let noun = if values == 1 { "value" } else { "values" };
        format!("{values} {noun} with {}", self.meaning())
    }

    fn meaning(self) -> &'static str {
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
}

/// How often a kind of oddity occurs in a response, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteCount {
    /// What is odd about them.
    pub kind: NoteKind,
    /// How many values have it.
    pub values: u64,
    /// The first record that has it; none if it only occurs outside of the records.
    pub record: Option<usize>,
    /// The field of that record; empty if it isn't known.
    pub path: String,
}

impl std::fmt::Display for NoteCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind.count(self.values))?;
        match self.record {
            Some(record) if self.path.is_empty() => write!(f, " (first in record {record})"),
            Some(record) => write!(f, " (first in record {record}, `{}`)", self.path),
            None => f.write_str(" (outside of the records)"),
        }
    }
}

/// Records of one response, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSet(Vec<u64>);

impl RecordSet {
    /// Adds a record.
    pub fn insert(&mut self, record: usize) {
        let word = record / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (record % 64);
    }

    /// Whether a record is one of them.
    pub fn contains(&self, record: usize) -> bool {
        self.0.get(record / 64).is_some_and(|word| (word >> (record % 64)) & 1 == 1)
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
    /// Records of which characters may have been replaced. All of them: notes of records are bounded.
    replaced: RecordSet,
}

impl Notes {
    /// Notes of each kind that occurs, once, and of records in their order. `replaced`: the records that have a note of a kind
    /// that [replaces characters](NoteKind::replaces_characters), also those without notes in `records`.
    pub fn new(counts: Vec<NoteCount>, records: Vec<(usize, String)>, replaced: RecordSet) -> Self {
        let is_empty = counts.is_empty() && records.is_empty();
        Self((!is_empty).then(|| Box::new(NoteTable { counts, records, replaced })))
    }

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

    /// Whether characters of a record may have been replaced by U+FFFD while it was read.
    pub fn has_replaced(&self, record: usize) -> bool {
        self.0.as_ref().is_some_and(|found| found.replaced.contains(record))
    }

    /// The notes of `rows` records as a column for [`DECODE_NOTES`]; none if no record has any.
    pub fn column(&self, rows: usize) -> Option<StringArray> {
        let records = &self.0.as_ref()?.records;
        let mut noted = records.iter().peekable();
        let cells = (0..rows).map(|row| noted.next_if(|(record, _)| *record == row).map(|(_, notes)| notes));
        (!records.is_empty()).then(|| cells.collect())
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let texts = |found: &NoteTable| found.records.iter().map(|(_, text)| text.len() + 32).sum::<usize>();
        self.0.as_deref().map_or(0, |found| texts(found) + found.replaced.0.len() * size_of::<u64>())
    }
}

/// How many values of each kind were noted, summed over responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoteTotals([u64; NoteKind::ALL.len()]);

impl NoteTotals {
    /// Adds what was noted of a response.
    pub fn note(&mut self, notes: &Notes) {
        for count in notes.counts() {
            self.0[count.kind as usize] += count.values;
        }
    }
    /// How many values were noted.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each kind that occurs, with the number of its values, in the order of reports.
    pub fn kinds(&self) -> impl Iterator<Item = (NoteKind, u64)> + '_ {
        NoteKind::ALL.into_iter().zip(self.0).filter(|(_, values)| *values > 0)
    }
}

impl std::ops::AddAssign for NoteTotals {
    fn add_assign(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(own, more)| *own += more);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn totals_are_by_kind() {
        let count = |kind, values| NoteCount { kind, values, record: None, path: String::new() };
        let counts = vec![count(NoteKind::Charset, 2), count(NoteKind::NullList, 1)];
        let notes = Notes::new(counts, Vec::new(), RecordSet::default());
        let mut totals = NoteTotals::default();
        totals.note(&notes);
        totals.note(&notes);
        let found: Vec<_> = totals.kinds().map(|(kind, values)| (kind.name(), values)).collect();
        assert_eq!((found, totals.total()), (vec![("charset", 4), ("null-list", 2)], 6));
    }

    #[test]
    fn a_set_of_records_has_those_that_were_added() {
        let mut records = RecordSet::default();
        for record in [200, 3, 64] {
            records.insert(record);
        }
        let found: Vec<usize> = (0..1_000).filter(|record| records.contains(*record)).collect();
        assert_eq!(found, [3, 64, 200]);
    }

    #[test]
    fn the_kinds_are_all_kinds_in_their_order() {
        assert!(NoteKind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
    }
}
