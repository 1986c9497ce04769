//! Currencies as networks write them, and the ISO 4217 codes that they mean.

use arrow::array::{Array, ArrayRef, StringArray};
use sluice_model::iso_currency;

use crate::call::quoted;
use crate::columns::{self, Checked};
use crate::contract::wire;

/// Longest word for a currency, in bytes.
const MAX_WORD: usize = 100;

/// A column of currencies.
pub(crate) struct Currencies {
    /// ISO 4217 codes; none where the word is none.
    pub(crate) codes: StringArray,
    /// The words that aren't the codes that they mean; none if there is no such word.
    pub(crate) written: Option<StringArray>,
}

/// The codes that a network's words mean, whatever their case. An empty word is none.
pub(crate) fn currencies(column: wire::TextColumnResult, rows: usize) -> Checked<Currencies> {
    let words = columns::text(column, rows)?;
    if let Some(long) = words.iter().flatten().find(|word| word.len() > MAX_WORD) {
        return Err(format!("{} is no currency: {MAX_WORD} bytes are allowed", quoted(long)));
    }
    // Rows of one currency mostly stand together.
    let mut last: (&str, Option<&'static str>) = ("", None);
    let mut is_written = true;
    let mut codes = Vec::with_capacity(rows);
    for word in &words {
        if let Some(word) = word.filter(|word| *word != last.0) {
            last = (word, iso_currency(word));
        }
        let code = word.and(last.1);
        is_written &= code == word;
        codes.push(code);
    }
    if is_written {
        return Ok(Currencies { codes: words, written: None });
    }
    let is_odd = |word: &&str, code: Option<&str>| code != Some(*word) && !word.trim().is_empty();
    let written: StringArray =
        words.iter().zip(&codes).map(|(word, code)| word.filter(|word| is_odd(word, *code))).collect();
    let written = (written.null_count() < rows).then_some(written);
    Ok(Currencies { codes: codes.into_iter().collect(), written })
}

/// Whether an amount of a row is in a currency that is no ISO 4217 code: then it is no money that can be summed.
pub(crate) fn is_no_money(code: Option<&ArrayRef>, written: Option<&ArrayRef>, row: usize) -> bool {
    written.is_some_and(|written| written.is_valid(row)) && code.is_some_and(|code| code.is_null(row))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(words: &[Option<&str>]) -> Checked<Currencies> {
        let mut column = wire::TextColumnResult { offsets: vec![0], bytes: Vec::new(), valid: Vec::new() };
        let mut valid = vec![0_u8; words.len().div_ceil(8)];
        for (row, word) in words.iter().enumerate() {
            column.bytes.extend_from_slice(word.unwrap_or_default().as_bytes());
            column.offsets.push(u32::try_from(column.bytes.len()).unwrap());
            valid[row / 8] |= u8::from(word.is_some()) << (row % 8);
        }
        currencies(wire::TextColumnResult { valid, ..column }, words.len())
    }

    fn texts(array: &StringArray) -> Vec<Option<&str>> {
        array.iter().collect()
    }

    #[test]
    fn codes_as_they_are_have_no_second_column() {
        let found = of(&[Some("EUR"), None, Some("USD"), Some("EUR")]).unwrap();
        assert_eq!(texts(&found.codes), [Some("EUR"), None, Some("USD"), Some("EUR")]);
        assert!(found.written.is_none());
    }

    #[test]
    fn other_words_are_kept_beside_the_codes_that_they_mean() {
        let found = of(&[Some("EUR"), Some("eur"), Some("points"), None, Some(""), Some("XXX"), Some("€")]).unwrap();
        assert_eq!(texts(&found.codes), [Some("EUR"), Some("EUR"), None, None, None, None, None]);
        let written = texts(found.written.as_ref().unwrap()).to_vec();
        assert_eq!(written, [None, Some("eur"), Some("points"), None, None, Some("XXX"), Some("€")]);
        let empty = of(&[Some(""), None]).unwrap();
        assert!(empty.written.is_none() && texts(&empty.codes) == [None, None]);
    }

    #[test]
    fn a_word_has_a_longest_length() {
        assert!(of(&[Some(&"x".repeat(100))]).is_ok());
        assert!(of(&[Some(&"x".repeat(101))]).err().unwrap().contains("is no currency: 100 bytes are allowed"));
    }
}
