//! What a mapping gives, filled row by row.

use std::collections::BTreeSet;

use crate::bindings::sluice::connector0_1_0::columns::Reject;
use crate::fact::Facts;
use crate::row_check::check;
use crate::row_hash::RowHashes;
use crate::transaction::Columns;
use crate::{
    Body, Mapped, Record, Records, Response, Slice, Status, TimezoneBasis, Transaction, TransactionKind, Window,
};

/// Most unknown status words that it takes of one response.
const MAX_UNKNOWN: usize = 1_000;

/// The kind that a network's own word for it has in it: a bonus or a lead, else a sale.
///
/// ```
/// use sluice_connector::{TransactionKind, kind_in};
/// assert_eq!(kind_in("Commission group Lead"), TransactionKind::Lead);
/// assert_eq!(kind_in(""), TransactionKind::Sale);
/// ```
pub fn kind_in(word: &str) -> TransactionKind {
    let has = |part: &str| word.as_bytes().windows(part.len()).any(|at| at.eq_ignore_ascii_case(part.as_bytes()));
    match () {
        () if has("bonus") => TransactionKind::Bonus,
        () if has("lead") => TransactionKind::Lead,
        () => TransactionKind::Sale,
    }
}

/// The transactions, other facts and rejects of one response.
pub struct Output {
    /// IANA zone of the network's reporting day and of local times; that of the stream unless set.
    pub timezone: String,
    /// How that zone is known.
    pub timezone_basis: TimezoneBasis,
    /// How many records the network states for a planned request and all that follow from it, where the answer does; the
    /// host compares it with those that came.
    pub total: Option<u64>,
    pub(crate) records: Vec<u32>,
    pub(crate) columns: Columns,
    pub(crate) facts: Facts,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) unknown_statuses: BTreeSet<String>,
    /// Records were left out on purpose.
    leaves_out: bool,
    row_hashes: RowHashes,
}

impl Output {
    /// An empty output for about so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            timezone: "UTC".into(),
            timezone_basis: TimezoneBasis::Declared,
            total: None,
            records: Vec::with_capacity(rows),
            columns: Columns::default(),
            facts: Facts::default(),
            rejects: Vec::new(),
            unknown_statuses: BTreeSet::new(),
            leaves_out: false,
            row_hashes: RowHashes::default(),
        }
    }

    /// What `map` makes of one record that has these fields out of so many inputs; for native tests. Of a field that is
    /// given twice the first counts.
    pub fn of_one(
        inputs: usize,
        fields: &[(usize, &str)],
        map: impl Fn(Record, &mut Self) -> Result<(), String>,
    ) -> Mapped {
        let mut out = Self::with_capacity(1);
        out.map_each(&Records::of_one(inputs, fields), map);
        out.into_mapped()
    }

    /// The same for a `map` that also sees the slice, of an account with these settings, and the response: 200 without a
    /// body.
    pub fn of_one_answer(
        inputs: usize,
        fields: &[(usize, &str)],
        settings: &[(&str, &str)],
        map: impl Fn(&Slice, &Response, Record, &mut Self) -> Result<(), String>,
    ) -> Mapped {
        let slice = Slice {
            stream: "transactions".to_owned(),
            account: "main".to_owned(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            window: Window { since: 0, until: 0, local_since: 0, local_until: 0 },
            axis: "transaction".to_owned(),
            cursor: None,
        };
        let look_up = |_: &str| None;
        let response = Response::new(200, &[], Some(1), Body::Bytes(b"", &look_up));
        Self::of_one(inputs, fields, |record, out| map(&slice, &response, record, out))
    }

    /// Maps every record; one for which `map` fails becomes a reject with that reason.
    pub fn map_each(&mut self, records: &Records, map: impl Fn(Record, &mut Self) -> Result<(), String>) {
        for record in records {
            if let Err(reason) = map(record, self) {
                self.reject(record, reason);
            }
        }
    }

    /// Adds a transaction of a record.
    ///
    /// A row that the contract doesn't take becomes a reject, so that it costs the other rows nothing: without id or
    /// time, with an id of more than 1,024 bytes, a transaction outside of the years 1900 to 2200, or a currency of more
    /// than 100 bytes. Other times outside of these years are left out. A currency is given as the network writes it: the
    /// host knows the codes of ISO 4217 in any case, and keeps and marks what is none.
    pub fn push(&mut self, record: Record, row: &Transaction) {
        if let Err(reason) = check(row) {
            return self.reject(record, reason);
        }
        self.records.push(record.index() as u32);
        self.columns.push(row);
    }

    /// Adds a record that can't be mapped.
    pub fn reject(&mut self, record: Record, reason: impl Into<String>) {
        self.rejects.push(Reject { record: record.index() as u32, reason: reason.into() });
    }

    /// Leaves out a record on purpose: it is no transaction, as the payout among a list's sales. The native table has it.
    ///
    /// A record of which a mapping gives nothing is one that got lost: a response without transactions is refused by the host
    /// unless other facts or rejects name each of its records, or records were left out.
    pub fn leave_out(&mut self) {
        self.leaves_out = true;
    }

    /// An id for a row to which the network gives none ([`crate::IdBasis::RowHash`]): a hash of its `parts`, another one
    /// for each further row of the response with the same parts.
    ///
    /// The parts are what makes the row this one and never changes: a part that changes makes it another transaction,
    /// and its money counts twice. Give amounts and times as numbers: `8.0` and `8.00` are one amount, not two parts.
    pub fn row_hash(&mut self, parts: &[&str]) -> String {
        self.row_hashes.next(parts)
    }

    /// What a status word means by the network's list. One that isn't in it is [`Status::UNKNOWN`] and is reported to the host.
    pub fn status(&mut self, words: &'static [Status], word: Option<&str>) -> Status {
        let known = word.and_then(|word| Status::find(words, word)).copied();
        if let (Some(word), None) = (word, known) {
            self.unknown_status(word);
        }
        known.unwrap_or(Status::UNKNOWN)
    }

    /// Reports a status word that the connector doesn't know to the host, the first thousand of them.
    pub fn unknown_status(&mut self, word: &str) {
        if self.unknown_statuses.len() < MAX_UNKNOWN && !self.unknown_statuses.contains(word) {
            self.unknown_statuses.insert(word.into());
        }
    }

    /// The contract's form, for native use: tests and the bench.
    pub fn into_mapped(self) -> Mapped {
        let facts = self.facts.finish(&self.timezone, self.timezone_basis);
        Mapped {
            facts,
            transactions: (self.leaves_out || !self.records.is_empty())
                .then(|| self.columns.finish(self.records, self.timezone, self.timezone_basis)),
            rejects: self.rejects,
            unknown_statuses: self.unknown_statuses.into_iter().collect(),
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_bounded() {
        let mut output = Output::with_capacity(0);
        (0..3 * MAX_UNKNOWN).for_each(|n| output.unknown_status(&n.to_string()));
        assert_eq!(output.unknown_statuses.len(), MAX_UNKNOWN);
    }
}
