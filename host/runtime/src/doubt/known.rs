//! Transactions of an answer compared with what the tables hold of them.
//!
//! That the same transaction loses its amount, changes its currency or is worth a hundred times as much says more than
//! any count, so a few are enough. But each of them may be corrected: so most of those that an answer has must change alike,
//! and of one or two only those count whose decision stayed the same.

use sluice_lake::{KnownTransaction, Worth};
use sluice_model::Layout;

use super::fill::{gone_inputs, known, now, of_all};
use super::inputs::instead;
use super::observation::{COLUMNS, Observation, SUB_IDS};
use super::profile::{Fill, Profile};
use super::rules::Doubts;
use super::{Doubt, DoubtKind, DoubtSettings};

/// Fewer transactions than this count only with the status that they had.
const FEW: usize = 3;
/// Factors between the units of a currency, and what is lost when amounts are rounded to hundredths.
const UNITS: [i128; 2] = [100, 1_000];
/// How far from the usual size, in powers of two, amounts are compared with those before: a factor of 8.
const ODD_DISTANCE: f64 = 3.0;
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
    let is_far = |before: Option<f64>, now: Option<f64>| {
        before.zip(now).is_some_and(|(before, now)| (before - now).abs() >= ODD_DISTANCE)
    };
    KEPT.iter().any(|(column, _)| is_sparser(known(profile, *column), now(seen, *column)))
        || is_sparser(profile.statuses, statuses)
        || is_sparser(profile.commission.worth(), seen.commission.worth())
        || is_sparser(profile.commission.positive(), seen.commission.positive())
        || seen.currencies.keys().any(|code| !profile.currencies.contains_key(code))
        || is_far(profile.commission.mean(), seen.commission.mean())
        || is_far(profile.sale.mean(), seen.sale.mean())
}

/// What is odd about transactions that the tables have, and an answer reports otherwise.
pub fn judge_known(
    profile: &Profile,
    layout: &Layout,
    rules: &DoubtSettings,
    seen: &Observation,
    found: &[KnownTransaction],
) -> Doubts {
    let is_few = found.len() < FEW;
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
        doubts.extend(other_unit("commission_amount", rules, &rows, |worth| worth.commission));
        doubts.extend(other_unit("sale_amount", rules, &rows, |worth| worth.sale));
        doubts.extend(other_sign(rules, &rows));
        doubts.extend(sale_for_commission(rules, &rows));
    }
    if rules.has(DoubtKind::Status) {
        doubts.extend(unknown_status(rules, &rows));
    }
    doubts
}

/// Whether of `all` more than the share of the settings are odd.
fn is_most(rules: &DoubtSettings, odd: usize, all: usize) -> bool {
    odd > 0 && odd as f64 > rules.share * all as f64
}

fn reason(odd: usize, all: usize, what: &str) -> String {
    format!("{} that the tables have {what}", of_all(odd as u64, all as u64, "transactions"))
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
    let had: Vec<_> = rows.iter().filter(|row| has(&row.before)).collect();
    let lost = had.iter().filter(|row| !has(&row.now)).count();
    let name = COLUMNS[column];
    // Where a column is often empty, more must lose it.
    let is_enough = known(profile, column).is_nearly_always() || lost as u64 >= rules.min_records;
    (is_enough && is_most(rules, lost, had.len())).then(|| Doubt {
        kind: DoubtKind::Fill,
        field: Some(name.to_owned()),
        reason: reason(lost, had.len(), &format!("would lose their {name}")),
    })
}

/// Doubts commissions of which most changed alike, and `least` at least: of those transactions whose decision stayed the same
/// and that had one. `is_odd` is given the commission before and now.
fn changed_alike(
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    (kind, least, what): (DoubtKind, usize, &str),
    is_odd: impl Fn(i128, i128, &KnownTransaction) -> bool,
) -> Option<Doubt> {
    let same = rows.iter().filter(|row| row.before.status == row.now.status && row.now.status != "declined");
    let commissions = same.filter_map(|row| Some((row.before.commission?, row.now.commission?, row)));
    let (mut all, mut odd) = (0, 0);
    for (before, now, row) in commissions.filter(|(before, ..)| *before != 0) {
        all += 1;
        odd += usize::from(is_odd(before, now, row));
    }
    (odd >= least && is_most(rules, odd, all)).then(|| Doubt {
        kind,
        field: Some(COLUMNS[0].to_owned()),
        reason: reason(odd, all, what),
    })
}

/// One or two are what a return of all of a sale looks like where a network has no word for it.
fn zeroed(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let what = "would have a commission of zero, and the status that they had";
    changed_alike(rules, rows, (DoubtKind::Fill, FEW, what), |_, now, _| now == 0)
}

fn other_sign(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let what = "change the sign of their commission_amount";
    changed_alike(rules, rows, (DoubtKind::Unit, FEW, what), |before, now, _| before.signum() == -now.signum())
}

/// Commissions that are what the sales were: another field is read.
fn sale_for_commission(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let what = "would have as commission_amount what their sale_amount was";
    let is_sale = |before, now, row: &KnownTransaction| now != 0 && before != now && row.before.sale == Some(now);
    changed_alike(rules, rows, (DoubtKind::Unit, 1, what), is_sale)
}

fn other_currency(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let currencies = |of: fn(&Worth) -> Option<&String>| {
        let both = rows.iter().filter_map(move |row| of(&row.before).zip(of(&row.now)));
        let (mut all, mut other) = (0, Vec::new());
        for (before, now) in both {
            all += 1;
            other.extend((!before.eq_ignore_ascii_case(now)).then_some((before, now)));
        }
        (all, other)
    };
    let fields: [(&str, fn(&Worth) -> Option<&String>); 2] = [
        ("commission_currency", |worth| worth.commission_currency.as_ref()),
        ("sale_currency", |worth| worth.sale_currency.as_ref()),
    ];
    fields.into_iter().find_map(|(name, of)| {
        let (all, other) = currencies(of);
        let (before, now) = other.first().filter(|_| is_most(rules, other.len(), all))?;
        Some(Doubt {
            kind: DoubtKind::Currency,
            field: Some(name.to_owned()),
            reason: reason(other.len(), all, &format!("change their currency, from {before} to {now}")),
        })
    })
}

fn other_unit(
    name: &str,
    rules: &DoubtSettings,
    rows: &[&KnownTransaction],
    of: fn(&Worth) -> Option<i128>,
) -> Option<Doubt> {
    let amounts: Vec<(i128, i128)> = rows
        .iter()
        .filter_map(|row| of(&row.before).zip(of(&row.now)))
        .filter(|(before, now)| *before != 0 && *now != 0)
        .collect();
    let odd: Vec<&(i128, i128)> = amounts.iter().filter(|(before, now)| is_other_unit(*before, *now)).collect();
    let (before, now) = odd.first().filter(|_| is_most(rules, odd.len(), amounts.len()))?;
    let money = |amount: i128| format!("{:.2}", amount as f64 / 1e6);
    Some(Doubt {
        kind: DoubtKind::Unit,
        field: Some(name.to_owned()),
        reason: reason(
            odd.len(),
            amounts.len(),
            &format!("change their {name} by the factor of a unit, as from {} to {}", money(*before), money(*now)),
        ),
    })
}

/// Whether two amounts are the same in two units, as euros and cents. The smaller one may be rounded to hundredths.
fn is_other_unit(before: i128, now: i128) -> bool {
    let (small, large) = if before.abs() < now.abs() { (before, now) } else { (now, before) };
    UNITS.iter().any(|unit| {
        let rounding = if small % 10_000 == 0 { (unit * 5_000).min(large.abs() / 10) } else { 0 };
        small.checked_mul(*unit).is_some_and(|times| (times - large).abs() <= rounding && large != small)
    })
}

fn unknown_status(rules: &DoubtSettings, rows: &[&KnownTransaction]) -> Option<Doubt> {
    let known: Vec<_> = rows.iter().filter(|row| row.before.status != "unknown").collect();
    let lost = known.iter().filter(|row| row.now.status == "unknown").count();
    (lost >= FEW && is_most(rules, lost, known.len())).then(|| Doubt {
        kind: DoubtKind::Status,
        field: Some("validation_status".to_owned()),
        reason: reason(lost, known.len(), "would have a status that isn't known"),
    })
}
