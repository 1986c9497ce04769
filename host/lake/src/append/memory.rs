//! What the writer of a table keeps in memory from one flush to the next.

use super::Appender;

impl Appender {
    /// How many keys its index keeps.
    pub(crate) fn keys(&self) -> usize {
        self.index.keys()
    }

    /// How many halves of keys it keeps of files that it wrote.
    pub(crate) fn halves(&self) -> usize {
        self.index.halves()
    }

    /// Forgets what is known of keys.
    pub(crate) fn forget(&mut self) {
        self.index.clear();
    }

    /// Forgets the halves of keys. Their files' filters are asked instead.
    pub(crate) fn forget_halves(&mut self) {
        self.index.forget_halves();
    }
}
