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
        advertiser_id: None,
    }
}

/// What is odd about so many transactions that changed so, of which further ones stayed.
fn changed(count: usize, stayed: usize, change: impl Fn(&mut Row)) -> Vec<(DoubtKind, Option<String>)> {
    let mut now = rows(count + stayed);
    now.iter_mut().take(count).for_each(change);
    let known: Vec<KnownTransaction> =
        now.iter().map(|now| KnownTransaction { before: worth(&row()), now: worth(now), count: 1 }).collect();
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
        assert_eq!(unit(9, 1), [], "{place}");
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
    assert_eq!(changed(2, 8, |row| row.commission = Some(800_000_000)), none, "two of ten");
    assert_eq!(changed(5, 5, |row| row.commission = Some(790_000_000)), none, "half of them, by no unit");
    assert_eq!(changed(2, 0, |row| row.status = "unknown"), none, "a new word");
    assert_eq!(changed(10, 0, |row| row.commission = Some(16_000_000)), none, "twice as much");
    assert_eq!(changed(10, 0, |row| row.currency = Some("gbp")), none, "case is no difference");
    let decided = |row: &mut Row| (row.status, row.commission) = ("declined", None);
    assert_eq!(changed(2, 0, decided), none, "a decision may take the amount");
    assert_eq!(changed(3, 0, decided), about(DoubtKind::Fill, "commission.amount"), "not of all");
}

#[test]
fn what_no_business_does_is_doubted_of_a_few_of_many() {
    let hundred = |row: &mut Row| row.commission = Some(800_000_000);
    assert_eq!(changed(3, 97, hundred), about(DoubtKind::Unit, "commission_amount"));
    assert_eq!(changed(50, 50, |row| row.sale = Some(100_000)), about(DoubtKind::Unit, "sale_amount"));
    let dollars = changed(5, 5, |row| row.currency = Some("USD"));
    assert_eq!(dollars, about(DoubtKind::Currency, "commission_currency"));
    assert_eq!(changed(6, 6, |row| row.commission = row.sale), about(DoubtKind::Unit, "commission_amount"));
    assert_eq!(changed(6, 6, |row| row.commission = Some(-8_000_000)), about(DoubtKind::Unit, "commission_amount"));
    assert_eq!(changed(3, 9, |row| row.currency = None), about(DoubtKind::Fill, "commission_currency"));
    assert_eq!(changed(6, 6, |row| row.commission = Some(0)), about(DoubtKind::Fill, "commission_amount"));
    assert_eq!(changed(4, 6, |row| row.commission = None), about(DoubtKind::Fill, "commission_amount"));
    // A decision, a return, a correction.
    let none = Vec::new();
    let approved = |row: &mut Row| (row.status, row.commission) = ("approved", Some(800_000_000));
    assert_eq!(changed(5, 5, approved), none);
    assert_eq!(changed(4, 6, |row| (row.commission, row.sale) = (Some(0), Some(0))), none);
    assert_eq!(
        changed(4, 6, |row| (row.currency, row.commission, row.sale) = (Some("USD"), Some(9_000_000), None)),
        none
    );
}

#[test]
fn a_few_returns_that_turn_the_sale_too_are_not_doubted() {
    let returned = |row: &mut Row| (row.commission, row.sale) = (Some(-8_000_000), Some(-100_000_000));
    assert_eq!(changed(3, 277, returned), []);
    assert_eq!(changed(3, 277, |row| (row.commission, row.sale) = (Some(-8_000_000), Some(0))), []);
    assert_eq!(changed(7, 5, returned), about(DoubtKind::Unit, "commission_amount"), "most of them");
    let commission = |row: &mut Row| row.commission = Some(-8_000_000);
    assert_eq!(changed(3, 277, commission), about(DoubtKind::Unit, "commission_amount"), "the sale stays");
}

#[test]
fn all_amounts_ten_times_as_large_are_doubted() {
    let times = |count, stayed, factor: i128, divisor: i128| {
        changed(count, stayed, |row| row.commission = row.commission.map(|amount| amount * factor / divisor))
    };
    for (factor, divisor) in [(10, 1), (1, 10), (2_317, 200)] {
        assert_eq!(times(12, 0, factor, divisor), about(DoubtKind::Unit, "commission_amount"));
        assert_eq!(times(7, 5, factor, divisor), about(DoubtKind::Unit, "commission_amount"));
    }
    assert_eq!((times(6, 6, 10, 1), times(2, 0, 10, 1), times(12, 0, 5, 1)), (vec![], vec![], vec![]));
}

#[test]
fn what_one_advertiser_loses_is_doubted() {
    let known = |lost: usize, status: &str| {
        let mut found = Vec::new();
        for at in 0..60 {
            let before = Worth { advertiser_id: Some((7_000 + at % 3).to_string()), ..worth(&row()) };
            let mut now = before.clone();
            if at % 3 == 0 && at / 3 < lost {
                (now.has_sub_ids, now.status) = (false, status.to_owned());
            }
            found.push(KnownTransaction { before, now, count: 1 });
        }
        let doubts =
            judge_known(&profile(1, &rows(10)), &layout(), &DoubtSettings::default(), &seen(&rows(60)), &found);
        doubts.into_iter().map(|doubt| doubt.reason).collect::<Vec<_>>()
    };
    let all = "all 20 transactions of advertiser `7000` that the tables have would lose the sub_ids";
    assert_eq!(known(20, "pending"), [all]);
    assert_eq!(known(17, "pending").len(), 0, "most of them may be corrected");
    assert_eq!(known(20, "approved").len(), 0, "with a decision");
}

#[test]
fn amounts_that_were_rounded_are_in_another_unit_too() {
    let rounded = changed(4, 0, |row| row.sale = row.sale.map(|_| 1_000_000));
    assert_eq!(rounded, about(DoubtKind::Unit, "sale_amount"));
    let odd = |before: i128, now: i128| {
        let worth = |amount| Worth { commission: Some(amount), status: "pending".to_owned(), ..Worth::default() };
        let known = [KnownTransaction { before: worth(before), now: worth(now), count: 1 }];
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
    assert!(is_odd(|row| row.commission = Some(800_000_000)), "one of ten is far larger than any");
}

#[test]
fn a_few_that_change_among_many_are_compared_with_the_tables() {
    let is_odd = |many: usize, change: fn(&mut Row)| {
        let mut mixed = rows(100);
        mixed.iter_mut().step_by(10).for_each(|row| row.currency = Some("EUR"));
        let mut now = mixed.clone();
        now.iter_mut().take(many).for_each(change);
        is_odd(&profile(5, &mixed), &seen(&now))
    };
    assert!(!is_odd(0, |_| ()));
    assert!(is_odd(5, |row| row.commission = Some(80_000)) && is_odd(6, |row| row.commission = row.sale));
    assert!(is_odd(20, |row| row.currency = Some("EUR")), "a currency that the account has");
}

#[test]
fn alike_transactions_weigh_as_many_as_they_are() {
    let judged = |changed: u64, unchanged: u64, change: fn(&mut Row)| {
        let mut now = row();
        change(&mut now);
        let same = KnownTransaction { before: worth(&row()), now: worth(&row()), count: unchanged };
        let known = [same, KnownTransaction { before: worth(&row()), now: worth(&now), count: changed }];
        let rules = DoubtSettings::default();
        let doubts = judge_known(&profile(1, &rows(10)), &layout(), &rules, &seen(&[row(), now]), &known);
        doubts.into_iter().map(|doubt| doubt.reason).collect::<Vec<_>>()
    };
    let cents = |row: &mut Row| row.commission = Some(80_000);
    let text = "3 of 280 transactions that the tables have would change the commission_amount by the factor of a unit, as \
                from 8.00 to 0.08";
    assert_eq!(judged(3, 277, cents), [text]);
    assert!(judged(2, 277, cents).is_empty());
    let tenfold = |row: &mut Row| row.commission = Some(80_000_000);
    assert!(judged(7, 5, tenfold)[0].starts_with("7 of 12 transactions") && judged(6, 6, tenfold).is_empty());
    let unknown = |row: &mut Row| row.status = "unknown";
    assert!(judged(7, 5, unknown)[0].starts_with("7 of 12 transactions") && judged(6, 6, unknown).is_empty());
}

#[test]
fn three_in_another_unit_are_compared_though_the_mean_stays() {
    let is_odd = |count: usize, change: fn(&mut Row)| {
        let mut now = rows(280);
        now.iter_mut().take(count).for_each(change);
        is_odd(&profile(5, &rows(280)), &seen(&now))
    };
    let cents = |row: &mut Row| row.commission = Some(80_000);
    assert!(is_odd(3, cents) && !is_odd(2, cents), "two are corrections");
    assert!(is_odd(3, |row| row.sale = Some(1_000_000)));
    assert!(!is_odd(3, |row| row.commission = Some(8_100_000)));
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
    assert_eq!(judged(&profile(1, &without(3)), &seen(&without(1))), [], "four tell nothing, in two answers neither");
    assert_eq!(judged(&profile(1, &without(4)), &seen(&without(1))), about(DoubtKind::Fill, "commission_amount"));
    let mut taken = profile(1, &without(2));
    taken.forget(DoubtKind::Fill, None);
    taken.add(&seen(&without(2)));
    assert_eq!(judged(&taken, &seen(&without(4))), [], "a person took them: the network gives none");
    assert_eq!(judged(&profile(1, &without(5)), &seen(&without(5))), [], "it is usual");
    let mut mixed = without(5);
    mixed.push(row());
    assert_eq!(judged(&Profile::default(), &seen(&mixed)), []);
}

#[test]
fn first_amounts_without_any_currency_are_doubted_once() {
    let without = |count| vec![Row { currency: None, ..row() }; count];
    let usual = Profile::default();
    assert_eq!(judged(&usual, &seen(&without(4))), [], "four tell nothing");
    assert_eq!(judged(&usual, &seen(&without(5))), about(DoubtKind::Fill, "commission_currency"));
    assert_eq!(judged(&profile(1, &without(3)), &seen(&without(2))), about(DoubtKind::Fill, "commission_currency"));
    let mut taken = profile(1, &without(2));
    taken.forget(DoubtKind::Fill, None);
    taken.add(&seen(&without(2)));
    assert_eq!(judged(&taken, &seen(&without(4))), [], "a person took them");
    let leads = vec![Row { commission: Some(0), sale: None, ..row() }; 5];
    assert_eq!(judged(&usual, &seen(&leads)), []);
    let points = Observation { written_codes: 5, ..seen(&without(5)) };
    assert_eq!(judged(&usual, &points), [], "it has one, which is no code");
    let mut mixed = without(5);
    mixed.push(row());
    assert_eq!(judged(&usual, &seen(&mixed)), []);
}

#[test]
fn one_without_a_commission_is_doubted_where_a_thousand_had_one() {
    let without = |count| seen(&vec![Row { commission: None, ..row() }; count]);
    assert_eq!(judged(&profile(1, &rows(999)), &without(1)), []);
    assert_eq!(judged(&profile(1, &rows(1_000)), &without(1)), about(DoubtKind::Fill, "commission_amount"));
    let mut one_lacks = rows(2_000);
    one_lacks[0].commission = None;
    assert_eq!(judged(&profile(1, &one_lacks), &without(1)), [], "one of thousands had none");
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
