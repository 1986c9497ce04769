//! `--fail-if`: conditions on a diff.
//!
//! A condition is `<measure><operator><number>`, with `%` after the number for a share:
//!
//! | measure | what it counts | its share is of |
//! |---|---|---|
//! | `commission` | of transactions: absolute differences of `commission_effective`, row by row; it holds if it does in any currency | the sum before |
//! | `amounts` | the same of what payments pay and of the commissions of items and aggregates; it holds if it does in any kind and currency | the sum of the kind before |
//! | `rows` | transactions and other facts added, removed or changed | transactions compared; other facts, if no transaction was |
//! | `added`, `removed`, `changed` | these alone | the same |
//! | `native` | native records added, removed or read otherwise | records compared |
//! | `rejects` | records that are newly rejected | – |
//! | `unknown` | status words that the candidate doesn't know | – |
//!
//! The operator is `>` or `>=`, the number a plain decimal: `commission>0.1%`, `rows>0`, `rejects>=10`.

use std::collections::BTreeMap;

use sluice_lake::{Diff, FactDiff, Money, MoneyKey};

use crate::failure::Failure;
use crate::replay::report::decimal;

/// Millionths in one.
const SCALE: i128 = 1_000_000;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Commission,
    Amounts,
    Rows,
    Added,
    Removed,
    Changed,
    Native,
    Rejects,
    Unknown,
}

const MEASURES: [(&str, Measure); 9] = [
    ("commission", Measure::Commission),
    ("amounts", Measure::Amounts),
    ("rows", Measure::Rows),
    ("added", Measure::Added),
    ("removed", Measure::Removed),
    ("changed", Measure::Changed),
    ("native", Measure::Native),
    ("rejects", Measure::Rejects),
    ("unknown", Measure::Unknown),
];

/// A condition under which a replay fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    text: String,
    measure: Measure,
    or_equal: bool,
    /// In millionths.
    limit: i128,
    share: bool,
}

/// A condition and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionResult {
    /// The condition as it was written.
    pub condition: String,
    /// What it measured, as a person reads it.
    pub value: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// A usage failure that says what can be written.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            let names = MEASURES.map(|(name, _)| name).join(", ");
            Failure::usage(format!("`{text}` is not a condition"))
                .hint(format!("write like `commission>0.1%` or `rows>0`; what can be measured: {names}"))
        };
        let (name, rest) = text.split_once('>').ok_or_else(wrong)?;
        let (or_equal, number) = rest.strip_prefix('=').map_or((false, rest), |number| (true, number));
        let number = number.trim();
        let (share, number) = number.strip_suffix('%').map_or((false, number), |number| (true, number));
        let measure = MEASURES.iter().find(|(known, _)| *known == name.trim()).map(|(_, measure)| *measure);
        let measure = measure.ok_or_else(wrong)?;
        if share && matches!(measure, Measure::Rejects | Measure::Unknown) {
            return Err(Failure::usage(format!("`{text}`: {} has no share", name.trim()))
                .hint(format!("write a number: `{}>0`", name.trim())));
        }
        let limit = millionths(number).ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), measure, or_equal, limit, share })
    }

    /// What it finds in a diff.
    pub fn evaluate(&self, diff: &Diff) -> ConditionResult {
        let transactions = &diff.transactions;
        let facts = |part: fn(&FactDiff) -> u64| diff.facts.values().map(part).sum::<u64>();
        // Other facts don't count where there are transactions: many items would hide one transaction that differs.
        let compared = if transactions.compared > 0 { transactions.compared } else { facts(|facts| facts.compared) };
        let rows = |count: u64| (i128::from(count) * SCALE, i128::from(compared) * SCALE);
        let native = diff.native.values();
        let measured: Vec<(Option<&str>, i128, i128)> = match self.measure {
            Measure::Commission => moved(&transactions.money, &transactions.moved).collect(),
            Measure::Amounts => diff.facts.values().flat_map(|facts| moved(&facts.money, &facts.moved)).collect(),
            Measure::Rows => vec![whole(rows(transactions.rows() + facts(FactDiff::rows)))],
            Measure::Added => vec![whole(rows(transactions.added.count + facts(|facts| facts.added.count)))],
            Measure::Removed => vec![whole(rows(transactions.removed.count + facts(|facts| facts.removed.count)))],
            Measure::Changed => vec![whole(rows(transactions.changed.count + facts(|facts| facts.changed.count)))],
            Measure::Native => {
                let differing: u64 = native.clone().map(|n| n.added + n.changed + n.removed).sum();
                let compared: u64 = native.map(|n| n.compared).sum();
                vec![whole((i128::from(differing) * SCALE, i128::from(compared) * SCALE))]
            }
            Measure::Rejects => vec![whole((i128::from(diff.new_rejects.count) * SCALE, 0))],
            Measure::Unknown => vec![whole((diff.unknown_statuses.len() as i128 * SCALE, 0))],
        };
        // The currency that differs most decides.
        let worst = measured.into_iter().max_by(|a, b| {
            let holds = |(_, part, of): &(Option<&str>, i128, i128)| self.holds(*part, *of);
            (holds(a), a.1).cmp(&(holds(b), b.1))
        });
        let (currency, part, of) = worst.unwrap_or_default();
        let value = match (self.share, of) {
            (true, 0) if part == 0 => "0%".to_owned(),
            (true, 0) => format!("{} of nothing", decimal(part)),
            (true, _) => format!("{}%", decimal(part * 100 * SCALE / of)),
            (false, _) => decimal(part),
        };
        let value = currency.map_or(value.clone(), |currency| format!("{value} in {currency}"));
        ConditionResult { condition: self.text.clone(), value, holds: self.holds(part, of) }
    }

    /// Whether a part, of a whole for a share, is beyond the limit; both in millionths. Any part of nothing is.
    fn holds(&self, part: i128, of: i128) -> bool {
        let (left, right) = if !self.share {
            (part, self.limit)
        } else if of == 0 {
            return part > 0;
        } else {
            (part * 100 * SCALE, self.limit * of)
        };
        left > right || (self.or_equal && left == right)
    }
}

/// Currencies with what moved and what there was.
fn moved<'a>(
    money: &'a BTreeMap<MoneyKey, Money>,
    moved: &'a BTreeMap<Option<String>, i128>,
) -> impl Iterator<Item = (Option<&'a str>, i128, i128)> {
    let before = move |currency: &Option<String>| -> i128 {
        let sums = money.iter().filter(|(key, _)| key.currency == *currency);
        sums.map(|(_, money)| money.before).sum()
    };
    moved.iter().map(move |(name, moved)| (name.as_deref(), *moved, before(name).abs()))
}

fn whole((part, of): (i128, i128)) -> (Option<&'static str>, i128, i128) {
    (None, part, of)
}

/// A plain decimal of at most six places, in millionths.
fn millionths(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    Some(whole.parse::<i128>().ok()? * SCALE + format!("{fraction:0<6}").parse::<i128>().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn moved(currency: &str, before: i128, moved: i128) -> Diff {
        let key = MoneyKey {
            account: "uk".to_owned(),
            month: "2026-01".to_owned(),
            status: "pending".to_owned(),
            currency: Some(currency.to_owned()),
        };
        let mut transactions = FactDiff { compared: 1_000, ..FactDiff::default() };
        transactions.money.insert(key, Money { before, ..Money::default() });
        transactions.moved.insert(Some(currency.to_owned()), moved);
        Diff { transactions, ..Diff::default() }
    }

    #[test]
    fn shares_of_commission_are_exact() {
        let condition = Condition::parse("commission>0.1%").unwrap();
        let at_the_limit = condition.evaluate(&moved("EUR", 1_000 * SCALE, SCALE));
        assert!(!at_the_limit.holds);
        assert_eq!(at_the_limit.value, "0.1% in EUR");
        assert!(condition.evaluate(&moved("EUR", 1_000 * SCALE, SCALE + 1)).holds);
        assert!(condition.evaluate(&moved("EUR", 0, 1)).holds, "any commission is much of none");
        assert!(!condition.evaluate(&Diff::default()).holds);
        assert!(Condition::parse("commission>=0.1%").unwrap().evaluate(&moved("EUR", 1_000 * SCALE, SCALE)).holds);
        assert!(Condition::parse("commission>0.5").unwrap().evaluate(&moved("EUR", 1_000 * SCALE, SCALE)).holds);
    }

    #[test]
    fn rows_are_a_share_of_those_compared() {
        let mut diff = moved("EUR", 0, 0);
        diff.transactions.changed.count = 5;
        assert!(Condition::parse("rows > 0.4 %").is_err(), "a blank before the sign is a slip");
        assert!(Condition::parse("rows>0.4%").unwrap().evaluate(&diff).holds);
        assert!(!Condition::parse("rows>0.5%").unwrap().evaluate(&diff).holds);
        assert!(!Condition::parse("removed>0").unwrap().evaluate(&diff).holds);
    }

    #[test]
    fn payments_count_among_rows() {
        let mut diff = moved("EUR", 0, 0);
        let mut payments = FactDiff { compared: 1_000, ..FactDiff::default() };
        payments.changed.count = 5;
        diff.facts.insert(sluice_model::Fact::Payments, payments);
        let holds = |text: &str| Condition::parse(text).unwrap().evaluate(&diff).holds;
        assert!(
            holds("rows>0") && holds("changed>=5") && holds("rows>0.4%") && !holds("rows>0.5%"),
            "of the transactions"
        );
        assert!(!holds("added>0") && !holds("removed>0"));
    }

    #[test]
    fn amounts_of_payments_are_no_commission() {
        let mut diff = Diff::default();
        let FactDiff { money, moved, .. } = moved("EUR", 1_000 * SCALE, SCALE).transactions;
        diff.facts.insert(sluice_model::Fact::Payments, FactDiff { money, moved, ..FactDiff::default() });
        let result = |text: &str| Condition::parse(text).unwrap().evaluate(&diff);
        assert!(!result("commission>0").holds);
        assert_eq!(result("amounts>0.09%").value, "0.1% in EUR");
        assert!(result("amounts>0.09%").holds && !result("amounts>0.1%").holds && result("amounts>0.5").holds);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "rows", "rows>", "rows<1", "sales>0", "rows>x", "rows>-1", "rejects>1%", "rows>1e3"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_limit_is_a_plain_decimal_of_at_most_twelve_digits(text in "[-+]?[0-9]{0,30}[.]?[0-9]{0,30}([eE]-?[0-9]{1,12})?") {
            let bound = 10_i128.pow(12) * SCALE;
            prop_assert!(millionths(&text).is_none_or(|limit| (0..bound).contains(&limit)), "{}", text);
            prop_assert!(!text.contains(['e', 'E']) || millionths(&text).is_none(), "{}", text);
        }
    }
}
