//! How much the writers of tables gather and keep.

/// How much the writer of tables gathers and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitterOptions {
    /// Rows in memory at which they are written.
    pub flush_rows: usize,
    /// Bytes in memory at which rows are written.
    pub flush_bytes: usize,
    /// The longest time for which rows wait to be written.
    pub max_wait: std::time::Duration,
    /// How long tables that follow others, like the latest state, may be behind while rows keep coming. They are up to
    /// date when a run ends.
    pub max_lag: std::time::Duration,
    /// Keys of one table that are kept in memory from one flush to the next, 64 to 230 bytes each.
    pub index_keys: usize,
    /// Keys of all tables together that are.
    pub all_keys: usize,
    /// Columns that the fields of one native table get. Further fields share one column.
    pub columns_per_table: usize,
}

/// The default of [`CommitterOptions::columns_per_table`].
pub(crate) const COLUMNS_PER_TABLE: usize = 2_000;

impl Default for CommitterOptions {
    fn default() -> Self {
        Self {
            flush_rows: 96 * 1024,
            flush_bytes: 64 << 20,
            max_wait: std::time::Duration::from_secs(60),
            max_lag: std::time::Duration::from_secs(2),
            index_keys: 256 * 1024,
            all_keys: 512 * 1024,
            columns_per_table: COLUMNS_PER_TABLE,
        }
    }
}
