//! What the writer of a table keeps in memory from one flush to the next.

use super::Appender;

impl Appender {
    /// How many keys its index keeps.
    pub(crate) fn keys(&self) -> usize {
        self.index.keys()
    }

    /// How many prefixes of keys it keeps of files that it wrote.
    pub(crate) fn key_prefixes(&self) -> usize {
        self.index.key_prefixes()
    }

    /// Forgets what is known of keys.
    pub(crate) fn forget(&mut self) {
        self.index.clear();
    }

    /// Forgets the prefixes of keys. Their files' filters are asked instead.
    pub(crate) fn forget_key_prefixes(&mut self) {
        self.index.forget_key_prefixes();
    }
}
