//! What is counted of a run.

use std::ops::AddAssign;

use sluice_model::NoteTotals;

use crate::append::Causes;

/// What went through a ledger, and what was new of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were mapped.
    pub native_rows: u64,
    /// Records that were new or had changed.
    pub native_written: u64,
    /// Of the records that were written, those with fields in the column that further fields share.
    pub beyond_columns: u64,
    /// Unified transactions that were mapped.
    pub transactions: u64,
    /// Unified transactions that were new or had changed.
    pub new_versions: u64,
    /// Facts of other kinds that were mapped.
    pub facts: u64,
    /// Facts of other kinds that were new or had changed.
    pub new_facts: u64,
    /// Records that could not be mapped.
    pub rejects: u64,
    /// Values that were odd and were read all the same.
    pub notes: NoteTotals,
    /// Unified transactions that say something else than the tables, and are older: nothing of them was written.
    pub older: u64,
    /// Why there are new versions.
    pub causes: Causes,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.native_rows += more.native_rows;
        self.native_written += more.native_written;
        self.beyond_columns += more.beyond_columns;
        self.transactions += more.transactions;
        self.new_versions += more.new_versions;
        self.facts += more.facts;
        self.new_facts += more.new_facts;
        self.rejects += more.rejects;
        self.notes += more.notes;
        self.older += more.older;
        self.causes += more.causes;
    }
}
