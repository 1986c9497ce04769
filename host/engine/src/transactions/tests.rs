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

/// Two transactions: an approved sale and a declined lead.
fn two() -> wire::Transactions {
    wire::Transactions {
        records: vec![0, 1],
        timezone: "Europe/Amsterdam".to_owned(),
        timezone_basis: wire::TimezoneBasis::Declared,
        transaction_id: text(&[Some("1001"), Some("1002")]),
        id_basis: None,
        kind: bytes(&[0, 1]),
        validation_status: bytes(&[1, 2]),
        payment_status: bytes(&[4, 4]),
        is_locked: None,
        status_raw: Some(text(&[Some("approved"), None])),
        payment_status_raw: None,
        reason_raw: None,
        parent_transaction_id: None,
        group_key: None,
        order_id: None,
        advertiser_id: None,
        advertiser_name: None,
        site_id: None,
        site_name: None,
        transacted_at: times(&[1_767_225_600_000_000; 2], wire::TimeBasis::Local),
        clicked_at: None,
        recorded_at: None,
        modified_at: None,
        validated_at: None,
        reversed_at: None,
        locks_at: None,
        payable_at: None,
        paid_at: None,
        sale_amount: None,
        sale_currency: None,
        commission_amount: Some(money(&[Some(-1_500_000), Some(2_000_000)])),
        commission_currency: Some(text(&[Some("EUR"), None])),
        original_sale_amount: None,
        original_commission_amount: None,
        amounts_reported: None,
        sub_ids: None,
        click_id: None,
        voucher_code: None,
        device: None,
        customer_country: None,
        commission_group: None,
        payment_id: None,
    }
}

fn refused(change: impl FnOnce(&mut wire::Transactions)) -> String {
    let mut wire = two();
    change(&mut wire);
    batch(wire, 2, 10).expect_err("it is malformed")
}

#[test]
fn the_batch_has_exactly_the_schema() {
    let batch = batch(two(), 2, 10).unwrap();
    assert_eq!(batch.schema(), mapped_transactions_schema());
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
    let batch = batch(two(), 2, 10).unwrap();
    let money = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().values().to_vec();
    assert_eq!(money("commission_amount"), [-1_500_000, 2_000_000]);
    assert_eq!(money("commission_effective"), [-1_500_000, 0]);
}

#[test]
fn the_day_is_the_networks() {
    let batch = batch(two(), 2, 10).unwrap();
    let days = batch.column_by_name("transaction_day").unwrap().as_primitive::<Date32Type>().values().to_vec();
    let at = batch.column_by_name("transacted_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(at, 1_767_225_600_000_000 - 3_600_000_000);
    assert_eq!(days[0], 20_454);
}

#[test]
fn no_rows_make_an_empty_batch() {
    let mut wire = two();
    wire.records.clear();
    for column in [&mut wire.kind, &mut wire.validation_status, &mut wire.payment_status] {
        column.values.clear();
    }
    wire.transaction_id = text(&[]);
    wire.transacted_at = times(&[], wire::TimeBasis::Instant);
    (wire.status_raw, wire.commission_currency, wire.commission_amount) = (None, None, None);
    assert_eq!(batch(wire, 0, 10).unwrap().num_rows(), 0);
}

#[test]
fn what_breaks_the_contract_is_named_by_its_column() {
    assert_eq!(refused(|t| t.records = vec![0, 2]), "transactions.record_index: it names record 2 of 2");
    assert_eq!(refused(|t| t.transaction_id = text(&[Some("1"), None])), "transactions.transaction_id: it has nulls");
    assert_eq!(
        refused(|t| t.transaction_id = text(&[Some("1"), Some("")])),
        "transactions.transaction_id: row 1 is empty or longer than 1024 bytes"
    );
    assert_eq!(refused(|t| t.kind = bytes(&[0, 7])), "transactions.kind: row 1 is 7, of 7 cases");
    assert_eq!(refused(|t| t.kind.valid = vec![1]), "transactions.kind: it has nulls");
    assert_eq!(refused(|t| t.transacted_at.valid = vec![2]), "transactions.transacted_at: it has nulls");
    assert_eq!(
        refused(|t| t.paid_at = Some(times(&[0], wire::TimeBasis::Instant))),
        "transactions.paid_at: it has 1 values for 2 rows"
    );
    assert!(refused(|t| t.timezone = "Mars".to_owned()).starts_with("transactions.timezone: "));
    assert!(refused(|t| t.sale_currency = Some(text(&[Some("euro"), None]))).contains("is no currency"));
    assert!(refused(|t| t.records = vec![0; 11]).contains("10 are allowed"));
}

#[test]
fn each_row_has_the_basis_of_its_id() {
    let with = |values: &[u8], valid: &[u8]| {
        let column = wire::ByteColumn { values: values.to_vec(), valid: valid.to_vec() };
        batch(wire::Transactions { id_basis: Some(column), ..two() }, 2, 10)
    };
    let rows = with(&[2, 1], &[]).unwrap();
    let words: Vec<_> = rows.column_by_name("id_basis").unwrap().as_string::<i32>().iter().flatten().collect();
    assert_eq!(words, ["row-hash", "composed"]);
    assert_eq!(with(&[0, 3], &[]).unwrap_err(), "transactions.id_basis: row 1 is 3, of 3 cases");
    assert_eq!(with(&[0], &[]).unwrap_err(), "transactions.id_basis: it has 1 values for 2 rows");
    assert_eq!(with(&[0, 0], &[1]).unwrap_err(), "transactions.id_basis: it has nulls");
}
