//! What the contract takes of a row.

use crate::{Time, Transaction};

/// Longest transaction id that the contract takes, in bytes.
const MAX_ID: usize = 1_024;
/// Longest word for a currency that the contract takes, in bytes.
const MAX_CURRENCY: usize = 100;
/// Largest count that the contract takes: it has twelve digits, as the whole part of an amount.
const MAX_COUNT: i64 = 999_999_999_999;

/// Why the contract doesn't take a row.
pub(crate) fn check(row: &Transaction) -> Result<(), String> {
    if row.transaction_id.is_empty() {
        return Err("it has no transaction id".into());
    }
    if row.transaction_id.len() > MAX_ID {
        return Err(format!("its transaction id has {} bytes, {MAX_ID} are allowed", row.transaction_id.len()));
    }
    let time = row.transacted_at.ok_or("it has no transaction time")?;
    if !time.is_real() {
        return Err("its transaction time is outside of the years 1900 to 2200".into());
    }
    check_currency(row.sale_currency)?;
    check_currency(row.commission_currency)
}

/// Why the contract doesn't take a currency.
pub(crate) fn check_currency(word: Option<&str>) -> Result<(), String> {
    match word.filter(|word| word.len() > MAX_CURRENCY) {
        Some(word) => Err(format!("`{}…` is no currency", word.chars().take(40).collect::<String>())),
        None => Ok(()),
    }
}

/// Why the contract doesn't take an id.
pub(crate) fn check_id(column: &str, id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err(format!("`{column}` is empty")),
        1..=MAX_ID => Ok(()),
        bytes => Err(format!("`{column}` has {bytes} bytes, {MAX_ID} are allowed")),
    }
}

/// Why the contract doesn't take a day that must be there.
pub(crate) fn check_day(column: &str, day: Option<Time>) -> Result<(), String> {
    match day {
        None => Err(format!("`{column}` is missing")),
        Some(day) if !day.is_real() => Err(format!("`{column}` is outside of the years 1900 to 2200")),
        Some(_) => Ok(()),
    }
}

/// Why the contract doesn't take a count.
pub(crate) fn check_count(column: &str, count: Option<i64>) -> Result<(), String> {
    match count.filter(|count| count.unsigned_abs() > MAX_COUNT.unsigned_abs()) {
        Some(count) => Err(format!("`{column}`: {count} is too large a number")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_the_contract_does_not_take_has_its_reason() {
        let (now, never) = (Time::iso("2026-01-01"), Time::iso("0001-01-01"));
        let good =
            Transaction { transaction_id: "1", transacted_at: now, validated_at: never, ..Transaction::default() };
        assert_eq!(check(&good), Ok(()));
        let long = "1".repeat(MAX_ID + 1);
        for (row, reason) in [
            (Transaction { transaction_id: "", ..good }, "it has no transaction id"),
            (Transaction { transaction_id: &long, ..good }, "its transaction id has 1025 bytes, 1024 are allowed"),
            (Transaction { transacted_at: None, ..good }, "it has no transaction time"),
            (Transaction { transacted_at: never, ..good }, "its transaction time is outside of the years 1900 to 2200"),
            (Transaction { sale_currency: Some(&long), ..good }, &format!("`{}…` is no currency", "1".repeat(40))),
        ] {
            assert_eq!(check(&row), Err(reason.to_owned()));
        }
    }
}
