//! What the responses of one slice report of each transaction: one that two of them report differently has changed while
//! pages were read, or its id isn't one. Within a response such rows are rejects already.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sluice_lake::{Prepared, TransactionState};

use crate::doubt::{Doubt, DoubtKind};
use crate::memory::{ByteLimit, HeldBytes};

/// Transactions for which a slice takes memory at once.
const STEP: usize = 1024;
/// Bytes of a transaction: a map has up to eight places for three, and both maps while it grows.
const OF_TRANSACTION: usize = 4 * size_of::<(u64, Known)>();

/// A transaction as the response that was received last reports it. Sixty-four bits of its hashes tell it from others.
#[derive(Clone, Copy, Debug)]
struct Known {
    content: u64,
    money: u64,
    commission: Option<i64>,
    modified_at: Option<i64>,
    received_at: i64,
    /// The listing that gave it.
    listing: Option<usize>,
}

/// Transactions that are reported twice, differently.
#[derive(Debug, Default)]
struct Differences {
    count: u64,
    /// One of them.
    example: String,
}

impl Differences {
    fn note(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.example.is_empty() {
            self.example = example();
        }
    }

    fn transactions(&self) -> String {
        if self.count == 1 { "1 transaction is".to_owned() } else { format!("{} transactions are", self.count) }
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// What a slice's responses report of each transaction.
#[derive(Debug, Default)]
pub(super) struct Contents {
    known: HashMap<u64, Known, BuildHasherDefault<KeyHasher>>,
    /// The later response has a newer state, or one of the same money.
    changed: Differences,
    /// Nothing says which state is the newer one, or the later response has the older one.
    conflicting: Differences,
    /// Memory for the transactions that are remembered.
    held: Vec<HeldBytes>,
    /// There was no memory for all of them: further ones are compared with these only.
    is_full: bool,
}

impl Contents {
    /// Compares a response of a listing with those before, and remembers it. Gives how many of its records are in another
    /// response of the listing: they don't stand for further ones.
    pub(super) fn add(&mut self, answer: &Prepared, listing: Option<usize>, limit: &ByteLimit) -> u64 {
        let received_at = answer.origin().received_at.timestamp_micros();
        let states = answer.states();
        // Of a record with several transactions each is there again.
        let is_repeated = |state: &TransactionState<'_>| {
            // Truncation is meant.
            self.known.get(&(state.key as u64)).is_some_and(|known| known.listing == listing)
        };
        let mut repeated: Vec<u32> =
            states.iter().filter(|state| is_repeated(state)).map(|state| state.record).collect();
        repeated.sort_unstable();
        repeated.dedup();
        for state in states {
            self.add_state(&state, received_at, listing, limit);
        }
        repeated.len() as u64
    }

    /// Whether there is memory for one more.
    fn has_room(&mut self, limit: &ByteLimit) -> bool {
        if self.known.len() == self.held.len() * STEP {
            self.held.extend(limit.hold(STEP * OF_TRANSACTION));
        }
        self.known.len() < self.held.len() * STEP
    }

    fn add_state(&mut self, state: &TransactionState<'_>, received_at: i64, listing: Option<usize>, limit: &ByteLimit) {
        // Truncation is meant: both are hashes.
        let (key, content) = (state.key as u64, (state.content >> 64) as u64 ^ state.content as u64);
        let commission = state.commission.and_then(|amount| i64::try_from(amount).ok());
        let now =
            Known { content, money: state.money, commission, modified_at: state.modified_at, received_at, listing };
        let Some(known) = self.known.get_mut(&key) else {
            if self.has_room(limit) {
                self.known.insert(key, now);
            } else {
                self.is_full = true;
            }
            return;
        };
        if known.content == content {
            return;
        }
        let (earlier, later) = if known.received_at <= received_at { (*known, now) } else { (now, *known) };
        *known = later;
        if is_plausible(&earlier, &later) {
            self.changed.note(|| state.id.chars().take(100).collect())
        } else {
            self.conflicting.note(|| {
                let id: String = state.id.chars().take(100).collect();
                format!("`{id}` with commissions {} and {}", money(earlier.commission), money(later.commission))
            })
        }
    }

    pub(super) fn doubt(&self) -> Option<Doubt> {
        let Differences { count, example } = &self.conflicting;
        (*count > 0).then(|| Doubt {
            kind: DoubtKind::Conflict,
            field: None,
            reason: format!(
                "{} in two responses with different contents, and no later date of change says which counts: {example}. \
                 Where the network's ids aren't unique, `\"doubt\": {{\"conflict\": false}}` lets the response that came last count",
                self.conflicting.transactions()
            ),
        })
    }

    /// What people should know of transactions that aren't doubted.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if self.changed.count > 0 {
            texts.push(format!(
                "{} in two responses with different contents, as `{}`: the state that came last counts",
                self.changed.transactions(),
                self.changed.example
            ));
        }
        if self.is_full {
            texts.push(format!(
                "only {} transactions were looked for in several responses: more don't fit into a sixteenth of memory_mb",
                self.known.len()
            ));
        }
        texts
    }
}

/// Whether a transaction may have changed between two responses: the later one has a newer state, or none that is older
/// and the same money.
fn is_plausible(earlier: &Known, later: &Known) -> bool {
    match earlier.modified_at.zip(later.modified_at) {
        Some((before, after)) if before != after => before < after,
        _ => earlier.money == later.money,
    }
}

fn money(amount: Option<i64>) -> String {
    amount.map_or_else(|| "none".to_owned(), |amount| format!("{:.2}", amount as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn state(content: u128, money: u64, modified_at: Option<i64>) -> TransactionState<'static> {
        TransactionState { key: 7, id: "X-7", content, money, commission: Some(5_000_000), record: 0, modified_at }
    }

    /// The conflicts and the changes of two responses that come in this order.
    fn found(first: (TransactionState<'_>, i64), second: (TransactionState<'_>, i64)) -> (u64, u64) {
        let mut contents = Contents::default();
        let limit = ByteLimit::new(usize::MAX);
        contents.add_state(&first.0, first.1, None, &limit);
        contents.add_state(&second.0, second.1, None, &limit);
        (contents.conflicting.count, contents.changed.count)
    }

    #[test]
    fn the_same_twice_is_no_difference() {
        assert_eq!(found((state(1, 1, None), 0), (state(1, 1, None), 1)), (0, 0));
    }

    #[test]
    fn other_money_is_a_conflict_unless_a_date_of_change_explains_it() {
        assert_eq!(found((state(1, 1, None), 0), (state(2, 2, None), 1)), (1, 0));
        assert_eq!(found((state(1, 1, Some(10)), 0), (state(2, 2, Some(10)), 1)), (1, 0));
        assert_eq!(found((state(1, 1, Some(10)), 0), (state(2, 2, Some(20)), 1)), (0, 1));
        assert_eq!(found((state(2, 2, Some(20)), 1), (state(1, 1, Some(10)), 0)), (0, 1), "mapped in the other order");
    }

    #[test]
    fn an_older_state_that_comes_later_is_a_conflict() {
        assert_eq!(found((state(1, 1, Some(20)), 0), (state(2, 1, Some(10)), 1)), (1, 0));
    }

    #[test]
    fn another_content_of_the_same_money_is_a_change() {
        assert_eq!(found((state(1, 1, None), 0), (state(2, 1, None), 1)), (0, 1));
    }

    #[test]
    fn a_conflict_names_the_id_and_both_commissions() {
        let mut contents = Contents::default();
        let limit = ByteLimit::new(usize::MAX);
        contents.add_state(&state(1, 1, None), 0, None, &limit);
        contents.add_state(&TransactionState { commission: None, ..state(2, 2, None) }, 1, None, &limit);
        let doubt = contents.doubt().unwrap();
        assert!(doubt.reason.contains("`X-7` with commissions 5.00 and none. "), "{}", doubt.reason);
    }

    #[test]
    fn what_does_not_fit_is_not_compared_and_said() {
        let limit = ByteLimit::new(2 * STEP * OF_TRANSACTION);
        let mut contents = Contents::default();
        let of = |key: usize, content| TransactionState { key: key as u128, ..state(content, content as u64, None) };
        for key in 0..2 * STEP {
            contents.add_state(&of(key, 1), 0, None, &limit);
        }
        assert!(contents.warnings().is_empty() && !limit.take(1));
        contents.add_state(&of(2 * STEP, 1), 0, None, &limit);
        contents.add_state(&of(2 * STEP, 2), 1, None, &limit);
        contents.add_state(&of(0, 2), 1, None, &limit);
        assert_eq!((contents.conflicting.count, contents.warnings().len()), (1, 1));
        drop(contents);
        assert!(limit.take(limit.most()), "all of it is free again");
    }
}
