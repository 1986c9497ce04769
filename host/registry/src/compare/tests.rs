#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, StringArray};
use sluice_model::{BodyFindings, NativeBatch, Reject};

use super::*;

/// Rows of id, status and commission in euros.
fn mapped(rows: &[(&str, &str, i64)]) -> Mapped {
    let text = |of: fn(&(&str, &str, i64)) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| i128::from(row.2) * 1_000_000));
    let amounts: ArrayRef = Arc::new(amounts.with_precision_and_scale(18, 6).unwrap());
    let columns = [
        ("transaction_id", text(|row| row.0.to_owned())),
        ("status_raw", text(|row| row.1.to_owned())),
        ("commission_amount", amounts),
        ("commission_currency", text(|_| "EUR".to_owned())),
    ];
    Mapped {
        native: NativeBatch { rows: rows.len(), columns: vec![] },
        transactions: Some(RecordBatch::try_from_iter(columns).unwrap()),
        facts: std::collections::BTreeMap::new(),
        rejects: vec![],
        unknown_statuses: vec![],
        total: None,
        findings: BodyFindings::default(),
    }
}

fn compare(running: &Mapped, candidate: &Mapped) -> Comparison {
    let mut comparison = Comparison::default();
    comparison.add(running, candidate);
    comparison
}

#[test]
fn the_same_rows_in_another_order_do_not_differ() {
    let running = mapped(&[("1", "open", 5), ("2", "paid", 7)]);
    let comparison = compare(&running, &mapped(&[("2", "paid", 7), ("1", "open", 5)]));
    assert!(comparison.is_empty(), "{comparison:?}");
}

#[test]
fn rows_fields_and_money_are_counted() {
    let running = mapped(&[("1", "open", 5), ("2", "paid", 7), ("2", "paid", -7)]);
    let comparison = compare(&running, &mapped(&[("1", "open", 6), ("2", "paid", 7), ("3", "open", 1)]));
    assert_eq!((comparison.added, comparison.removed, comparison.changed), (1, 1, 1));
    assert_eq!(comparison.fields, BTreeMap::from([("commission_amount".to_owned(), 1)]));
    assert_eq!(comparison.money["EUR"], Pair { running: 5_000_000, candidate: 14_000_000 });
    assert!((comparison.share() - 1.0).abs() < f64::EPSILON);
    let lines = comparison.lines().join("\n");
    assert!(lines.contains("commission EUR: 5.000000 → 14.000000"), "{lines}");
}

/// Payments of id and amount in euros.
fn with_payments(rows: &[(&str, i64)]) -> Mapped {
    let ids: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| i128::from(row.1) * 1_000_000));
    let amounts = amounts.with_precision_and_scale(18, 6).unwrap();
    let currencies: StringArray = rows.iter().map(|_| Some("EUR")).collect();
    let columns: [(&str, ArrayRef); 3] =
        [("payment_id", Arc::new(ids)), ("amount", Arc::new(amounts)), ("currency", Arc::new(currencies))];
    let payments = RecordBatch::try_from_iter(columns).unwrap();
    Mapped { facts: BTreeMap::from([(Fact::Payments, payments)]), ..mapped(&[("1", "open", 5)]) }
}

#[test]
fn payments_and_their_money_are_compared() {
    let running = with_payments(&[("a", 100), ("b", 50)]);
    assert!(compare(&running, &with_payments(&[("b", 50), ("a", 100)])).is_empty());
    let mut comparison = compare(&running, &with_payments(&[("a", 10_000), ("c", 50)]));
    assert_eq!((comparison.added, comparison.removed, comparison.changed), (1, 1, 1));
    assert_eq!(comparison.fields, BTreeMap::from([("payments.amount".to_owned(), 1)]));
    assert_eq!(comparison.facts["payments"], Pair { running: 2, candidate: 2 });
    assert_eq!(comparison.fact_money["payments EUR"].candidate, 10_050_000_000);
    assert!((comparison.share() - 1.0).abs() < f64::EPSILON, "3 of 3 rows");
    let lines = comparison.lines().join("\n");
    assert!(lines.contains("amount of payments EUR: 150.000000 → 10050.000000"), "{lines}");
    comparison.merge(&comparison.clone());
    assert_eq!(comparison.facts["payments"], Pair { running: 4, candidate: 4 });
    let none = compare(&running, &mapped(&[("1", "open", 5)]));
    assert_eq!((none.removed, none.facts["payments"]), (2, Pair { running: 2, candidate: 0 }));
}

#[test]
fn items_make_a_transaction_that_differs_no_smaller_a_part() {
    let many: Vec<(String, i64)> = (0..9).map(|number| (number.to_string(), 1)).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|(id, amount)| (id.as_str(), *amount)).collect();
    let running = with_payments(&many);
    let candidate = Mapped { facts: running.facts.clone(), ..mapped(&[("1", "open", 6)]) };
    assert!((compare(&running, &candidate).share() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn further_rejects_and_faults_differ() {
    let running = mapped(&[("1", "open", 5)]);
    let mut candidate = running.clone();
    candidate.rejects.push(Reject { record_index: 0, reason: "no date".to_owned() });
    assert!(compare(&running, &candidate).share() > 0.0);
    assert!((compare(&candidate, &running).share() - 0.0).abs() < f64::EPSILON, "fewer rejects are no fault");
    let mut comparison = compare(&running, &running);
    comparison.add_fault("it trapped".to_owned());
    assert!(!comparison.is_empty());
}

#[test]
fn sums_add_up() {
    let running = mapped(&[("1", "open", 5)]);
    let mut comparison = compare(&running, &mapped(&[("1", "open", 6)]));
    comparison.merge(&comparison.clone());
    assert_eq!((comparison.changed, comparison.responses, comparison.fields["commission_amount"]), (2, 2, 2));
    assert_eq!(comparison.money["EUR"], Pair { running: 10_000_000, candidate: 12_000_000 });
}
