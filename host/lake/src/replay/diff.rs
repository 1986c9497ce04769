//! What would change, row by row and field by field.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch, StringArray, new_null_array};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sluice_model::Fact;

use super::money::{Money, MoneyKey};
use crate::error::Error;

/// Examples that are kept of anything.
const EXAMPLES: usize = 3;
/// Characters of a value in an example.
const EXAMPLE_CHARS: usize = 100;

/// What a candidate would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Responses that were mapped.
    pub responses: u64,
    /// Transactions that would come, go or change.
    pub transactions: FactDiff,
    /// Facts of other kinds, as far as there are any.
    pub facts: BTreeMap<Fact, FactDiff>,
    /// Records that the candidate rejects and that weren't rejected.
    pub new_rejects: Rejects,
    /// Records that were rejected and that the candidate maps.
    pub gone_rejects: Rejects,
    /// Status words that the candidate doesn't know, and in how many responses.
    pub unknown_statuses: BTreeMap<String, u64>,
    /// Native records by stream.
    pub native: BTreeMap<String, NativeDiff>,
}

/// What a candidate would change of transactions, or of facts of another kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactDiff {
    /// Facts whose latest state was compared.
    pub compared: u64,
    /// Facts whose latest state comes from responses outside the selection, or from no response: not compared.
    pub outside: u64,
    /// Facts that the candidate gives and the lake lacks.
    pub added: Rows,
    /// Facts that the lake holds from these responses and the candidate no longer gives.
    pub removed: Rows,
    /// Facts that the candidate gives otherwise.
    pub changed: Rows,
    /// The columns that changed, by name.
    pub fields: BTreeMap<String, FieldDiff>,
    /// Amounts before and after, of transactions their commission; none of programmes, which have no amount.
    pub money: BTreeMap<MoneyKey, Money>,
    /// Absolute differences of amounts, fact by fact, in millionths by currency.
    pub moved: BTreeMap<Option<String>, i128>,
}

/// Transactions or other facts, and a few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// Account and id of a few.
    pub examples: Vec<(String, String)>,
}

/// A column that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldDiff {
    /// In how many rows.
    pub count: u64,
    /// A few of them.
    pub examples: Vec<FieldExample>,
}

/// One value that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldExample {
    /// The operator's name for the account.
    pub account: String,
    /// The network's id of the transaction or other fact.
    pub id: String,
    /// In the lake.
    pub before: Option<String>,
    /// As the candidate gives it.
    pub after: Option<String>,
}

/// Rejected records, and a few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejects {
    /// How many.
    pub count: u64,
    /// A few of them.
    pub examples: Vec<RejectExample>,
}

/// One rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectExample {
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// The operator's name for the account.
    pub account: String,
    /// Digest of the response's body.
    pub raw_object: String,
    /// Its place in the response, from 0; -1: the whole response.
    pub record_index: i64,
    /// Why.
    pub reason: String,
}

/// Native records of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeDiff {
    /// Records whose latest reading was compared.
    pub compared: u64,
    /// Records that the table lacks.
    pub added: u64,
    /// Records that are read otherwise.
    pub changed: u64,
    /// Records of the table that are no longer found.
    pub removed: u64,
}

impl Rows {
    pub(super) fn note(&mut self, account: &str, id: &str) {
        if self.examples.len() < EXAMPLES {
            self.examples.push((account.to_owned(), id.to_owned()));
        }
    }

    /// Whether a further example is wanted.
    pub(super) fn wants_more(&self) -> bool {
        self.examples.len() < EXAMPLES
    }
}

impl Rejects {
    pub(super) fn add(&mut self, reject: impl FnOnce() -> RejectExample) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(reject());
        }
    }
}

impl Diff {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.transactions.rows() == 0
            && self.new_rejects.count == 0
            && self.gone_rejects.count == 0
            && self.facts.values().all(|facts| facts.rows() == 0)
            && self.native.values().all(|native| native.added + native.changed + native.removed == 0)
    }

    /// Forgets columns that only differed for a while.
    pub(super) fn drop_equal_fields(&mut self) {
        for facts in std::iter::once(&mut self.transactions).chain(self.facts.values_mut()) {
            facts.fields.retain(|_, field| field.count > 0);
        }
    }
}

impl FactDiff {
    /// Facts that would change, come or go.
    pub fn rows(&self) -> u64 {
        self.added.count + self.removed.count + self.changed.count
    }

    /// Counts the columns of one changed fact, by their places.
    pub(super) fn count_fields(&mut self, fact: Fact, places: u64) {
        for (place, field) in fact.mapped_schema().fields().iter().enumerate() {
            if places & 1_u64.wrapping_shl(place as u32) != 0 {
                self.fields.entry(field.name().clone()).or_default().count += 1;
            }
        }
    }
}

/// The mapped columns in which rows of the lake and the same rows as the candidate maps them differ, as a set of places
/// for each row. Keeps a few as examples.
pub(super) fn compare(
    fact: Fact,
    table: &str,
    (before, after): (&RecordBatch, &RecordBatch),
    changed: &mut Rows,
    fields: &mut BTreeMap<String, FieldDiff>,
) -> Result<Vec<u64>, Error> {
    let failed = |source| Error::rows(table, source);
    let names = [texts(table, after, "account")?, texts(table, after, fact.id())?];
    for row in 0..after.num_rows() {
        changed.note(names[0].value(row), names[1].value(row));
    }
    let options = FormatOptions::default();
    let mut differing = vec![0_u64; after.num_rows()];
    for (place, field) in fact.mapped_schema().fields().iter().enumerate() {
        let Some(new) = after.column_by_name(field.name()) else { continue };
        // Files of an earlier release lack the columns that came since.
        let old = before.column_by_name(field.name()).cloned();
        let old = &old.unwrap_or_else(|| new_null_array(new.data_type(), before.num_rows()));
        if old == new {
            continue;
        }
        let texts = [old, new].map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let [old_texts, new_texts] = texts;
        let (old_texts, new_texts) = (old_texts.map_err(failed)?, new_texts.map_err(failed)?);
        for row in (0..after.num_rows()).filter(|row| old.slice(*row, 1) != new.slice(*row, 1)) {
            differing[row] |= 1_u64.wrapping_shl(place as u32);
            let examples = &mut fields.entry(field.name().clone()).or_default().examples;
            if examples.len() < EXAMPLES {
                let text = |column: &dyn Array, texts: &ArrayFormatter<'_>| {
                    column.is_valid(row).then(|| texts.value(row).to_string().chars().take(EXAMPLE_CHARS).collect())
                };
                examples.push(FieldExample {
                    account: names[0].value(row).to_owned(),
                    id: names[1].value(row).to_owned(),
                    before: text(old, &old_texts),
                    after: text(new, &new_texts),
                });
            }
        }
    }
    Ok(differing)
}

pub(super) fn texts<'a>(table: &str, rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Error> {
    let column = rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::Column {
        table: table.to_owned(),
        column: name.to_owned(),
        found: "something else".to_owned(),
        expected: "text".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_differ_are_bits_of_a_u64() {
        for fact in Fact::ALL {
            assert!(fact.mapped_schema().fields().len() <= 64, "{fact:?}");
        }
    }
}
