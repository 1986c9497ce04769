#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Decimal128Type, TimestampMicrosecondType};

use super::*;

fn text(values: &[Option<&str>]) -> wire::TextColumnResult {
    let mut column = wire::TextColumnResult { offsets: vec![0], bytes: vec![], valid: bitmap(values) };
    for value in values {
        column.bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        column.offsets.push(u32::try_from(column.bytes.len()).unwrap());
    }
    column
}

fn bitmap<T>(values: &[Option<T>]) -> Vec<u8> {
    let bit = |chunk: &[Option<T>]| chunk.iter().rev().fold(0, |byte, value| byte << 1 | u8::from(value.is_some()));
    values.chunks(8).map(bit).collect()
}

fn bytes(values: &[u8]) -> wire::ByteColumn {
    wire::ByteColumn { values: values.to_vec(), valid: vec![] }
}

fn times(values: &[i64], basis: wire::TimeBasis) -> wire::TimeColumn {
    wire::TimeColumn { values: values.to_vec(), bases: vec![basis as u8; values.len()], valid: vec![] }
}

fn money(values: &[Option<i64>]) -> wire::MoneyColumn {
    wire::MoneyColumn { values: values.iter().map(|value| value.unwrap_or(0)).collect(), valid: bitmap(values) }
}

fn column(name: &str, values: wire::Values) -> wire::Column {
    wire::Column { name: name.to_owned(), values }
}

/// Two transactions: an approved sale and a declined lead.
fn two() -> wire::Batch {
    let columns = vec![
        column("transaction_id", wire::Values::Text(text(&[Some("1001"), Some("1002")]))),
        column("kind", wire::Values::Words(bytes(&[0, 1]))),
        column("validation_status", wire::Values::Words(bytes(&[1, 2]))),
        column("payment_status", wire::Values::Words(bytes(&[4, 4]))),
        column("status_raw", wire::Values::Text(text(&[Some("approved"), None]))),
        column("transacted_at", wire::Values::Time(times(&[1_767_225_600_000_000; 2], wire::TimeBasis::Local))),
        column("commission_amount", wire::Values::Money(money(&[Some(-1_500_000), Some(2_000_000)]))),
        column("commission_currency", wire::Values::Text(text(&[Some("EUR"), None]))),
    ];
    wire::Batch {
        fact: TRANSACTIONS.to_owned(),
        records: vec![0, 1],
        timezone: "Europe/Amsterdam".to_owned(),
        timezone_basis: wire::TimezoneBasis::Declared,
        columns,
    }
}

/// The two transactions with another column, or with one in the place of their own.
fn two_with(name: &str, values: wire::Values) -> wire::Batch {
    let mut batch = two();
    batch.columns.retain(|column| column.name != name);
    batch.columns.push(column(name, values));
    batch
}

fn refused(change: impl FnOnce(&mut wire::Batch)) -> String {
    let mut wire = two();
    change(&mut wire);
    batch(wire, 2, 10, None).expect_err("it is malformed")
}

fn refused_with(name: &str, values: wire::Values) -> String {
    batch(two_with(name, values), 2, 10, None).expect_err("it is malformed")
}

#[test]
fn the_batch_has_exactly_the_schema() {
    let batch = batch(two(), 2, 10, None).unwrap();
    assert_eq!(batch.schema(), sluice_model::mapped_transactions_schema());
    let words = |name: &str| -> Vec<String> {
        batch.column_by_name(name).unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    };
    assert_eq!(words("kind"), ["sale", "lead"]);
    assert_eq!(words("validation_status"), ["approved", "declined"]);
    assert_eq!(words("payment_status"), ["unknown", "unknown"]);
    assert_eq!(words("id_basis"), ["native", "native"]);
    assert_eq!(words("timezone_basis"), ["declared", "declared"]);
    assert_eq!(words("network_timezone"), ["Europe/Amsterdam", "Europe/Amsterdam"]);
    assert_eq!(words("time_basis"), ["local", "local"]);
    assert_eq!(words("status_raw"), ["approved"]);
    assert_eq!(batch.column_by_name("order_id").unwrap().null_count(), 2);
    assert_eq!(batch.column_by_name("sub_ids").unwrap().null_count(), 2);
}

#[test]
fn a_declined_commission_counts_nothing_and_a_negative_one_counts() {
    let batch = batch(two(), 2, 10, None).unwrap();
    let money = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().values().to_vec();
    assert_eq!(money("commission_amount"), [-1_500_000, 2_000_000]);
    assert_eq!(money("commission_effective"), [-1_500_000, 0]);
}

#[test]
fn the_day_is_the_networks() {
    let batch = batch(two(), 2, 10, None).unwrap();
    let days = batch.column_by_name("transaction_day").unwrap().as_primitive::<Date32Type>().values().to_vec();
    let at = batch.column_by_name("transacted_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(at, 1_767_225_600_000_000 - 3_600_000_000);
    assert_eq!(days[0], 20_454);
}

#[test]
fn days_are_those_of_the_zone_that_the_operator_says() {
    let of = |zone: Option<chrono_tz::Tz>, basis: wire::TimezoneBasis| {
        let batch = batch(wire::Batch { timezone_basis: basis, ..two() }, 2, 10, zone).unwrap();
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
        let at = batch.column_by_name("transacted_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
        let day = batch.column_by_name("transaction_day").unwrap().as_primitive::<Date32Type>().value(0);
        (at, day, text("network_timezone"), text("timezone_basis"))
    };
    let midnight = 1_767_225_600_000_000;
    // Midnight in Amsterdam is still the day before in London.
    let london = of(Some(chrono_tz::Europe::London), wire::TimezoneBasis::Declared);
    assert_eq!(london, (midnight - 3_600_000_000, 20_453, "Europe/London".to_owned(), "operator".to_owned()));
    // A zone that the connector only assumes is the operator's to say.
    let assumed = of(Some(chrono_tz::Europe::London), wire::TimezoneBasis::Assumed);
    assert_eq!(assumed, (midnight, 20_454, "Europe/London".to_owned(), "operator".to_owned()));
    let same = of(Some(chrono_tz::Europe::Amsterdam), wire::TimezoneBasis::Declared);
    assert_eq!((same.1, same.3.as_str()), (20_454, "declared"));
}

#[test]
fn a_commission_in_points_is_kept_and_counts_nothing() {
    let currency = wire::Values::Text(text(&[Some("points"), Some("eur")]));
    let batch = batch(two_with("commission_currency", currency), 2, 10, None).unwrap();
    let money = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().values().to_vec();
    let texts = |name: &str| -> Vec<Option<String>> {
        batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    assert_eq!(money("commission_amount"), [-1_500_000, 2_000_000]);
    assert_eq!(money("commission_effective"), [0, 0], "the one in points, the other declined");
    assert_eq!(texts("commission_currency"), [None, Some("EUR".to_owned())]);
    assert_eq!(texts("commission_currency_raw"), [Some("points".to_owned()), Some("eur".to_owned())]);
}

#[test]
fn no_rows_make_an_empty_batch() {
    let mut wire = two();
    wire.records.clear();
    wire.columns = vec![
        column("transaction_id", wire::Values::Text(text(&[]))),
        column("kind", wire::Values::Words(bytes(&[]))),
        column("validation_status", wire::Values::Words(bytes(&[]))),
        column("payment_status", wire::Values::Words(bytes(&[]))),
        column("transacted_at", wire::Values::Time(times(&[], wire::TimeBasis::Instant))),
    ];
    assert_eq!(batch(wire, 0, 10, None).unwrap().num_rows(), 0);
}

#[test]
fn what_breaks_the_contract_is_named_by_its_column() {
    let words = |values: &[u8], valid: &[u8]| {
        wire::Values::Words(wire::ByteColumn { values: values.to_vec(), valid: valid.to_vec() })
    };
    assert_eq!(refused(|t| t.records = vec![0, 2]), "transactions.record_index: it names record 2 of 2");
    let ids = |ids: [Option<&str>; 2]| refused_with("transaction_id", wire::Values::Text(text(&ids)));
    assert_eq!(ids([Some("1"), None]), "transactions.transaction_id: it has nulls");
    let too_short = "transactions.transaction_id: row 1 is empty or longer than 1024 bytes";
    assert_eq!(ids([Some("1"), Some("")]), too_short);
    assert_eq!(refused_with("kind", words(&[0, 7], &[])), "transactions.kind: row 1 is 7, of 7 cases");
    assert_eq!(refused_with("kind", words(&[0, 0], &[1])), "transactions.kind: it has nulls");
    let mut sales = times(&[0; 2], wire::TimeBasis::Instant);
    sales.valid = vec![2];
    assert_eq!(refused_with("transacted_at", wire::Values::Time(sales)), "transactions.transacted_at: it has nulls");
    let paid = wire::Values::Time(times(&[0], wire::TimeBasis::Instant));
    assert_eq!(refused_with("paid_at", paid), "transactions.paid_at: it has 1 values for 2 rows");
    assert!(refused(|t| t.timezone = "Mars".to_owned()).starts_with("transactions.timezone: "));
    let word = "x".repeat(101);
    let currency = wire::Values::Text(text(&[Some(&word), None]));
    assert!(refused_with("sale_currency", currency).contains("is no currency: 100 bytes are allowed"));
    assert!(refused(|t| t.records = vec![0; 11]).contains("10 are allowed"));
}

#[test]
fn a_column_is_known_once_and_of_its_kind() {
    let flags = || wire::Values::Flag(bytes(&[0, 1]));
    assert_eq!(refused_with("colour", flags()), "transactions have no column \"colour\"");
    // What engine and lake give is no connector's to give.
    for name in ["commission_effective", "content_hash", "record_index", "transaction_day"] {
        assert_eq!(refused_with(name, flags()), format!("transactions have no column {name:?}"));
    }
    assert_eq!(refused_with("device", flags()), "transactions.device: its values are no text");
    assert_eq!(
        refused_with("is_locked", wire::Values::Words(bytes(&[0, 1]))),
        "transactions.is_locked: its values are no boolean"
    );
    let twice = |t: &mut wire::Batch| t.columns.push(column("kind", wire::Values::Words(bytes(&[0, 0]))));
    assert_eq!(refused(twice), "transactions.kind: it comes twice");
    for name in ["transaction_id", "kind", "validation_status", "payment_status", "transacted_at"] {
        let missing = refused(|t| t.columns.retain(|column| column.name != name));
        assert_eq!(missing, format!("transactions.{name}: it is missing"));
    }
}

#[test]
fn each_row_has_the_basis_of_its_id() {
    let with = |values: &[u8], valid: &[u8]| {
        let column = wire::ByteColumn { values: values.to_vec(), valid: valid.to_vec() };
        batch(two_with("id_basis", wire::Values::Words(column)), 2, 10, None)
    };
    let rows = with(&[2, 1], &[]).unwrap();
    let words: Vec<_> = rows.column_by_name("id_basis").unwrap().as_string::<i32>().iter().flatten().collect();
    assert_eq!(words, ["row-hash", "composed"]);
    assert_eq!(with(&[0, 3], &[]).unwrap_err(), "transactions.id_basis: row 1 is 3, of 3 cases");
    assert_eq!(with(&[0], &[]).unwrap_err(), "transactions.id_basis: it has 1 values for 2 rows");
    assert_eq!(with(&[0, 0], &[1]).unwrap_err(), "transactions.id_basis: it has nulls");
}
