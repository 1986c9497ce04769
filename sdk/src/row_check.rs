//! What the contract takes of a row.

use crate::Transaction;
use crate::columns::{Sparse, TextBuffer};

/// Longest transaction id that the contract takes, in bytes.
const MAX_ID: usize = 1_024;

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
    let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    match [row.sale_currency, row.commission_currency].into_iter().flatten().find(|code| !is_code(code)) {
        Some(code) => Err(format!("`{}` is no currency", code.chars().take(40).collect::<String>())),
        None => Ok(()),
    }
}

/// Pushes a currency, which [`check`] found to be one, in capital letters: `usd` means USD and nothing else.
pub(crate) fn push_code(column: &mut Sparse<TextBuffer>, code: Option<&str>) {
    let mut capitals: [u8; 3] = match code.map(str::as_bytes).map(TryInto::try_into) {
        Some(Ok(letters)) => letters,
        _ => return column.push(code),
    };
    capitals.make_ascii_uppercase();
    column.push(std::str::from_utf8(&capitals).ok().or(code));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

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
            (Transaction { sale_currency: Some("£"), ..good }, "`£` is no currency"),
            (Transaction { commission_currency: Some("points"), ..good }, "`points` is no currency"),
        ] {
            assert_eq!(check(&row), Err(reason.to_owned()));
        }
    }
}
