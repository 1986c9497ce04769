//! What a connector may not do with a body.

use sluice_engine::{Connector, DecodedResponse, Error, TrapReason};
use sluice_model::{Mapped, NativeBatch, Verdict};

use crate::answer::Sample;

/// Most bodies that are tried to make a finding small.
const MOST_TRIES: usize = 600;
/// The same for one that takes the whole time of a call.
const MOST_SLOW_TRIES: usize = 8;

/// Kinds that the search acts upon.
const TIME_OUT: &str = "time-out";
const NOT_DETERMINISTIC: &str = "not-deterministic";

/// What a connector does that it may not.
pub(super) struct Problem {
    /// As [`super::FuzzFinding::kind`].
    pub(super) kind: &'static str,
    /// What the host reports.
    pub(super) text: String,
    /// The same for the same mistake, whatever the values are on which it is made.
    pub(super) key: String,
}

impl Problem {
    /// What the connector does wrong with an answer, as the host decodes it, has it judged and mapped. To refuse an answer, or
    /// to have it sent again, is right.
    pub(super) fn of(connector: &Connector, sample: &Sample) -> Option<Self> {
        let Sample { slice, request, .. } = sample;
        let DecodedResponse { response, decoded, .. } = sample.read(connector);
        let verdict = match connector.follow(slice, request, &response) {
            Ok(judgement) => judgement.verdict,
            Err(error) => return Self::of_error(&error),
        };
        let decoded = decoded.filter(|_| matches!(verdict, Verdict::Done | Verdict::More(_)))?;
        let map = || connector.map(slice, request, &response, decoded.clone());
        match (map(), map()) {
            (Ok(first), Ok(second)) => {
                let text = "its rows aren't the same when the same bytes are mapped again";
                (!is_same(&first, &second)).then(|| Self::new(NOT_DETERMINISTIC, text.to_owned()))
            }
            (Err(error), Err(_)) => Self::of_error(&error),
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => {
                let found = Self::of_error(&error);
                let text = found.map_or_else(|| error.to_string(), |found| found.text);
                Some(Self::new(NOT_DETERMINISTIC, format!("once it maps the same bytes, and once it doesn't: {text}")))
            }
        }
    }

    /// None for an error that is an answer like others.
    fn of_error(error: &Error) -> Option<Self> {
        let kind = match error {
            Error::Refused { .. } | Error::Decode(_) | Error::Unanswered { .. } => return None,
            Error::Trapped { reason: TrapReason::Deadline { .. }, .. } => TIME_OUT,
            Error::Trapped { reason: TrapReason::Memory { .. }, .. } => "memory",
            Error::Trapped { reason: TrapReason::OutputTooLarge { .. }, .. } => "large-result",
            Error::Trapped { .. } => "trap",
            Error::Malformed { .. } => "refused-result",
            Error::Unsteady { .. } => NOT_DETERMINISTIC,
            _ => "host",
        };
        Some(Self::new(kind, error.to_string()))
    }

    fn new(kind: &'static str, text: String) -> Self {
        let key = format!("{kind} {}", without_values(&text));
        Self { kind, text, key }
    }

    /// How often it may be tried again.
    pub(super) fn most_tries(&self) -> usize {
        match self.kind {
            TIME_OUT => MOST_SLOW_TRIES,
            NOT_DETERMINISTIC => 0,
            _ => MOST_TRIES,
        }
    }

    /// Whether nothing else can be tried: a connector that isn't the same twice is mapped no more.
    pub(super) fn is_final(&self) -> bool {
        self.kind == NOT_DETERMINISTIC
    }
}

fn is_same(first: &Mapped, second: &Mapped) -> bool {
    first.transactions == second.transactions
        && first.facts == second.facts
        && first.rejects == second.rejects
        && first.unknown_statuses == second.unknown_statuses
        && first.total == second.total
        && is_same_batch(&first.native, &second.native)
}

fn is_same_batch(first: &NativeBatch, second: &NativeBatch) -> bool {
    let mut pairs = first.columns.iter().zip(&second.columns);
    first.rows == second.rows
        && first.columns.len() == second.columns.len()
        && pairs.all(|(one, other)| one.path == other.path && one.text == other.text)
}

/// A text without what differs from body to body: what follows the place of a panic, quoted texts, numbers.
fn without_values(text: &str) -> String {
    if let Some((before, panic)) = text.split_once("panicked at ") {
        let place = panic.split_once(": ").map_or(panic, |(place, _)| place);
        return format!("{before}panicked at {place}");
    }
    let mut out = String::with_capacity(text.len());
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::RecordBatch;
    use sluice_model::unified::Fact;

    use super::*;

    #[test]
    fn other_facts_are_no_same_rows() {
        let payments = RecordBatch::new_empty(Fact::Payments.mapped_schema());
        let with = |facts| Mapped { facts, ..Mapped::default() };
        let (none, some) = (with(BTreeMap::new()), with(BTreeMap::from([(Fact::Payments, payments)])));
        assert!(is_same(&some, &some.clone()) && !is_same(&none, &some));
    }

    #[test]
    fn one_mistake_has_one_key_whatever_the_values_are() {
        let key = |text: &str| Problem::new("trap", text.to_owned()).key;
        assert_eq!(key("row 3 is 99 µs, of \"a 1\""), key("row 17 is 4 µs, of \"b\""));
        assert_ne!(key("row 3 is 99 µs"), key("row 3 has the time basis 7"));
        assert_eq!(key("in `map`: panicked at src/a.rs:7:5: `x`"), key("in `map`: panicked at src/a.rs:7:5: `yz`"));
        assert_ne!(key("in `map`: panicked at src/a.rs:7:5: x"), key("in `map`: panicked at src/a.rs:8:5: x"));
    }
}
