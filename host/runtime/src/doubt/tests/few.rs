//! Few records, compared with what was first and with what the tables have of them.

use sluice_lake::{KnownTransaction, Worth};

use super::super::{is_odd, judge_known};
use super::*;

fn worth(row: &Row) -> Worth {
    Worth {
        commission: row.commission,
        commission_currency: row.currency.map(str::to_owned),
        sale: row.sale,
        sale_currency: row.currency.map(str::to_owned),
        status: row.status.to_owned(),
        has_sub_ids: row.sub_id.is_some(),
    }
}

/// What is odd about so many transactions that changed so, of which further ones stayed.
fn changed(count: usize, stayed: usize, change: impl Fn(&mut Row)) -> Vec<(DoubtKind, Option<String>)> {
    let mut now = rows(count + stayed);
    now.iter_mut().take(count).for_each(change);
    let known: Vec<KnownTransaction> =
        now.iter().map(|now| KnownTransaction { before: worth(&row()), now: worth(now) }).collect();
    let doubts = judge_known(&profile(1, &rows(10)), &layout(), &DoubtSettings::default(), &seen(&now), &known);
    doubts.into_iter().map(|doubt| (doubt.kind, doubt.field)).collect()
}

#[test]
fn known_transactions_that_change_alike_are_doubted() {
    for (count, stayed) in [(1, 0), (2, 0), (4, 3), (9, 1)] {
        let place = format!("{count} of {}", count + stayed);
        let unit = |factor: i128, divisor: i128| {
            changed(count, stayed, |row| row.commission = row.commission.map(|amount| amount * factor / divisor))
        };
        assert_eq!(unit(100, 1), about(DoubtKind::Unit, "commission_amount"), "{place}");
        assert_eq!(unit(1, 100), about(DoubtKind::Unit, "commission_amount"), "{place}");
        assert_eq!(unit(99, 1), [], "{place}");
        let dollars = changed(count, stayed, |row| row.currency = Some("USD"));
        assert_eq!(dollars[0], (DoubtKind::Currency, Some("commission_currency".to_owned())), "{place}");
        let lost = changed(count, stayed, |row| row.commission = None);
        assert_eq!(lost, about(DoubtKind::Fill, "commission.amount"), "{place}");
    }
    assert_eq!(changed(3, 0, |row| row.status = "unknown"), about(DoubtKind::Status, "validation_status"));
}

#[test]
fn corrections_of_known_transactions_are_not_doubted() {
    let none = Vec::new();
    assert_eq!(changed(1, 9, |row| row.commission = None), none, "one of ten");
    assert_eq!(changed(5, 5, |row| row.commission = Some(800_000_000)), none, "half of them");
    assert_eq!(changed(2, 0, |row| row.status = "unknown"), none, "a new word");
    assert_eq!(changed(10, 0, |row| row.commission = Some(16_000_000)), none, "twice as much");
    assert_eq!(changed(10, 0, |row| row.currency = Some("gbp")), none, "case is no difference");
    let decided = |row: &mut Row| (row.status, row.commission) = ("declined", None);
    assert_eq!(changed(2, 0, decided), none, "a decision may take the amount");
    assert_eq!(changed(3, 0, decided), about(DoubtKind::Fill, "commission.amount"), "not of all");
}

#[test]
fn amounts_that_were_rounded_are_in_another_unit_too() {
    let rounded = changed(4, 0, |row| row.sale = row.sale.map(|_| 1_000_000));
    assert_eq!(rounded, about(DoubtKind::Unit, "sale_amount"));
    let odd = |before: i128, now: i128| {
        let worth = |amount| Worth { commission: Some(amount), status: "pending".to_owned(), ..Worth::default() };
        let known = [KnownTransaction { before: worth(before), now: worth(now) }];
        !judge_known(&profile(1, &rows(10)), &layout(), &DoubtSettings::default(), &seen(&rows(1)), &known).is_empty()
    };
    assert!(
        odd(8_454_000, 80_000) && odd(8_454_000, 84_540) && odd(84_540, 8_454_000) && odd(-1_230_000, -123_000_000)
    );
    assert!(!odd(8_454_000, 70_000) && !odd(8_000_000, 0) && !odd(8_000_000, 8_000_000) && !odd(8_000_000, 1_000_000));
}

#[test]
fn only_what_is_odd_is_compared_with_the_tables() {
    let usual = profile(5, &rows(100));
    let is_odd = |change: fn(&mut Row)| {
        let mut now = rows(10);
        change(&mut now[0]);
        is_odd(&usual, &seen(&now))
    };
    assert!(!is_odd(|_| ()) && !is_odd(|row| row.commission = Some(9_000_000)));
    assert!(is_odd(|row| row.commission = None) && is_odd(|row| row.currency = Some("USD")));
    assert!(is_odd(|row| row.status = "unknown"));
}

#[test]
fn a_first_answer_without_any_commission_is_doubted_once() {
    let without = |count| vec![Row { commission: None, ..row() }; count];
    let mut moved = mapped_at(&rows(5), "commission");
    moved.transactions = mapped_at(&without(5), "commission").transactions;
    let doubts = judge_response(&Profile::default(), &layout(), &DoubtSettings::default(), &Observation::of(&moved));
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert_eq!(doubts[0].field.as_deref(), Some("commission.amount"));
    assert_eq!(
        doubts[0].reason,
        "commission_amount is null in all 5 transactions, the first of this account; no record has \
         `commission.amount`, they have `commission`"
    );
    assert_eq!(judged(&Profile::default(), &seen(&without(4))), [], "four tell nothing");
    assert_eq!(judged(&Profile::default(), &seen(&without(5))), about(DoubtKind::Fill, "commission_amount"));
    assert_eq!(judged(&profile(1, &without(4)), &seen(&without(1))), [], "the network may give none");
    assert_eq!(judged(&profile(1, &without(5)), &seen(&without(5))), [], "it is usual");
    let mut mixed = without(5);
    mixed.push(row());
    assert_eq!(judged(&Profile::default(), &seen(&mixed)), []);
}

#[test]
fn a_field_that_most_records_lack_is_doubted() {
    let mut mixed = vec![Row { commission: None, ..row() }; 9];
    mixed.push(row());
    assert_eq!(judged(&profile(1, &rows(10)), &seen(&mixed)), about(DoubtKind::Fill, "commission.amount"));
    mixed.extend(rows(3));
    assert_eq!(judged(&profile(1, &rows(10)), &seen(&mixed)), [], "nine of 13, and little is known");
    assert_eq!(judged(&profile(2, &rows(10)), &seen(&mixed)), about(DoubtKind::Fill, "commission.amount"));
}

#[test]
fn thresholds_are_those_of_the_settings() {
    let parsed: DoubtSettings = serde_json::from_str(r#"{"min_records": 20, "share": 0.9, "factor": 200}"#).unwrap();
    let judged = |seen: &Observation| judge_response(&profile(10, &rows(10)), &layout(), &parsed, seen).len();
    let without = |count| seen(&vec![Row { commission: None, ..row() }; count]);
    assert_eq!((judged(&without(19)), judged(&without(20))), (0, 1));
    let cents = vec![Row { commission: Some(800_000_000), ..row() }; 20];
    assert_eq!(judged(&seen(&cents)), 0);
    for wrong in [r#"{"share": 1}"#, r#"{"share": -0.1}"#, r#"{"min_records": 0}"#, r#"{"factor": 1}"#] {
        assert!(serde_json::from_str::<DoubtSettings>(wrong).is_err(), "{wrong}");
    }
}
