//! The rules that compare an answer with what was usual.
//!
//! The thresholds are chosen so that a field that is legitimately sparse never raises a doubt: fields on which money
//! hangs are doubted from 5 records on that were filled before, others only if the field itself is gone and 20 records
//! had it, or after hundreds of records of many responses.

use sluice_model::{BodyFindings, Format, Kinds, Layout};

use super::names::{letters, resembling};
use super::observation::{COLUMNS, Observation};
use super::profile::{Fill, Magnitude, Profile, class};
use super::{Doubt, DoubtKind, DoubtSettings, MIN_RECORDS};

/// What is doubted of an answer, the most telling first.
pub type Doubts = Vec<Doubt>;

/// Columns on which money hangs, and the transactions that must have had them.
const MONEY_COLUMNS: [(usize, u64); 6] = [(0, 5), (1, 5), (2, 10), (3, 10), (4, 10), (5, 10)];
/// Records that must have had a field of JSON that is gone, if no money column went with it.
const MIN_EARLIER: u64 = 20;
/// The same for a field that is empty: records, and responses that they came in.
const MANY_EARLIER: (u64, u64) = (500, 20);
/// Records in which it must be empty then.
const MANY_NOW: u64 = 20;
/// Transactions that make an account's currencies, sizes and status words known.
const MIN_KNOWN: u64 = 10;
/// Least number of amounts whose size is compared.
const MIN_AMOUNTS: u64 = 10;
/// How many times larger or smaller amounts must be.
const UNIT_FACTOR: f64 = 20.0;
/// Values of a type before it can change: values and responses; and values of another type then.
const MIN_TYPED: (u64, u64, u64) = (50, 3, 10);
/// Responses that make it known how responses end.
const MIN_RESPONSES: u64 = 3;
/// Names that are offered where none resembles.
const SHOWN_NAMES: usize = 12;
/// Amounts that were never zero before all of them are.
const MIN_NONZERO: u64 = 200;

/// What is odd about an answer, compared with the profile of its stream and account.
pub fn judge_response(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> Doubts {
    let mut doubts = Doubts::new();
    if rules.has(DoubtKind::Fill) {
        fill(profile, layout, seen, &mut doubts);
    }
    if rules.has(DoubtKind::Type) {
        types(profile, layout, seen, &mut doubts);
    }
    if rules.has(DoubtKind::Currency) {
        doubts.extend(currency(profile, seen));
    }
    if rules.has(DoubtKind::Unit) {
        doubts.extend(unit("commission_amount", &profile.commission, &seen.commission));
        doubts.extend(unit("sale_amount", &profile.sale, &seen.sale));
    }
    if rules.has(DoubtKind::Status) {
        doubts.extend(status(profile, seen));
    }
    doubts.extend(judge_ending(profile, layout, rules, seen));
    doubts
}

/// Whether an answer is cut, by how it ends: all that is judged of one that isn't mapped.
pub fn judge_ending(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> Option<Doubt> {
    rules.has(DoubtKind::Cut).then(|| cut(profile, layout, seen))?
}

/// Why a text is cut off, whatever is usual.
const CUT: &str = "the text is cut off: its last line has fewer fields than the header, and no line end";

/// Text in lines that may have been cut off, where that was never so: other formats mark their own end.
fn cut(profile: &Profile, layout: &Layout, seen: &Observation) -> Option<Doubt> {
    let is_lines = matches!(layout.format, Format::Delimited(_) | Format::Ndjson);
    let was_so = |fill: Fill| fill.of >= MIN_RESPONSES && fill.is_nearly_always();
    let reason = match () {
        () if is_lines && seen.cut > 0 => CUT,
        () if !is_lines || seen.records == 0 => return None,
        () if seen.open_ended > 0 && was_so(profile.line_ends) => {
            "the last line has no line end, as a text that was cut off; every response had one before"
        }
        () if seen.closed > 0 && was_so(profile.marked_ends) => {
            "the body ends where the connection was closed, and nothing says that it is whole; every response had a \
             length before"
        }
        () => return None,
    };
    Some(Doubt { kind: DoubtKind::Cut, field: None, reason: reason.to_owned() })
}

/// Why a response may be cut or torn, so that it is worth asking for again: a text in lines whose end says nothing else,
/// unless that is usual of its stream and account. None for one that looks whole.
///
/// `closed`: its body ended where the connection was closed; `is_odd`: it isn't encoded as its headers state.
pub fn suspicion(
    profile: &Profile,
    rules: &DoubtSettings,
    findings: &BodyFindings,
    closed: bool,
    is_odd: bool,
) -> Option<&'static str> {
    let is_usual = |fill: Fill| fill.of == 0 || fill.is_nearly_always();
    let is_known = |fill: Fill| fill.of >= MIN_RESPONSES && fill.is_nearly_always();
    match () {
        () if !findings.is_lines || !rules.has(DoubtKind::Cut) => None,
        () if findings.is_torn => Some(CUT),
        () if findings.is_open && is_usual(profile.line_ends) => Some("the last line has no line end"),
        () if findings.torn_rows > 0 && is_usual(profile.whole_rows) => Some("a row has fewer fields than the header"),
        () if closed && (is_odd || is_known(profile.marked_ends)) => {
            Some("the body ends where the connection was closed, and nothing says that it is whole")
        }
        () => None,
    }
}

/// Whether an answer lacks commissions that were always there, and has too few records, or its profile does, to tell
/// alone.
pub fn judge_few(profile: &Profile, rules: &DoubtSettings, seen: &Observation) -> bool {
    let is_few = seen.transactions < MIN_RECORDS || profile.transactions < MIN_RECORDS;
    let lacks = |column: usize| seen.columns[column] == 0 && known(profile, column).is_nearly_always();
    rules.has(DoubtKind::Fill) && is_few && seen.transactions > 0 && (lacks(0) || lacks(1))
}

fn known(profile: &Profile, column: usize) -> Fill {
    profile.columns.get(COLUMNS[column]).copied().unwrap_or_default()
}

/// Columns and inputs that were filled nearly always and are nearly never.
fn fill(profile: &Profile, layout: &Layout, seen: &Observation, doubts: &mut Doubts) {
    let is_missing = |(column, earlier): &(usize, u64)| {
        let (known, now) = (known(profile, *column), Fill { of: seen.transactions, filled: seen.columns[*column] });
        now.of >= MIN_RECORDS && known.of >= *earlier && known.is_nearly_always() && now.is_nearly_never()
    };
    let columns: Vec<usize> = MONEY_COLUMNS.iter().filter(|c| is_missing(c)).map(|(column, _)| *column).collect();
    let paths = missing_paths(profile, layout, seen, !columns.is_empty());
    for path in &paths {
        let known = profile.paths.get(*path).map(|path| path.fill).unwrap_or_default();
        let mut reason = format!(
            "`{path}` is gone from {}; it was filled in {} of {} before",
            all_of(seen.records, "records"),
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
    let (before, now) = (&profile.commission, &seen.commission);
    let was_never_zero = before.count >= MIN_NONZERO && before.zeros * 100 <= before.count;
    if doubts.is_empty() && was_never_zero && now.count == 0 && now.zeros >= MANY_NOW {
        let reason = format!("commission_amount is zero in {}", all_of(now.zeros, "transactions"));
        doubts.push(Doubt { kind: DoubtKind::Fill, field: Some(COLUMNS[0].to_owned()), reason });
    }
}

/// A column that is null although no input is gone: the connector doesn't understand what it reads.
fn missing_column(profile: &Profile, layout: &Layout, seen: &Observation, column: usize) -> Doubt {
    let (name, known) = (COLUMNS[column], known(profile, column));
    let mut reason = format!(
        "{name} is null in {}; it was filled in {} of {} before",
        all_of(seen.transactions, "transactions"),
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

/// The inputs of the mapping that were filled nearly always and are nearly never.
fn missing_paths<'a>(profile: &Profile, layout: &'a Layout, seen: &Observation, with_money: bool) -> Vec<&'a str> {
    if seen.records < MIN_RECORDS {
        return Vec::new();
    }
    let is_json = matches!(layout.format, Format::Json(_) | Format::Ndjson);
    let is_missing = |path: &&str| {
        let Some(known) = profile.paths.get(*path).map(|known| known.fill) else { return false };
        let filled = seen.path(path).map_or(0, |now| now.filled);
        if !known.is_nearly_always() || !(Fill { of: seen.records, filled }).is_nearly_never() {
            return false;
        }
        let is_gone = is_json && is_gone(seen, path);
        let (many, responses) = MANY_EARLIER;
        (with_money && known.of >= MIN_RECORDS)
            || (is_gone && known.of >= MIN_EARLIER)
            || (known.of >= many && profile.responses >= responses && seen.records >= MANY_NOW)
    };
    inputs(layout).filter(is_missing).collect()
}

/// Whether neither a field nor the object that it was in is in any record. (Networks leave out members of objects that
/// have no value; a member that is null is there.)
fn is_gone(seen: &Observation, path: &str) -> bool {
    let has = |path: &str| seen.path(path).is_some_and(|seen| seen.filled > 0 || seen.kinds != Kinds::default());
    let Some((parent, _)) = path.rsplit_once('.') else { return !has(path) };
    let inside = format!("{parent}.");
    !has(parent) && !seen.paths.iter().any(|other| other.path.starts_with(&inside) && has(&other.path))
}

/// The paths that the mapping reads or that identify a record, each once.
fn inputs(layout: &Layout) -> impl Iterator<Item = &str> {
    let keys = layout.key.iter().filter(|key| !layout.inputs.contains(key));
    layout.inputs.iter().chain(keys).map(String::as_str)
}

/// New fields that may have taken a field's place, as the end of a sentence.
fn instead(profile: &Profile, path: &str, seen: &Observation) -> String {
    let is_new = |name: &str| profile.paths.get(name).is_none_or(|known| known.fill.filled == 0);
    let new = seen.paths.iter().filter(|now| now.filled > 0 && is_new(&now.path)).map(|now| now.path.as_str());
    let named: Vec<String> = resembling(path, new).into_iter().map(|name| format!("`{name}`")).collect();
    match &named[..] {
        [] => String::new(),
        [one] => format!("; {one} is new"),
        more => format!("; {} are new", more.join(" and ")),
    }
}

fn is_other_type(before: u8, now: Kinds) -> bool {
    let now = class(now);
    before.count_ones() == 1 && now.count_ones() == 1 && before != now
}

/// Inputs all of whose values have another type than all before.
fn types(profile: &Profile, layout: &Layout, seen: &Observation, doubts: &mut Doubts) {
    let (earlier, responses, now) = MIN_TYPED;
    if profile.responses < responses {
        return;
    }
    for path in inputs(layout) {
        let (Some(known), Some(found)) = (profile.paths.get(path), seen.path(path)) else { continue };
        if known.fill.filled >= earlier && found.filled >= now && is_other_type(known.types, found.kinds) {
            let (before, after) = (type_name(known.types), type_name(class(found.kinds)));
            let reason = format!("the values of `{path}` are {after} in all records; they were {before} before");
            doubts.push(Doubt { kind: DoubtKind::Type, field: Some(path.to_owned()), reason });
        }
    }
}

fn type_name(types: u8) -> &'static str {
    match types {
        1 => "booleans",
        2 => "numbers",
        4 => "text",
        _ => "arrays or objects",
    }
}

/// All transactions in currencies that the account never had.
fn currency(profile: &Profile, seen: &Observation) -> Option<Doubt> {
    let (before, now) = (profile.currencies.values().sum::<u64>(), seen.currencies.values().sum::<u64>());
    let is_known = |code: &String| profile.currencies.contains_key(code);
    if before < MIN_KNOWN || now < MIN_RECORDS || seen.currencies.keys().any(is_known) {
        return None;
    }
    let list = |codes: &mut dyn Iterator<Item = &String>| codes.cloned().collect::<Vec<_>>().join(", ");
    let (new, old) = (list(&mut seen.currencies.keys()), list(&mut profile.currencies.keys()));
    let reason = format!("{} are in {new}; the account had {old} before", all_of(now, "transactions"));
    Some(Doubt { kind: DoubtKind::Currency, field: Some("commission_currency".to_owned()), reason })
}

/// Amounts of another order of magnitude.
fn unit(column: &str, before: &Magnitude, now: &Magnitude) -> Option<Doubt> {
    let (usual, found) = (before.mean()?, now.mean()?);
    if before.count < MIN_KNOWN || now.count < MIN_AMOUNTS {
        return None;
    }
    // Where amounts differ much among themselves, they must differ more than that.
    let distance = (found - usual).abs();
    if distance < UNIT_FACTOR.log2() || distance < 2.0 * before.deviation() {
        return None;
    }
    let typical = |log: f64| log.exp2() / 1e6;
    let times = distance.exp2();
    let factor = if found > usual { format!("{times:.0} times") } else { format!("1/{times:.0} of") };
    let reason = format!(
        "{column} is about {factor} what it was: typically {:.2} in {} transactions, {:.2} before",
        typical(found),
        now.count,
        typical(usual)
    );
    Some(Doubt { kind: DoubtKind::Unit, field: Some(column.to_owned()), reason })
}

/// Status words that turned into unknown ones for most transactions.
fn status(profile: &Profile, seen: &Observation) -> Option<Doubt> {
    let known = profile.statuses;
    let was_known = known.of >= MIN_KNOWN && known.filled * 20 >= known.of * 19;
    if !was_known || seen.transactions < MIN_RECORDS || seen.unknown_statuses * 2 <= seen.transactions {
        return None;
    }
    let reason = format!(
        "the status of {} of {} transactions is unknown; it was known in {} of {} before",
        seen.unknown_statuses, seen.transactions, known.filled, known.of
    );
    Some(Doubt { kind: DoubtKind::Status, field: Some("validation_status".to_owned()), reason })
}

/// `all 10 records`.
fn all_of(count: u64, what: &str) -> String {
    format!("all {count} {what}")
}

/// The inputs and key paths that no record of a stream has ever had, if that is known now and wasn't reported: those that
/// identify a record, and those that are there under a similar name.
pub fn unknown_inputs(profile: &Profile, layout: &Layout) -> Vec<String> {
    if profile.records < MIN_RECORDS {
        return Vec::new();
    }
    let has = |path: &str| profile.paths.get(path).is_some_and(|known| known.fill.filled > 0 || known.types != 0);
    let inside = |path: &str| {
        let inside = format!("{path}.");
        profile.paths.iter().any(|(other, known)| other.starts_with(&inside) && known.fill.filled > 0)
    };
    let unread = || {
        let names = profile.paths.keys().map(String::as_str).filter(|path| has(path));
        names.filter(|name| !inputs(layout).any(|input| input == *name))
    };
    let unknown = inputs(layout).filter(|path| !has(path) && !inside(path) && !profile.reported.contains(*path));
    let named = unknown.filter(|path| layout.key.iter().any(|key| key == path) || is_spelt_otherwise(path, unread()));
    named.map(str::to_owned).collect()
}

/// Whether one of `names` is a path, written otherwise.
fn is_spelt_otherwise<'a>(path: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| letters(name) == letters(path))
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
