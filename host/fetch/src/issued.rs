//! The values that a network gave as an account's tokens: all of them are masked.

use std::collections::{BTreeMap, VecDeque};

use sluice_model::Secret;

/// Values of one source that stay masked after they are replaced: responses to earlier requests may still arrive.
const REMEMBERED_VALUES: usize = 4;
/// Of these so many may be in use: a token, and a refresh token.
const IN_USE: usize = 2;
/// The most bytes of all: the search for a byte takes a thousand while it is made, and each response is searched for all.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The last values of each source, newest first.
#[derive(Default)]
pub(crate) struct IssuedTokens(BTreeMap<String, VecDeque<Secret>>);

impl IssuedTokens {
    /// Whether there is room for the values of these sources beside those of the others that may be in use.
    pub(crate) fn have_room<'a>(&self, values: impl Iterator<Item = (&'a String, &'a Secret)> + Clone) -> bool {
        let others = self.0.iter().filter(|(name, _)| !values.clone().any(|(new, _)| new == *name));
        let others: usize = others.map(|(_, known)| bytes(known.iter().take(IN_USE))).sum();
        others + bytes(values.map(|(_, value)| value)) <= MAX_TOKEN_BYTES
    }

    /// Adds values; whether one of them is new. Of those that were replaced the first are forgotten if all have too many
    /// bytes.
    pub(crate) fn add<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, Secret)>) -> bool {
        let mut is_changed = false;
        for (name, value) in values {
            let values = self.0.entry(name.to_owned()).or_default();
            if !values.contains(&value) {
                values.push_front(value);
                values.truncate(REMEMBERED_VALUES);
                is_changed = true;
            }
        }
        while bytes(self.values()) > MAX_TOKEN_BYTES {
            let replaced = self.0.values_mut().filter(|values| values.len() > IN_USE);
            let Some(values) = replaced.max_by_key(|values| values.len()) else { break };
            values.pop_back();
        }
        is_changed
    }

    /// All values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Secret> {
        self.0.values().flatten()
    }
}

fn bytes<'a>(values: impl Iterator<Item = &'a Secret>) -> usize {
    values.map(|value| value.expose().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: usize, filling: &str) -> Secret {
        Secret::new(filling.repeat(bytes))
    }

    #[test]
    fn tokens_of_all_sources_have_a_limit_together() {
        let mut issued = IssuedTokens::default();
        let fits = |issued: &IssuedTokens, name: &str, bytes: usize| {
            let values = BTreeMap::from([(name.to_owned(), secret(bytes, "x"))]);
            issued.have_room(values.iter())
        };
        assert!(fits(&issued, "a", MAX_TOKEN_BYTES) && !fits(&issued, "a", MAX_TOKEN_BYTES + 1));
        issued.add([("a", secret(10_000, "a"))]);
        assert!(fits(&issued, "b", MAX_TOKEN_BYTES - 10_000) && !fits(&issued, "b", MAX_TOKEN_BYTES - 9_999));
        assert!(fits(&issued, "a", MAX_TOKEN_BYTES), "it takes the other one's place");
    }

    #[test]
    fn what_was_replaced_is_forgotten_before_there_is_too_much() {
        let mut issued = IssuedTokens::default();
        for filling in ["1", "2", "3", "4", "5"] {
            assert!(issued.add([("short", secret(8, filling)), ("long", secret(5_000, filling))]));
        }
        let firsts = |bytes: usize| {
            let of_length = issued.values().filter(move |value| value.expose().len() == bytes);
            of_length.map(|value| value.expose()[..1].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(firsts(5_000), ["5", "4", "3"]);
        assert!(firsts(8).starts_with(&["5".to_owned(), "4".to_owned()]));
        assert!(!issued.add([("short", secret(8, "5"))]));
    }
}
