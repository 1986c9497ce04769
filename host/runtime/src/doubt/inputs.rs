//! The inputs of a mapping, and the names that there are in their place.

use std::collections::HashSet;

use sluice_model::Layout;

use super::MIN_RECORDS;
use super::names::{closest, letters, resembling};
use super::observation::{COLUMNS, Observation};
use super::profile::Profile;

/// How many of [`COLUMNS`] are amounts and their currencies.
const MONEY: usize = 4;
/// Records from which on inputs are named that none has, whatever they are called. Windows overlap, so the same few are read
/// again and again, and count each time.
const MANY_RECORDS: u64 = 200;
/// Names that are shown at most.
const SHOWN_NAMES: usize = 12;

/// The paths that the mapping reads or that identify a record, each once.
pub(super) fn inputs(layout: &Layout) -> impl Iterator<Item = &str> {
    let keys = layout.key.iter().filter(|key| !layout.inputs.contains(key));
    layout.inputs.iter().chain(keys).map(String::as_str)
}

/// New fields that may have taken a field's place, as the end of a sentence.
pub(super) fn instead(profile: &Profile, path: &str, seen: &Observation) -> String {
    let is_new = |name: &str| profile.paths.get(name).is_none_or(|known| known.fill.filled == 0);
    let new = seen.paths.iter().filter(|now| now.filled > 0 && is_new(&now.path)).map(|now| &*now.path);
    let named: Vec<String> = resembling(path, new).into_iter().map(|name| format!("`{name}`")).collect();
    match &named[..] {
        [] => String::new(),
        [one] => format!("; {one} is new"),
        more => format!("; {} are new", more.join(" and ")),
    }
}

/// The inputs that no record of an answer has, and the names that there are and nothing reads which resemble them: those that
/// resemble most.
pub(super) fn absent<'a>(layout: &'a Layout, seen: &'a Observation) -> Vec<(&'a str, Vec<&'a str>)> {
    let unread: Vec<&str> = seen
        .paths
        .iter()
        .filter(|path| path.filled > 0 && !inputs(layout).any(|input| *input == *path.path))
        .map(|path| &*path.path)
        .collect();
    let is_absent = |path: &&str| seen.path(path).is_none_or(|path| path.filled == 0);
    let found =
        inputs(layout).filter(is_absent).filter_map(|path| Some((path, closest(path, unread.iter().copied())?)));
    let found: Vec<(&str, (usize, Vec<&str>))> = found.collect();
    let best = found.iter().map(|(_, (rank, _))| *rank).min();
    let closest = found.into_iter().filter(|(_, (rank, _))| Some(*rank) == best);
    closest.map(|(path, (_, names))| (path, names)).collect()
}

/// The inputs and key paths that no record of a stream has ever had and that weren't reported, if that is known now: those
/// that identify a record and those that are there under a similar name, at once.
pub fn unknown_inputs(profile: &Profile, layout: &Layout) -> Vec<String> {
    if profile.records < MIN_RECORDS {
        return Vec::new();
    }
    let mut unknown = never_had(profile, layout).peekable();
    if unknown.peek().is_none() {
        return Vec::new();
    }
    // Once for all: a slice's end isn't the place to write each name in letters for each input.
    let names = profile.paths.keys().map(String::as_str).filter(|path| has(profile, path));
    let unread: Vec<&str> = names.filter(|name| !inputs(layout).any(|input| input == *name)).collect();
    let in_letters: HashSet<String> = unread.iter().map(|name| letters(name)).collect();
    // Where money is missing, a name that only resembles may be the one that is meant.
    let is_missing = |column: &str| profile.columns.get(column).is_some_and(|fill| fill.of > 0 && fill.filled == 0);
    let lacks_money = COLUMNS[..MONEY].iter().any(|column| is_missing(column));
    let is_meant = |path: &str| lacks_money && !resembling(path, unread.iter().copied()).is_empty();
    let named = unknown.filter(|path| {
        layout.key.iter().any(|key| key == path) || in_letters.contains(&letters(path)) || is_meant(path)
    });
    named.map(str::to_owned).collect()
}

/// The others, once there are enough records: many fields are optional, and one of them may be misspelt.
pub fn unseen_inputs(profile: &Profile, layout: &Layout) -> Vec<String> {
    let is_known = profile.records >= MANY_RECORDS;
    never_had(profile, layout).filter(|_| is_known).map(str::to_owned).collect()
}

/// What a person reads of inputs that no record has ever had.
pub fn unseen_text(profile: &Profile, unseen: &[String]) -> String {
    let names: Vec<String> = unseen.iter().take(SHOWN_NAMES).map(|path| format!("`{path}`")).collect();
    let more = unseen.len().saturating_sub(SHOWN_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("none of {} records has {}{more}, which the connector reads too", profile.records, names.join(", "))
}

fn has(profile: &Profile, path: &str) -> bool {
    profile.paths.get(path).is_some_and(|known| known.fill.filled > 0 || known.types != 0)
}

fn never_had<'a>(profile: &Profile, layout: &'a Layout) -> impl Iterator<Item = &'a str> {
    let inside = |path: &str| {
        let inside = format!("{path}.");
        profile.paths.iter().any(|(other, known)| other.starts_with(&inside) && known.fill.filled > 0)
    };
    inputs(layout).filter(move |path| !has(profile, path) && !profile.reported.contains(*path) && !inside(path))
}

/// What a person reads of an input that no record has.
pub fn unknown_input(profile: &Profile, layout: &Layout, path: &str) -> String {
    let names: Vec<&str> =
        profile.paths.iter().filter(|(_, p)| p.fill.filled > 0).map(|(name, _)| name.as_str()).collect();
    let meant = resembling(path, names.iter().copied().filter(|name| !inputs(layout).any(|input| input == *name)));
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let there = match &meant[..] {
        [] => format!("they have {}", quoted(&names[..names.len().min(SHOWN_NAMES)])),
        meant => format!("they have {}", quoted(meant)),
    };
    let what = if layout.key.iter().any(|key| key == path) { "identifies records by" } else { "reads" };
    format!("the connector {what} `{path}`, which none of {} records has; {there}", profile.records)
}
