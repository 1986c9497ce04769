//! Names that were probably meant.

use datafusion::common::utils::datafusion_strsim::levenshtein;

/// At most so many are offered.
const OFFERED: usize = 3;

/// The names that resemble `wanted`, the most similar first.
pub(crate) fn nearest(wanted: &str, names: &[String]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let far = (wanted.chars().count() / 3).max(2);
    let mut ranked: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(OFFERED).map(|(_, name)| name.clone()).collect()
}

/// A name that is the other's beginning or end is as near as one with two letters wrong.
fn distance(wanted: &str, name: &str) -> usize {
    let edits = levenshtein(wanted, name);
    let part = wanted.len() >= 4 && (name.starts_with(wanted) || name.ends_with(wanted));
    if part { edits.min(2) } else { edits }
}

/// The hint that offers them.
pub(crate) fn did_you_mean(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("did you mean {last}?"),
        Some((last, rest)) => format!("did you mean {} or {last}?", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_most_similar_comes_first() {
        let tables = names(&["awin.transactions", "awin.programmes", "cj.transactions", "meta.runs"]);
        assert_eq!(nearest("awin.transaction", &tables), names(&["awin.transactions", "cj.transactions"]));
    }

    #[test]
    fn nothing_is_offered_for_what_resembles_nothing() {
        assert!(nearest("x.y", &names(&["awin.transactions"])).is_empty());
    }

    #[test]
    fn a_part_of_a_name_is_enough() {
        assert_eq!(nearest("commission", &names(&["commission_amount", "click_id"])), names(&["commission_amount"]));
    }

    #[test]
    fn several_are_offered_as_a_sentence() {
        assert_eq!(did_you_mean(&names(&["a", "b", "c"])), "did you mean `a`, `b` or `c`?");
        assert_eq!(did_you_mean(&names(&["a"])), "did you mean `a`?");
    }
}
