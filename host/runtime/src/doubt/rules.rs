//! The rules that compare an answer with what was usual.

use sluice_model::{BodyFindings, Format, Kinds, Layout};

use super::facts::judge_sums;
use super::fill::{fill, of_all};
use super::inputs::inputs;
use super::magnitude::Magnitude;
use super::observation::Observation;
use super::profile::{Codes, Fill, NAMED, Profile, class};
use super::{Doubt, DoubtKind, DoubtSettings};

/// What is doubted of an answer, the most telling first.
pub type Doubts = Vec<Doubt>;

/// Transactions that make an account's currencies, sizes and status words known.
const MIN_KNOWN: u64 = 10;
/// Values of a type before it can change: values and responses; and values of another type then.
const MIN_TYPED: (u64, u64, u64) = (50, 3, 10);
/// Responses that make it known how responses end.
const MIN_RESPONSES: u64 = 3;
/// What is odd about an answer, compared with the profile of its stream and account.
pub fn judge_response(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation) -> Doubts {
    let mut doubts = Doubts::new();
    if rules.has(DoubtKind::Fill) {
        fill(profile, layout, rules, seen, &mut doubts);
    }
    if rules.has(DoubtKind::Type) {
        types(profile, layout, seen, &mut doubts);
    }
    if rules.has(DoubtKind::Currency) {
        doubts.extend(currency(profile, rules, seen));
    }
    if rules.has(DoubtKind::Unit) {
        doubts.extend(unit(("commission_amount", "transaction"), rules, &profile.commission, &seen.commission));
        doubts.extend(unit(("sale_amount", "transaction"), rules, &profile.sale, &seen.sale));
    }
    judge_sums(profile, rules, seen, &mut doubts);
    if rules.has(DoubtKind::Status) {
        doubts.extend(status(profile, rules, seen));
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
    match () {
        () if !findings.is_lines || !rules.has(DoubtKind::Cut) => None,
        () if findings.is_torn => Some(CUT),
        () if findings.is_open && is_usual(profile.line_ends) => Some("the last line has no line end"),
        () if findings.torn_rows > 0 && is_usual(profile.whole_rows) => Some("a row has fewer fields than the header"),
        () if closed && (is_odd || is_usual(profile.marked_ends)) => {
            Some("the body ends where the connection was closed, and nothing says that it is whole")
        }
        () => None,
    }
}

pub(super) fn is_other_type(before: u8, now: Kinds) -> bool {
    let (before, now) = (before & !NAMED, class(now));
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
    match types & !NAMED {
        1 => "booleans",
        2 => "numbers",
        4 => "text",
        _ => "arrays or objects",
    }
}

/// Most transactions in currencies that the account never had; all of them where few are known. Of commissions, or else of
/// sales: an order's value in another currency moves a sum too.
fn currency(profile: &Profile, rules: &DoubtSettings, seen: &Observation) -> Option<Doubt> {
    let commission = other_codes(("commission_currency", "transaction"), rules, &profile.currencies, &seen.currencies);
    commission
        .or_else(|| other_codes(("sale_currency", "sale"), rules, &profile.sale_currencies, &seen.sale_currencies))
}

/// Most amounts in currencies that the account never had. `column` has the currency of what `noun` says.
pub(super) fn other_codes(
    (column, noun): (&str, &str),
    rules: &DoubtSettings,
    known: &Codes,
    found: &Codes,
) -> Option<Doubt> {
    let (before, now) = (known.values().sum::<u64>(), found.values().sum::<u64>());
    let new = found.iter().filter(|(code, _)| !known.contains_key(*code));
    let (codes, counts): (Vec<&str>, Vec<u64>) = new.map(|(code, count)| (code.as_str(), *count)).unzip();
    let fill = Fill { of: now, filled: now - counts.iter().sum::<u64>() };
    let is_most = if before >= MIN_KNOWN { fill.lacks_more_than(rules.share) } else { fill.filled == 0 };
    if before < rules.min_records || now < rules.min_records || !is_most {
        return None;
    }
    let old: Vec<&str> = known.keys().map(String::as_str).collect();
    let those = of_all(now - fill.filled, now, noun);
    let is = if now == 1 { "is" } else { "are" };
    let reason = format!("{those} {is} in {}; the account had {} before", codes.join(", "), old.join(", "));
    Some(Doubt { kind: DoubtKind::Currency, field: Some(column.to_owned()), reason })
}

/// Amounts of another order of magnitude. `column` has those of what `noun` says.
pub(super) fn unit(
    (column, noun): (&str, &str),
    rules: &DoubtSettings,
    before: &Magnitude,
    now: &Magnitude,
) -> Option<Doubt> {
    let (usual, found) = (before.mean()?, now.mean()?);
    // Fewer tell too little of how much amounts differ: they are compared one by one with those of the tables.
    if before.count.min(now.count) < MIN_KNOWN.max(rules.min_records) {
        return None;
    }
    // Where amounts differ much among themselves, they must differ more than that.
    let distance = (found - usual).abs();
    if distance < f64::from(rules.factor).log2() || distance < 2.0 * before.deviation() {
        return None;
    }
    let typical = |log: f64| log.exp2() / 1e6;
    let times = distance.exp2();
    let factor = if found > usual { format!("{times:.0} times") } else { format!("1/{times:.0} of") };
    let reason = format!(
        "{column} is about {factor} what it was: typically {:.2} in {} {noun}s, {:.2} before",
        typical(found),
        now.count,
        typical(usual)
    );
    Some(Doubt { kind: DoubtKind::Unit, field: Some(column.to_owned()), reason })
}

/// Status words that turned into unknown ones for most transactions.
fn status(profile: &Profile, rules: &DoubtSettings, seen: &Observation) -> Option<Doubt> {
    let known = profile.statuses;
    let was_known = known.of >= rules.min_records && known.filled * 20 >= known.of * 19;
    let now = Fill { of: seen.transactions, filled: seen.transactions - seen.unknown_statuses.min(seen.transactions) };
    if !was_known || now.of < rules.min_records || !now.lacks_more_than(rules.share) {
        return None;
    }
    let reason = format!(
        "the status of {} of {} transactions is unknown; it was known in {} of {} before",
        seen.unknown_statuses, seen.transactions, known.filled, known.of
    );
    Some(Doubt { kind: DoubtKind::Status, field: Some("validation_status".to_owned()), reason })
}
