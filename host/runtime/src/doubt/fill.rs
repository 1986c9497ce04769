//! Fields that were filled, and aren't any more.
//!
//! The thresholds are chosen so that a field that is legitimately sparse never raises a doubt: fields on which money
//! hangs are doubted from 5 records on that were filled before, others only if the field itself is gone and 20 records
//! had it, or after hundreds of records of many responses.

use sluice_model::{Format, Kinds, Layout};

use super::inputs::{absent, inputs, instead};
use super::observation::{COLUMNS, Observation, SUB_IDS};
use super::profile::{Codes, Fill, Profile};
use super::rules::{Doubts, is_other_type};
use super::{Doubt, DoubtKind, DoubtSettings};

/// Columns on which money hangs, and the transactions that must have had them. By sub-ids a sale is credited to a member, but
/// campaigns without any are more usual than sales without an amount.
const MONEY_COLUMNS: [(usize, u64); 7] = [(0, 5), (1, 5), (2, 10), (3, 10), (4, 10), (5, 10), (SUB_IDS, 20)];
/// Columns that are doubted if most records lack them, not only nearly all.
const COMMISSION: [usize; 2] = [0, 1];
/// Transactions that make it known that a column is always filled; where fewer are known, nearly all must lack it.
const WELL_KNOWN: u64 = 20;
/// How many times `min_records` transactions had a commission without exception where one that lacks it is odd.
const VERY_MANY: u64 = 200;
/// The share that must lack it where few are known.
const NEARLY_ALL: f64 = 0.8;
/// Records that must have had a field that is gone, if no money column went with it.
const MIN_EARLIER: u64 = 20;
/// The same for a field that is empty: records, and responses that they came in.
const MANY_EARLIER: (u64, u64) = (500, 20);
/// Records in which it must be empty then.
const MANY_NOW: u64 = 20;
/// Amounts that were never zero before all of them are.
const MIN_NONZERO: u64 = 200;

/// What was usual of a column.
pub(super) fn known(profile: &Profile, column: usize) -> Fill {
    profile.columns.get(COLUMNS[column]).copied().unwrap_or_default()
}

/// How many transactions of an answer have a column.
pub(super) fn now(seen: &Observation, column: usize) -> Fill {
    Fill { of: seen.transactions, filled: seen.columns[column] }
}

/// Columns and inputs that were filled nearly always and no longer are.
pub(super) fn fill(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation, doubts: &mut Doubts) {
    let columns: Vec<usize> = MONEY_COLUMNS
        .iter()
        .filter(|(column, earlier)| lacks(profile, rules, seen, *column, *earlier))
        .map(|c| c.0)
        .collect();
    let paths = missing_paths(profile, layout, rules, seen, !columns.is_empty());
    for path in &paths {
        let known = profile.paths.get(*path).map(|path| path.fill).unwrap_or_default();
        let filled = seen.path(path).map_or(0, |now| now.filled);
        let mut reason = format!(
            "`{path}` is gone from {}; it was filled in {} of {} before",
            of_all(seen.records - filled.min(seen.records), seen.records, "record"),
            known.filled,
            known.of
        );
        reason.push_str(&instead(profile, path, seen));
        doubts.push(Doubt { kind: DoubtKind::Fill, field: Some((*path).to_owned()), reason });
    }
    if paths.is_empty() {
        doubts.extend(columns.iter().map(|column| missing_column(profile, layout, seen, *column)));
    } else if let (Some(first), false) = (doubts.first_mut(), columns.is_empty()) {
        let names: Vec<&str> = columns.iter().map(|column| COLUMNS[*column]).collect();
        first.reason.push_str(&format!("; {} would be null", names.join(", ")));
    }
    if doubts.is_empty() {
        let never = || never_filled(profile, layout, rules, seen).or_else(|| no_currency(profile, layout, rules, seen));
        doubts.extend(all_zero(profile, seen).or_else(never));
    }
}

/// Whether a column that was filled nearly always is empty in most transactions, or in nearly all of them. However few they
/// are, if a commission was never missing in very many.
fn lacks(profile: &Profile, rules: &DoubtSettings, seen: &Observation, column: usize, earlier: u64) -> bool {
    let (known, now) = (known(profile, column), now(seen, column));
    if COMMISSION.contains(&column) && now.of > 0 && now.filled == 0 && known.is_always(VERY_MANY * rules.min_records) {
        return true;
    }
    let least = if column == SUB_IDS { 2 * rules.min_records } else { rules.min_records };
    let share = if known.of >= WELL_KNOWN { rules.share } else { rules.share.max(NEARLY_ALL) };
    let is_missing = if COMMISSION.contains(&column) { now.lacks_more_than(share) } else { now.is_nearly_never() };
    now.of >= least && known.of >= earlier && known.is_nearly_always() && is_missing
}

fn all_zero(profile: &Profile, seen: &Observation) -> Option<Doubt> {
    let (before, now) = (&profile.commission, &seen.commission);
    let was_never_zero = before.count >= MIN_NONZERO && before.zeros * 100 <= before.count;
    (was_never_zero && now.count == 0 && now.zeros >= MANY_NOW).then(|| {
        let reason = format!("commission_amount is zero in all {} transactions", now.zeros);
        Doubt { kind: DoubtKind::Fill, field: Some(COLUMNS[0].to_owned()), reason }
    })
}

/// The first transactions of a stream and account, none of which has a commission: the connector may read a field that
/// isn't there.
fn never_filled(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> Option<Doubt> {
    let before = known(profile, 0);
    let of = before.of + seen.transactions;
    if profile.reported.contains(COLUMNS[0])
        || before.filled > 0
        || seen.columns[0] > 0
        || before.of >= rules.min_records
        || of < rules.min_records
    {
        return None;
    }
    Some(first_without(0, &format!("all {of} transactions"), absent(layout, seen)))
}

/// The first amounts of a stream and account, none of which has a currency: no sum has them.
fn no_currency(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> Option<Doubt> {
    let (before, now) = (known(profile, 0).filled, seen.columns[0]);
    if profile.reported.contains(COLUMNS[1])
        || known(profile, 1).filled > 0
        || seen.columns[1] > 0
        || seen.written_codes > 0
        || now == 0
        || before >= rules.min_records
        || before + now < rules.min_records
    {
        return None;
    }
    let mut meant = absent(layout, seen);
    meant.retain(|(path, _)| path.to_ascii_lowercase().contains("curr"));
    Some(first_without(1, &format!("all {} transactions with an amount", before + now), meant))
}

/// The doubt of a column that none of the first transactions has; `meant`: inputs that aren't there, and what resembles them.
fn first_without(column: usize, those: &str, meant: Vec<(&str, Vec<&str>)>) -> Doubt {
    let name = COLUMNS[column];
    let mut reason = format!("{name} is null in {those}, the first of this account");
    for (path, names) in &meant {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        reason.push_str(&format!("; no record has `{path}`, they have {}", names.join(" and ")));
    }
    let field = meant.first().map_or(name, |(path, _)| path);
    Doubt { kind: DoubtKind::Fill, field: Some(field.to_owned()), reason }
}

/// A column that is null although no input is gone: the connector doesn't understand what it reads.
fn missing_column(profile: &Profile, layout: &Layout, seen: &Observation, column: usize) -> Doubt {
    let (name, known, now) = (COLUMNS[column], known(profile, column), now(seen, column));
    let mut reason = format!(
        "{name} is null in {}; it was filled in {} of {} before",
        of_all(now.of - now.filled.min(now.of), now.of, "transaction"),
        known.filled,
        known.of
    );
    let changed = inputs(layout).filter(|path| {
        let before = profile.paths.get(*path).map_or(0, |path| path.types);
        seen.path(path).is_some_and(|now| is_other_type(before, now.kinds))
    });
    let changed: Vec<String> = changed.map(|path| format!("`{path}`")).collect();
    if !changed.is_empty() {
        reason.push_str(&format!("; the type of {} changed", changed.join(", ")));
    }
    Doubt { kind: DoubtKind::Fill, field: Some(name.to_owned()), reason }
}

/// The inputs of the mapping that were filled nearly always and no longer are. `with_money`: a column of money went too,
/// so that most records are enough.
fn missing_paths<'a>(
    profile: &Profile,
    layout: &'a Layout,
    rules: &DoubtSettings,
    seen: &Observation,
    with_money: bool,
) -> Vec<&'a str> {
    if seen.records < rules.min_records {
        return Vec::new();
    }
    let is_missing = |path: &&str| {
        let Some(known) = profile.paths.get(*path).map(|known| known.fill) else { return false };
        if !known.is_nearly_always() {
            return false;
        }
        let now = Fill { of: seen.records, filled: seen.path(path).map_or(0, |now| now.filled) };
        let (many, responses) = MANY_EARLIER;
        (with_money && known.of >= rules.min_records && now.lacks_more_than(rules.share))
            || now.is_nearly_never()
                && ((is_gone(seen, path, layout) && known.of >= MIN_EARLIER)
                    || (known.of >= many && profile.responses >= responses && seen.records >= MANY_NOW))
    };
    inputs(layout).filter(is_missing).collect()
}

/// The inputs that nearly all records had, however few there were, and most of an answer don't have.
pub(super) fn gone_inputs<'a>(
    profile: &Profile,
    layout: &'a Layout,
    rules: &DoubtSettings,
    seen: &Observation,
) -> Vec<&'a str> {
    let is_gone = |path: &&str| {
        let now = || Fill { of: seen.records, filled: seen.path(path).map_or(0, |now| now.filled) };
        let known = profile.paths.get(*path).map(|known| known.fill).unwrap_or_default();
        known.is_nearly_always() && now().lacks_more_than(rules.share)
    };
    inputs(layout).filter(is_gone).collect()
}

/// Whether neither a field nor the object that it was in is in any record. (Networks leave out members of objects that
/// have no value; a member that is null is there. XML leaves out elements.)
fn is_gone(seen: &Observation, path: &str, layout: &Layout) -> bool {
    let has = |path: &str| seen.path(path).is_some_and(|seen| seen.filled > 0 || seen.kinds != Kinds::default());
    match layout.format {
        Format::Json(_) | Format::Ndjson => {}
        // Every row has a text in each column of its header, if only an empty one.
        Format::Delimited(_) => return !has(path),
        Format::Xml(_) | Format::Opaque => return false,
    }
    let Some((parent, _)) = path.rsplit_once('.') else { return !has(path) };
    let inside = format!("{parent}.");
    !has(parent) && !seen.paths.iter().any(|other| other.path.starts_with(&inside) && has(&other.path))
}

/// Whether an answer has too few records, or its profile does, to tell alone.
fn is_few(profile: &Profile, rules: &DoubtSettings, seen: &Observation) -> bool {
    let least = rules.min_records;
    seen.transactions > 0 && (seen.transactions < least || profile.transactions < least)
}

/// Whether an answer of few records lacks what was always there, or is odd throughout.
pub fn judge_few(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> bool {
    let lacks = |column: usize| seen.columns[column] == 0 && known(profile, column).is_nearly_always();
    let is_sparse = || {
        MONEY_COLUMNS.iter().any(|(column, _)| lacks(*column))
            || gone_inputs(profile, layout, rules, seen).iter().any(|path| is_gone(seen, path, layout))
    };
    is_few(profile, rules, seen)
        && (judge_few_money(profile, rules, seen) || (rules.has(DoubtKind::Fill) && is_sparse()))
}

/// The same of a commission, of currencies and of status words: so much hangs on these that the answers that are odd are
/// judged apart from the others of their run.
pub fn judge_few_money(profile: &Profile, rules: &DoubtSettings, seen: &Observation) -> bool {
    let lacks = |column: &usize| seen.columns[*column] == 0 && known(profile, *column).is_nearly_always();
    let is_other = |known: &Codes, found: &Codes| {
        !known.is_empty() && !found.is_empty() && found.keys().all(|code| !known.contains_key(code))
    };
    let other_currency =
        || is_other(&profile.currencies, &seen.currencies) || is_other(&profile.sale_currencies, &seen.sale_currencies);
    let no_status = seen.unknown_statuses == seen.transactions && profile.statuses.is_nearly_always();
    is_few(profile, rules, seen)
        && ((rules.has(DoubtKind::Fill) && COMMISSION.iter().any(lacks))
            || (rules.has(DoubtKind::Currency) && other_currency())
            || (rules.has(DoubtKind::Status) && no_status))
}

/// `all 10 records`, `9 of 10 records`, or `the only record`.
pub(super) fn of_all(count: u64, of: u64, noun: &str) -> String {
    match (count, of) {
        (1, 1) => format!("the only {noun}"),
        _ if count == of => format!("all {of} {noun}s"),
        _ => format!("{count} of {of} {noun}s"),
    }
}
