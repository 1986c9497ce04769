//! The life of a conversion, before any network gives it a shape: when it happens, shows, changes, is decided and
//! paid. Drawn once from the seed; what is seen of it depends on the clock alone.

use crate::dice::Dice;
use crate::money::Money;
use crate::words::{ADVERTISERS, AMEND_REASONS, Advertiser, BROWSERS, COUNTRIES, DECLINE_REASONS, DEVICES, VOUCHERS};
use crate::words::{PRODUCTS, SUB_IDS};
use crate::zone::doubled_hour;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

/// What a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Sale,
    Lead,
    Bonus,
}

/// The advertiser's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    Approved,
    Declined,
    Deleted,
}

/// The decision on a conversion.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) at: DateTime<Utc>,
    pub(crate) validation: Validation,
    /// When it is paid, or when a refused one is closed.
    pub(crate) settled_at: DateTime<Utc>,
    pub(crate) reason: &'static str,
}

/// A change of the amounts before the decision.
#[derive(Debug, Clone)]
pub(crate) struct Amendment {
    pub(crate) at: DateTime<Utc>,
    pub(crate) sale: Money,
    pub(crate) commission: Money,
    pub(crate) reason: &'static str,
}

/// A product line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) product: &'static str,
    pub(crate) quantity: i64,
    pub(crate) sale: Money,
    pub(crate) commission: Money,
}

/// A conversion with its whole life.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    /// Unique in its account.
    pub(crate) serial: u64,
    /// Names further draws.
    pub(crate) key: String,
    pub(crate) what: What,
    pub(crate) clicked_at: Option<DateTime<Utc>>,
    pub(crate) transacted_at: DateTime<Utc>,
    pub(crate) appeared_at: DateTime<Utc>,
    pub(crate) sale: Money,
    pub(crate) commission: Money,
    pub(crate) amendment: Option<Amendment>,
    pub(crate) decision: Option<Decision>,
    pub(crate) advertiser: &'static Advertiser,
    pub(crate) order_id: Option<String>,
    pub(crate) sub_ids: Vec<Option<&'static str>>,
    pub(crate) voucher: Option<&'static str>,
    pub(crate) device: Option<&'static str>,
    pub(crate) browser: &'static str,
    pub(crate) country: Option<&'static str>,
    pub(crate) lines: Vec<Line>,
}

/// What is seen of a conversion at a clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SaleState<'a> {
    pub(crate) amendment: Option<&'a Amendment>,
    pub(crate) decision: Option<&'a Decision>,
    pub(crate) settled: bool,
}

impl SaleState<'_> {
    pub(crate) fn validation(&self) -> Option<Validation> {
        self.decision.map(|decision| decision.validation)
    }

    pub(crate) fn paid(&self) -> bool {
        self.settled && self.validation() == Some(Validation::Approved)
    }

    pub(crate) fn voided(&self) -> bool {
        matches!(self.validation(), Some(Validation::Declined | Validation::Deleted))
    }
}

impl Sale {
    /// What is seen at a clock; nothing before it shows.
    pub(crate) fn seen(&self, clock: DateTime<Utc>) -> Option<SaleState<'_>> {
        (self.appeared_at <= clock).then(|| {
            let decision = self.decision.as_ref().filter(|it| it.at <= clock);
            SaleState {
                amendment: self.amendment.as_ref().filter(|it| it.at <= clock),
                decision,
                settled: decision.is_some_and(|it| it.settled_at <= clock),
            }
        })
    }

    /// The sale's value and the commission as seen.
    pub(crate) fn amounts(&self, seen: &SaleState<'_>) -> (Money, Money) {
        seen.amendment.map_or((self.sale, self.commission), |it| (it.sale, it.commission))
    }

    /// Dice for details of this conversion.
    pub(crate) fn dice(&self, seed: u64, detail: &str) -> Dice {
        Dice::of(seed, &[&self.key, detail])
    }
}

/// Whose conversions are drawn.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) seed: u64,
    pub(crate) network: &'static str,
    pub(crate) account: String,
    pub(crate) zone: Tz,
    pub(crate) rows_per_day: u32,
    /// Without sales of millions.
    pub(crate) everyday_amounts: bool,
}

impl Source {
    /// The conversions that happen on a day, whenever they show.
    pub(crate) fn day(&self, day: NaiveDate) -> Vec<Sale> {
        let name = day.to_string();
        let mut dice = Dice::of(self.seed, &[self.network, &self.account, &name, "count"]);
        let rows = u64::from(self.rows_per_day);
        let count = rows + dice.below(rows / 3 + 1) - dice.below(rows / 4 + 1);
        (0..count).map(|index| self.sale(day, index)).collect()
    }

    fn sale(&self, day: NaiveDate, index: u64) -> Sale {
        let key = format!("{}/{}/{day}/{index}", self.network, self.account);
        let mut dice = Dice::of(self.seed, &[&key]);
        let transacted_at = self.moment(&mut dice, day, index);
        let appeared_at = transacted_at + lag(&mut dice);
        let what = match dice.below(100) {
            0..86 => What::Sale,
            86..97 => What::Lead,
            _ => What::Bonus,
        };
        let advertiser = dice.pick(&ADVERTISERS);
        let (sale, commission) = amounts(&mut dice, what, advertiser, self.everyday_amounts);
        let decision = decision(&mut dice, appeared_at);
        let amendment = amendment(&mut dice, what, appeared_at, decision.as_ref(), (sale, commission));
        Sale {
            serial: u64::try_from(day.num_days_from_ce()).unwrap_or(0) * 100_000 + index,
            what,
            clicked_at: (!dice.chance(60)).then(|| transacted_at - TimeDelta::seconds(dice.between(20, 200_000))),
            transacted_at,
            appeared_at,
            sale,
            commission,
            amendment,
            decision,
            advertiser,
            order_id: order_id(&mut dice, index),
            sub_ids: sub_ids(&mut dice),
            voucher: dice.chance(200).then(|| dice.word(&VOUCHERS)),
            device: (!dice.chance(50)).then(|| dice.word(&DEVICES)),
            browser: dice.word(&BROWSERS),
            country: (!dice.chance(100)).then(|| dice.word(&COUNTRIES)),
            lines: lines(&mut dice, what, sale, commission),
            key,
        }
    }

    /// A second of the day; the first two of a day whose clock goes back fall into the hour that repeats.
    fn moment(&self, dice: &mut Dice, day: NaiveDate, index: u64) -> DateTime<Utc> {
        let second = dice.between(0, 86_399);
        match (index, doubled_hour(day, self.zone)) {
            (0, Some((first, _))) => first,
            (1, Some((_, second))) => second,
            _ => day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::seconds(second),
        }
    }
}

/// How long after it happens a conversion shows: mostly minutes, sometimes days.
fn lag(dice: &mut Dice) -> TimeDelta {
    match dice.below(100) {
        0..88 => TimeDelta::seconds(dice.between(30, 2400)),
        88..97 => TimeDelta::minutes(dice.between(300, 4000)),
        _ => TimeDelta::hours(dice.between(110, 330)),
    }
}

fn amounts(dice: &mut Dice, what: What, advertiser: &Advertiser, everyday: bool) -> (Money, Money) {
    match what {
        What::Lead => (Money::cents(0), Money::cents(dice.between(50, 2500))),
        What::Bonus => (Money::cents(0), Money::cents(dice.between(5, 200) * 100)),
        What::Sale => {
            let sale = match dice.below(100) {
                0..5 => Money::cents(10),
                5..10 => Money::cents(123_450),
                10..20 => Money::cents(1999),
                20 if !everyday => Money::cents(9_876_543_210),
                21 => Money::cents(0),
                22..30 => Money::cents(dice.between(1, 400) * 100),
                _ => Money::cents(dice.between(100, 60_000)),
            };
            let places = if dice.chance(50) { 4 } else { 2 };
            (sale, sale.part(advertiser.per_mille, places))
        }
    }
}

fn decision(dice: &mut Dice, appeared_at: DateTime<Utc>) -> Option<Decision> {
    let at = appeared_at + TimeDelta::minutes(dice.between(2 * 1440, 40 * 1440));
    let validation = match dice.below(100) {
        0..78 => Validation::Approved,
        78..92 => Validation::Declined,
        92..95 => Validation::Deleted,
        _ => return None,
    };
    let settled_at = at + TimeDelta::hours(dice.between(10 * 24, 35 * 24));
    Some(Decision { at, validation, settled_at, reason: dice.word(&DECLINE_REASONS) })
}

fn amendment(
    dice: &mut Dice,
    what: What,
    appeared_at: DateTime<Utc>,
    decision: Option<&Decision>,
    (sale, commission): (Money, Money),
) -> Option<Amendment> {
    let end = decision.map_or_else(|| appeared_at + TimeDelta::days(20), |it| it.at);
    let span = (end - appeared_at).num_minutes();
    let at = appeared_at + TimeDelta::minutes(dice.between(span / 10 + 1, span * 9 / 10));
    let factor = dice.between(400, 1500);
    let reason = dice.word(&AMEND_REASONS);
    (what == What::Sale && dice.chance(120)).then(|| Amendment {
        at,
        sale: sale.part(factor, 2),
        commission: commission.part(factor, 2),
        reason,
    })
}

fn order_id(dice: &mut Dice, index: u64) -> Option<String> {
    let number = dice.between(1_000_000, 99_999_999);
    match dice.below(20) {
        0 => None,
        1 => Some(String::new()),
        2 => Some(format!("ORD-{number}/\"{index}\" & Söhne")),
        3 => Some(format!("9007199254{number}")),
        4 => Some(format!("00{number}")),
        _ => Some(format!("ORD-{number}")),
    }
}

fn sub_ids(dice: &mut Dice) -> Vec<Option<&'static str>> {
    if dice.chance(150) {
        return vec![None; 6];
    }
    let filled = dice.between(1, 6);
    (0..6).map(|index| (index < filled && !dice.chance(100)).then(|| dice.word(&SUB_IDS))).collect()
}

/// One to three product lines whose amounts add up to the whole.
fn lines(dice: &mut Dice, what: What, sale: Money, commission: Money) -> Vec<Line> {
    let count = if what == What::Sale { dice.between(1, 3) } else { 1 };
    let mut rest = (sale, commission);
    (0..count)
        .map(|index| {
            let last = index + 1 == count;
            let part = if last { rest } else { (sale.part(300, 2), commission.part(300, 2)) };
            rest = (rest.0.minus(part.0), rest.1.minus(part.1));
            Line {
                sku: format!("SKU-{}", dice.between(100, 99_999)),
                product: dice.word(&PRODUCTS),
                quantity: dice.between(1, 3),
                sale: part.0,
                commission: part.1,
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            seed: 7,
            network: "tradetracker",
            account: "a".to_owned(),
            zone: chrono_tz::Europe::Amsterdam,
            rows_per_day: 40,
            everyday_amounts: false,
        }
    }

    #[test]
    fn lines_add_up_to_the_whole() {
        for sale in source().day(NaiveDate::from_ymd_opt(2026, 1, 5).unwrap()) {
            let rest = sale.lines.iter().fold(sale.sale, |rest, line| rest.minus(line.sale));
            assert_eq!(rest, Money::cents(0));
            assert!(sale.amendment.iter().all(|it| it.at > sale.appeared_at));
            assert!(sale.decision.iter().all(|it| sale.amendment.iter().all(|amendment| amendment.at < it.at)));
        }
    }

    #[test]
    fn everyday_amounts_are_below_two_thousand() {
        let most = |everyday_amounts: bool| {
            let source = Source { everyday_amounts, ..source() };
            let days = (1..=28).flat_map(|day| source.day(NaiveDate::from_ymd_opt(2026, 1, day).unwrap()));
            days.map(|sale| sale.sale).max().unwrap()
        };
        assert!(most(true) < Money::cents(200_000));
        assert!(most(false) > Money::cents(9_000_000_000));
    }

    #[test]
    fn a_day_with_a_doubled_hour_has_a_sale_in_both_readings() {
        let sales = source().day(NaiveDate::from_ymd_opt(2025, 10, 26).unwrap());
        let read =
            |index: usize| crate::zone::print(sales[index].transacted_at, chrono_tz::Europe::Amsterdam, "%d %H:%M");
        assert_eq!((read(0), read(1)), ("26 02:30".to_owned(), "26 02:30".to_owned()));
        assert_ne!(sales[0].transacted_at, sales[1].transacted_at);
    }
}
