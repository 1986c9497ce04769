//! Transactions of an answer compared with what the tables hold of them.
//!
//! That the same transaction loses its amount, changes its currency or is worth a hundred times as much says more than
//! any count, so a few are enough. But each of them may be corrected: so most of those that an answer has must change alike,
//! and of one or two only those count whose decision stayed the same. Changes that no business makes without a decision are
//! doubted of three, whatever their share: exactly another unit, another currency of the same number, a commission that is what
//! the sale was, another sign than that of the sale, a currency that is lost.

use std::collections::BTreeMap;

use sluice_lake::{KnownTransaction, Worth};
use sluice_model::Layout;

use super::fill::{gone_inputs, known, now, of_all};
use super::inputs::instead;
use super::magnitude::Magnitude;
use super::observation::{COLUMNS, Observation, SUB_IDS};
use super::profile::{Codes, Fill, Profile};
use super::rules::Doubts;
use super::{Doubt, DoubtKind, DoubtSettings};

/// Fewer transactions than this count only with the status that they had.
const FEW: u64 = 3;
/// The part of the transactions, as its denominator, that must turn to nothing while their sales stay: a return of a few does.
const PART: u64 = 4;
/// Factors between the units of a currency, and what is lost when amounts are rounded to hundredths.
const UNITS: [i128; 2] = [100, 1_000];
/// How far from the usual size, in powers of two, amounts are compared with those before: a factor of 8.
const ODD_DISTANCE: f64 = 3.0;
/// The same for what chance doesn't explain: so many times the deviation of a mean, and no less than a fourteenth.
const SHIFT: (f64, f64) = (3.0, 0.1);
/// How many times its usual share a size of amounts has where some are compared with those before.
const OF_SIZE: u128 = 4;
/// From which factor on all known amounts are doubted, and the share by which each may differ from it through rounding.
const UNIFORM: (f64, f64) = (9.95, 0.01);
/// The columns that a transaction keeps, by their place in [`COLUMNS`].
const KEPT: [(usize, fn(&Worth) -> bool); 4] = [
    (0, |worth| worth.commission.is_some()),
    (1, |worth| worth.commission_currency.is_some()),
    (2, |worth| worth.sale.is_some()),
    (SUB_IDS, |worth| worth.has_sub_ids),
];

/// Whether an answer is odd enough to be compared with what the tables hold: that takes reading them.
pub fn is_odd(profile: &Profile, seen: &Observation) -> bool {
    let is_sparser = |before: Fill, now: Fill| {
        let missing = |fill: Fill| u128::from(fill.of - fill.filled.min(fill.of));
        missing(now) * u128::from(before.of.max(1)) > 2 * missing(before) * u128::from(now.of)
    };
    let statuses =
        Fill { of: seen.transactions, filled: seen.transactions - seen.unknown_statuses.min(seen.transactions) };
    KEPT.iter().any(|(column, _)| is_sparser(known(profile, *column), now(seen, *column)))
        || is_sparser(profile.statuses, statuses)
        || is_sparser(profile.commission.worth(), seen.commission.worth())
        || is_sparser(profile.commission.positive(), seen.commission.positive())
        || seen.currencies.keys().any(|code| !profile.currencies.contains_key(code))
        || seen.sale_currencies.keys().any(|code| !profile.sale_currencies.contains_key(code))
        || has_spread(&profile.currencies, &seen.currencies)
        || has_spread(&profile.sale_currencies, &seen.sale_currencies)
        || is_shifted(&profile.commission, &seen.commission)
        || is_shifted(&profile.sale, &seen.sale)
}

/// Whether some amounts are larger than any, more are of a size than usual, or their mean is further off than chance explains.
pub(super) fn is_shifted(before: &Magnitude, now: &Magnitude) -> bool {
    let Some((usual, found)) = before.mean().zip(now.mean()) else { return false };
    let (times, least) = SHIFT;
    let chance = times * before.deviation() / (now.count as f64).sqrt();
    let distance = (found - usual).abs();
    let is_large = before.digits > 0 && f64::from(now.digits) >= f64::from(before.digits) + ODD_DISTANCE;
    let has_more = now.has_more_of_a_size(before, FEW, OF_SIZE);
    distance >= ODD_DISTANCE || distance > chance.max(least) || is_large || has_more
}

/// Whether a currency is that of more than twice the share of before.
pub(super) fn has_spread(before: &Codes, now: &Codes) -> bool {
    let all = |codes: &Codes| u128::from(codes.values().sum::<u64>());
    let (all_before, all_now) = (all(before), all(now));
    now.iter().any(|(code, count)| {
        let known = u128::from(before.get(code).copied().unwrap_or_default());
        *count >= FEW && u128::from(*count) * all_before > 2 * known * all_now
    })
}

/// Whether a transaction changes in a way that a run reports.
pub fn is_moved(row: &KnownTransaction) -> bool {
    let KnownTransaction { before, now, .. } = row;
    let amounts = before.commission.zip(now.commission).filter(|(before, now)| *before != 0 && *now != 0);
    is_other_code(before.commission_currency.as_ref(), now.commission_currency.as_ref())
        || amounts.is_some_and(|(before, now)| is_other_unit(before, now))
        || (before.commission.is_some_and(|amount| amount != 0) && now.commission == Some(0))
        || (before.has_sub_ids && !now.has_sub_ids)
        || (before.status != "unknown" && now.status == "unknown")
}

fn is_other_code(before: Option<&String>, now: Option<&String>) -> bool {
    before.zip(now).is_some_and(|(before, now)| !before.eq_ignore_ascii_case(now))
}

/// Whether the decision stayed the same, and isn't that there is nothing to pay.
fn is_same_decision(row: &KnownTransaction) -> bool {
    row.before.status == row.now.status && row.now.status != "declined"
}

/// What is odd about transactions that the tables have, and an answer reports otherwise.
pub fn judge_known(
    profile: &Profile,
    layout: &Layout,
    rules: &DoubtSettings,
    seen: &Observation,
    found: &[KnownTransaction],
) -> Doubts {
    let is_few = total(found.iter()) < FEW;
    let rows: Vec<&KnownTransaction> =
        found.iter().filter(|row| !is_few || row.before.status == row.now.status).collect();
    let mut doubts = Doubts::new();
    if rules.has(DoubtKind::Fill) {
        let lost = KEPT.iter().find_map(|(column, has)| lost(profile, rules, &rows, *column, *has));
        doubts.extend(lost.map(|doubt| with_inputs(profile, layout, rules, seen, doubt)));
        doubts.extend(zeroed(rules, &rows));
    }
    if rules.has(DoubtKind::Currency) {
        doubts.extend(other_currency(rules, &rows));
    }
    if rules.has(DoubtKind::Unit) {
        let commission = other_unit("commission_amount", rules, &rows, |worth| worth.commission);
        let commission = commission.or_else(|| sale_for_commission(rules, &rows));
        doubts.extend(commission.or_else(|| uniform("commission_amount", rules, &rows, |worth| worth.commission)));
        let sale = other_unit("sale_amount", rules, &rows, |worth| worth.sale);
        doubts.extend(sale.or_else(|| uniform("sale_amount", rules, &rows, |worth| worth.sale)));
        doubts.extend(other_sign(rules, &rows));
    }
    if rules.has(DoubtKind::Status) {
        doubts.extend(unknown_status(rules, &rows));
    }
    doubts
}

/// How many transactions these rows are.
fn total<'a>(rows: impl Iterator<Item = &'a KnownTransaction>) -> u64 {
    rows.map(|row| row.count).sum()
}

/// Whether of `all` more than the share of the settings are odd.
fn is_most(rules: &DoubtSettings, odd: u64, all: u64) -> bool {
    odd > 0 && odd as f64 > rules.share * all as f64
}

fn reason(odd: u64, all: u64, what: &str) -> String {
    format!("{} that the tables have {what}", of_all(odd, all, "transaction"))
}

/// A doubt of a column with the inputs that went with it.
fn with_inputs(profile: &Profile, layout: &Layout, rules: &DoubtSettings, seen: &Observation, doubt: Doubt) -> Doubt {
    let mut doubt = doubt;
    for (at, path) in gone_inputs(profile, layout, rules, seen).into_iter().enumerate() {
        doubt.reason.push_str(&format!("; `{path}` is gone{}", instead(profile, path, seen)));
        if at == 0 {
            doubt.field = Some(path.to_owned());
        }
    }
    doubt
}

fn lost(
    profile: &Profile,
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    column: usize,
    has: fn(&Worth) -> bool,
) -> Option<Doubt> {
    let had: Vec<&KnownTransaction> = rows.iter().copied().filter(|row| has(&row.before)).collect();
    let lost: Vec<&KnownTransaction> = had.iter().copied().filter(|row| !has(&row.now)).collect();
    let name = COLUMNS[column];
    let doubt = |reason| Doubt { kind: DoubtKind::Fill, field: Some(name.to_owned()), reason };
    let (odd, all) = (total(lost.iter().copied()), total(had.iter().copied()));
    // Where a column is often empty, more must lose it.
    let is_enough = known(profile, column).is_nearly_always() || odd >= rules.min_records;
    if (is_enough && is_most(rules, odd, all)) || is_unexplained(column, &lost, all) {
        return Some(doubt(reason(odd, all, &format!("would lose the {name}"))));
    }
    let (advertiser, lost, had) = lost_by_advertiser(rules, &had, has)?;
    let those = of_all(lost, had, "transaction");
    Some(doubt(format!("{those} of advertiser `{advertiser}` that the tables have would lose the {name}")))
}

/// Whether what few lose says enough: an amount's currency, or a commission whose sale stays.
fn is_unexplained(column: usize, lost: &[&KnownTransaction], had: u64) -> bool {
    let same = || lost.iter().copied().filter(|row| is_same_decision(row));
    match COLUMNS[column] {
        "commission_currency" => total(same().filter(|row| row.now.commission.is_some())) >= FEW,
        "commission_amount" => {
            let count = total(same().filter(|row| row.now.sale.is_some() && row.now.sale == row.before.sale));
            count >= FEW && count * PART >= had
        }
        _ => false,
    }
}

/// An advertiser of which nearly all transactions lose something, though their decisions stayed: its id, how many do, of how
/// many.
fn lost_by_advertiser<'a>(
    rules: &DoubtSettings,
    had: &[&'a KnownTransaction],
    has: fn(&Worth) -> bool,
) -> Option<(&'a str, u64, u64)> {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in had.iter().filter(|row| is_same_decision(row)) {
        let Some(advertiser) = row.before.advertiser_id.as_deref() else { continue };
        let (lost, of) = counts.entry(advertiser).or_default();
        *lost += if has(&row.now) { 0 } else { row.count };
        *of += row.count;
    }
    let found = counts.into_iter().find(|(_, (lost, of))| *of >= rules.min_records && lost * 10 >= of * 9);
    found.map(|(advertiser, (lost, of))| (advertiser, lost, of))
}

/// Doubts commissions of which enough changed alike: of those transactions whose decision stayed the same and that had one.
/// `is_enough` is given how many changed so, and of how many; `is_odd` the commission before and now.
fn changed_alike(
    rows: &[&KnownTransaction],
    (kind, what): (DoubtKind, &str),
    is_enough: impl Fn(u64, u64) -> bool,
    is_odd: impl Fn(i128, i128, &KnownTransaction) -> bool,
) -> Option<Doubt> {
    let same = rows.iter().copied().filter(|row| is_same_decision(row));
    let commissions = same.filter_map(|row| Some((row.before.commission?, row.now.commission?, row)));
    let (mut all, mut odd) = (0, 0);
    for (before, now, row) in commissions.filter(|(before, ..)| *before != 0) {
        all += row.count;
        odd += if is_odd(before, now, row) { row.count } else { 0 };
    }
    is_enough(odd, all).then(|| Doubt { kind, field: Some(COLUMNS[0].to_owned()), reason: reason(odd, all, what) })
}

/// One or two are what a return of all of a sale looks like where a network has no word for it.
fn zeroed(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let what = "would have a commission of zero, and the same status";
    let is_enough = |odd: u64, all: u64| odd >= FEW && is_most(rules, odd, all);
    let of_most = changed_alike(rows, (DoubtKind::Fill, what), is_enough, |_, now, _| now == 0);
    // A return takes the sale back too.
    let keeps_sale =
        |row: &KnownTransaction| row.now.sale.is_some_and(|sale| sale != 0) && row.now.sale == row.before.sale;
    let is_part = |odd: u64, all: u64| odd >= FEW && odd * PART >= all;
    of_most.or_else(|| changed_alike(rows, (DoubtKind::Fill, what), is_part, |_, now, row| now == 0 && keeps_sale(row)))
}

/// A return that the network writes into the transaction turns its sale too, so that only most of them are odd.
fn other_sign(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let doubt = (DoubtKind::Unit, "would change the sign of the commission_amount");
    let is_turned = |before: i128, now: i128| before.signum() == -now.signum();
    let is_kept = |row: &KnownTransaction| {
        row.before.sale.zip(row.now.sale).is_some_and(|(before, now)| before != 0 && before.signum() == now.signum())
    };
    let of_most = changed_alike(
        rows,
        doubt,
        |odd, all| odd >= FEW && is_most(rules, odd, all),
        |before, now, _| is_turned(before, now),
    );
    let of_few =
        || changed_alike(rows, doubt, |odd, _| odd >= FEW, |before, now, row| is_turned(before, now) && is_kept(row));
    of_most.or_else(of_few)
}

/// Commissions that are what the sales were: another field is read.
fn sale_for_commission(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let what = "would have as commission_amount what the sale_amount was";
    let is_sale = |before, now, row: &KnownTransaction| now != 0 && before != now && row.before.sale == Some(now);
    changed_alike(rows, (DoubtKind::Unit, what), |odd, all| odd >= FEW || is_most(rules, odd, all), is_sale)
}

/// Amounts that most transactions have times the same large factor, though nothing was decided: another field or currency is
/// read.
fn uniform(
    name: &str,
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    of: fn(&Worth) -> Option<i128>,
) -> Option<Doubt> {
    let same = rows.iter().copied().filter(|row| is_same_decision(row));
    let both = same.filter_map(|row| Some((of(&row.before)?, of(&row.now)?, row.count)));
    let both = both.filter(|(before, now, _)| *before != 0 && *now != 0);
    let mut factors: Vec<(f64, u64)> = both.map(|(before, now, count)| (now as f64 / before as f64, count)).collect();
    factors.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (all, usual) = median(&factors)?;
    let (least, rounding) = UNIFORM;
    let alike = factors.iter().filter(|(factor, _)| (factor / usual - 1.0).abs() <= rounding);
    let odd: u64 = alike.map(|(_, count)| count).sum();
    let is_large = usual.abs() >= least || usual.abs() * least <= 1.0;
    (is_large && odd >= FEW && is_most(rules, odd, all)).then(|| Doubt {
        kind: DoubtKind::Unit,
        field: Some(name.to_owned()),
        reason: reason(odd, all, &format!("would have {usual:.3} times the {name}, and the same status")),
    })
}

/// How many there are of sorted values that are counted, and the one in the middle; none without any.
fn median(sorted: &[(f64, u64)]) -> Option<(u64, f64)> {
    let all: u64 = sorted.iter().map(|(_, count)| count).sum();
    let mut before = 0_u64;
    let middle = sorted.iter().find(|(_, count)| {
        before += count;
        before > all / 2
    });
    middle.map(|(value, _)| (all, *value))
}

fn other_currency(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let commission = other_code(rules, rows, "commission_currency", |worth| {
        (worth.commission_currency.as_deref(), worth.commission)
    });
    commission
        .or_else(|| other_code(rules, rows, "sale_currency", |worth| (worth.sale_currency.as_deref(), worth.sale)))
}

/// Doubts a currency that most change; or few, of which the number and the decision stay the same.
fn other_code(
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    name: &str,
    of: fn(&Worth) -> (Option<&str>, Option<i128>),
) -> Option<Doubt> {
    let (mut all, mut odd, mut sure, mut example) = (0, 0, 0, None);
    for row in rows {
        let ((Some(before), amount_before), (Some(now), amount_now)) = (of(&row.before), of(&row.now)) else {
            continue;
        };
        all += row.count;
        if before.eq_ignore_ascii_case(now) {
            continue;
        }
        odd += row.count;
        let is_same = amount_before == amount_now && amount_now.is_some_and(|amount| amount != 0);
        sure += if is_same && is_same_decision(row) { row.count } else { 0 };
        example = example.or(Some((before, now)));
    }
    let (before, now) = example.filter(|_| sure >= FEW || is_most(rules, odd, all))?;
    Some(Doubt {
        kind: DoubtKind::Currency,
        field: Some(name.to_owned()),
        reason: reason(odd, all, &format!("would change the currency, from {before} to {now}")),
    })
}

fn other_unit(
    name: &str,
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    of: fn(&Worth) -> Option<i128>,
) -> Option<Doubt> {
    let (mut all, mut odd, mut sure, mut example) = (0, 0, 0, None);
    for row in rows {
        let Some((before, now)) = of(&row.before).zip(of(&row.now)).filter(|both| both.0 != 0 && both.1 != 0) else {
            continue;
        };
        all += row.count;
        if !is_other_unit(before, now) {
            continue;
        }
        odd += row.count;
        sure += if is_exact_unit(before, now) && is_same_decision(row) { row.count } else { 0 };
        example = example.or(Some((before, now)));
    }
    let (before, now) = example.filter(|_| sure >= FEW || is_most(rules, odd, all))?;
    let money = |amount: i128| format!("{:.2}", amount as f64 / 1e6);
    let factor =
        format!("would change the {name} by the factor of a unit, as from {} to {}", money(before), money(now));
    Some(Doubt { kind: DoubtKind::Unit, field: Some(name.to_owned()), reason: reason(odd, all, &factor) })
}

/// Whether nothing was rounded.
fn is_exact_unit(before: i128, now: i128) -> bool {
    let is_times = |small: i128, large: i128| UNITS.iter().any(|unit| small.checked_mul(*unit) == Some(large));
    is_times(before, now) || is_times(now, before)
}

/// Whether two amounts are the same in two units, as euros and cents. The smaller one may be rounded to hundredths.
pub(super) fn is_other_unit(before: i128, now: i128) -> bool {
    let (small, large) = if before.abs() < now.abs() { (before, now) } else { (now, before) };
    UNITS.iter().any(|unit| {
        let rounding = if small % 10_000 == 0 { (unit * 5_000).min(large.abs() / 10) } else { 0 };
        small.checked_mul(*unit).is_some_and(|times| (times - large).abs() <= rounding && large != small)
    })
}

fn unknown_status(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let known = || rows.iter().copied().filter(|row| row.before.status != "unknown");
    let (lost, all) = (total(known().filter(|row| row.now.status == "unknown")), total(known()));
    (lost >= FEW && is_most(rules, lost, all)).then(|| Doubt {
        kind: DoubtKind::Status,
        field: Some("validation_status".to_owned()),
        reason: reason(lost, all, "would have a status that isn't known"),
    })
}
