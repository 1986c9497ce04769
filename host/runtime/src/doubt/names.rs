//! Names of fields that were probably meant by others.

/// At most so many are offered.
const OFFERED: usize = 2;

/// Of `names` those that resemble `path` most: the same letters, the one within the other, or the same last step.
pub(super) fn resembling<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    ranked(path, names).into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

/// The names that resemble `path` most of all, and how much: the less, the more.
pub(super) fn closest<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Option<(usize, Vec<&'a str>)> {
    let ranked = ranked(path, names);
    let (best, _) = *ranked.first()?;
    let names = ranked.into_iter().take_while(|(rank, _)| *rank == best).take(OFFERED).map(|(_, name)| name);
    Some((best, names.collect()))
}

fn ranked<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let mut ranked: Vec<(usize, &str)> = names.filter_map(|name| Some((rank(path, name)?, name))).collect();
    ranked.sort_unstable();
    ranked
}

fn rank(path: &str, name: &str) -> Option<usize> {
    let (old, new) = (letters(path), letters(name));
    let last = |path: &str| letters(path.rsplit('.').next().unwrap_or(path));
    let within = |outer: &str, inner: &str| outer.strip_prefix(inner).is_some_and(|rest| rest.starts_with('.'));
    match () {
        () if old == new => Some(0),
        () if within(path, name) || within(name, path) => Some(1),
        () if last(path) == last(name) => Some(2),
        // `commission` for `commissionAmount`, `commissionAmountValue` for `commissionAmount`.
        () if old.len().min(new.len()) >= 4 && (old.contains(&new) || new.contains(&old)) => Some(3),
        () if old.len() >= 6 && common_prefix(&old, &new) * 3 >= old.len() * 2 => Some(4),
        () => None,
    }
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// A name's letters and digits in lower case.
pub(super) fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_moved_is_found_under_its_new_name() {
        let names = ["id", "commissionAmount", "commissionCurrency", "amended", "Trans ID"];
        assert_eq!(resembling("commissionAmount.amount", names.into_iter())[0], "commissionAmount");
        assert_eq!(resembling("TransID", names.into_iter()), ["Trans ID"]);
        assert!(resembling("advertiser.country", names.into_iter()).is_empty());
    }
}
