//! The records that a mapping reads.

use std::ops::Range;

use crate::{Money, Refusal, RefusalKind, TextColumn, Time};

/// The layout's inputs of all records of a response, as the host decoded them.
pub struct Records {
    columns: Vec<Input>,
    rows: usize,
    /// The inputs' paths, for reasons that name one.
    paths: Option<Box<dyn Fn() -> Vec<String> + Send + Sync>>,
}

struct Input {
    text: String,
    offsets: Vec<u32>,
    valid: Vec<u8>,
}

impl Records {
    /// Takes the host's columns.
    ///
    /// # Errors
    /// A [`Refusal`] if they are no UTF-8 or of different lengths, which no honest host sends.
    pub fn new(columns: Vec<TextColumn>) -> Result<Self, Refusal> {
        let broken = |what: &str| Refusal { kind: RefusalKind::Response, text: format!("the host's columns {what}") };
        let rows = columns.first().map_or(0, |column| column.offsets.len().saturating_sub(1));
        let mut inputs = Vec::with_capacity(columns.len());
        for column in columns {
            let text = String::from_utf8(column.bytes).map_err(|_| broken("are no UTF-8"))?;
            let fits = column.valid.is_empty() || column.valid.len() * 8 >= rows;
            if column.offsets.len() != rows + 1 || !fits {
                return Err(broken("differ in length"));
            }
            inputs.push(Input { text, offsets: column.offsets, valid: column.valid });
        }
        Ok(Self { columns: inputs, rows, paths: None })
    }

    /// The same records, whose inputs have these paths: reasons of rejects name them.
    #[must_use]
    pub fn with_paths(self, paths: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self { paths: Some(Box::new(paths)), ..self }
    }

    /// One record of these inputs out of so many, the others absent. Of an input that is given twice the first counts.
    pub(crate) fn of_one(inputs: usize, fields: &[(usize, &str)]) -> Self {
        let column = |input: usize| {
            let text = fields.iter().find(|(at, _)| *at == input).map(|(_, text)| *text);
            let bytes = text.unwrap_or_default().as_bytes().to_vec();
            TextColumn { offsets: vec![0, bytes.len() as u32], bytes, valid: vec![u8::from(text.is_some())] }
        };
        // Columns of one row whose bytes were a text are no broken ones.
        Self::new((0..inputs).map(column).collect()).unwrap_or(Self { columns: Vec::new(), rows: 0, paths: None })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The record of this place, from 0; none beyond the last.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        (index < self.rows).then_some(Record { records: self, index })
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Record<'a>;
    type IntoIter = std::iter::Map<
        std::iter::Zip<Range<usize>, std::iter::Repeat<&'a Records>>,
        fn((usize, &'a Records)) -> Record<'a>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        (0..self.rows).zip(std::iter::repeat(self)).map(|(index, records)| Record { records, index })
    }
}

/// One record. Its fields are named by their place among the layout's inputs: see [`crate::inputs!`].
#[derive(Clone, Copy)]
pub struct Record<'a> {
    records: &'a Records,
    index: usize,
}

impl<'a> Record<'a> {
    /// Its place in the response, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The field's text; none if it is absent or null.
    #[inline]
    pub fn text(&self, input: usize) -> Option<&'a str> {
        let column = self.records.columns.get(input)?;
        if !column.valid.is_empty() && column.valid[self.index / 8] & (1 << (self.index % 8)) == 0 {
            return None;
        }
        column.text.get(column.offsets[self.index] as usize..column.offsets[self.index + 1] as usize)
    }

    /// The field's text without white space around it; none if nothing is left.
    #[inline]
    pub fn filled(&self, input: usize) -> Option<&'a str> {
        self.text(input).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The field's text, which must be there.
    ///
    /// # Errors
    /// The reason to reject the record.
    pub fn required(&self, input: usize) -> Result<&'a str, String> {
        self.filled(input).ok_or_else(|| format!("{} is missing", self.place(input)))
    }

    /// Whether the field is `true`, `1`, `y` or `yes`; none if it is absent or empty.
    pub fn flag(&self, input: usize) -> Option<bool> {
        self.filled(input).map(|text| ["true", "1", "y", "yes"].iter().any(|word| text.eq_ignore_ascii_case(word)))
    }

    /// The field as money: see [`Money::parse`].
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that is no amount.
    pub fn money(&self, input: usize) -> Result<Option<Money>, String> {
        self.money_by(input, Money::parse)
    }

    /// The field as money read by `parse`.
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that `parse` can't read.
    pub fn money_by(&self, input: usize, parse: impl Fn(&str) -> Option<Money>) -> Result<Option<Money>, String> {
        let Some(text) = self.filled(input) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| format!("{}: `{}` is no amount", self.place(input), cut(text)))
    }

    /// The field as money read by `parse`, which is given the amount's currency: for whole numbers of its minor unit. Zero is zero
    /// in every currency.
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that `parse` can't read, as where the currency is missing.
    pub fn money_in(
        &self,
        input: usize,
        currency: Option<&str>,
        parse: impl Fn(&str, Option<&str>) -> Option<Money>,
    ) -> Result<Option<Money>, String> {
        let Some(text) = self.filled(input) else { return Ok(None) };
        let currency = currency.map(str::trim).filter(|currency| !currency.is_empty());
        let zero = || Money::parse(text).filter(|money| currency.is_none() && money.micros() == 0);
        let what = if currency.is_some() { "is no amount" } else { "is an amount whose currency is missing" };
        let found = parse(text, currency).or_else(zero);
        found.map(Some).ok_or_else(|| format!("{}: `{}` {what}", self.place(input), cut(text)))
    }

    /// The field as a whole number: `12`, or `12.0` as some networks write counts.
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that is no whole number.
    pub fn count(&self, input: usize) -> Result<Option<i64>, String> {
        let Some(text) = self.filled(input) else { return Ok(None) };
        let micros = Money::parse(text).map(Money::micros).filter(|micros| micros % 1_000_000 == 0);
        let number = micros.map(|micros| micros / 1_000_000);
        number.map(Some).ok_or_else(|| format!("{}: `{}` is no whole number", self.place(input), cut(text)))
    }

    /// The field's JSON text, an array or an object; nothing if it is absent.
    pub fn nested(&self, input: usize) -> crate::Nested<'a> {
        crate::Nested::new(self.text(input).unwrap_or_default())
    }

    /// The first of these fields that is filled.
    pub fn first_filled(&self, inputs: &[usize]) -> Option<&'a str> {
        inputs.iter().find_map(|input| self.filled(*input))
    }

    /// The field as a time written by `pattern`: see [`Time::parse`].
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that is no such time.
    pub fn time(&self, input: usize, pattern: &str) -> Result<Option<Time>, String> {
        self.time_by(input, |text| Time::parse(text, pattern))
    }

    /// The field as an ISO 8601 time: see [`Time::iso`].
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that is no such time.
    pub fn iso_time(&self, input: usize) -> Result<Option<Time>, String> {
        self.time_by(input, Time::iso)
    }

    /// The field as a time read by `parse`; none for what stands for none: see [`Time::stands_for_none`].
    ///
    /// # Errors
    /// The reason to reject the record, if there is a text that `parse` can't read.
    pub fn time_by(&self, input: usize, parse: impl Fn(&str) -> Option<Time>) -> Result<Option<Time>, String> {
        let Some(text) = self.filled(input) else { return Ok(None) };
        let time = parse(text);
        if Time::stands_for_none(text, time) {
            return Ok(None);
        }
        time.map(Some).ok_or_else(|| format!("{}: `{}` is no time", self.place(input), cut(text)))
    }

    /// How a reason names an input.
    fn place(&self, input: usize) -> String {
        let path = self.records.paths.as_ref().and_then(|paths| paths().into_iter().nth(input));
        path.map_or_else(|| format!("input {input}"), |path| format!("`{path}`"))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Names the layout's inputs: constants of their places, and `inputs()` with their paths.
///
/// ```
/// sluice_connector::inputs! { ID = "id", CURRENCY = "commissionAmount.currency" }
/// assert_eq!((ID, CURRENCY), (0, 1));
/// assert_eq!(inputs()[CURRENCY], "commissionAmount.currency");
/// ```
#[macro_export]
macro_rules! inputs {
    ($($name:ident = $path:literal),* $(,)?) => {
        $crate::inputs!(@number 0usize; $($name)*);

        fn inputs() -> Vec<String> {
            vec![$($path.to_owned()),*]
        }
    };
    (@number $place:expr; $name:ident $($rest:ident)*) => {
        const $name: usize = $place;
        $crate::inputs!(@number $place + 1; $($rest)*);
    };
    (@number $place:expr;) => {};
}
