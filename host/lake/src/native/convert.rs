//! A column's literal texts into the type that its table has for it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use sluice_model::Kind;

use super::literal;
use crate::gather::{Run, gather};

/// Where the rows of a column come from: texts per response, and which rows of which.
pub(super) struct Gather<'a> {
    /// The column in each response; none where a response doesn't have it.
    pub(super) sources: Vec<Option<&'a StringArray>>,
    /// Which rows of which.
    pub(super) runs: &'a [Run],
}

/// A converted column, and what it couldn't hold.
pub(super) struct Converted {
    /// In the type of the kind.
    pub(super) values: ArrayRef,
    /// The literals that it can't hold without loss; none if it can hold all.
    pub(super) misfits: Option<StringArray>,
}

impl<'a> Gather<'a> {
    fn cells(&self) -> impl Iterator<Item = Option<&'a str>> {
        self.runs.iter().flat_map(|run| {
            let texts = self.sources[run.source as usize];
            let rows = run.start as usize..(run.start + run.rows) as usize;
            rows.map(move |row| texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row)))
        })
    }

    /// The first value.
    pub(super) fn example(&self) -> Option<&'a str> {
        self.cells().flatten().next()
    }

    /// Whether all is null.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.iter().all(Option::is_none) || self.example().is_none()
    }

    /// The column as `kind`.
    pub(super) fn convert(&self, kind: Kind) -> Result<Converted, ArrowError> {
        let count = self.runs.iter().map(|run| run.rows as usize).sum();
        let mut misfits = Misfits { count, texts: None };
        let values: ArrayRef = match kind {
            Kind::Text => self.texts()?,
            Kind::Boolean => {
                let mut builder = BooleanBuilder::with_capacity(count);
                misfits.each(self.cells(), literal::boolean, |value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            Kind::Int64 => {
                let mut builder = Int64Builder::with_capacity(count);
                misfits.each(self.cells(), literal::int64, |value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            Kind::Float64 => {
                let mut builder = Float64Builder::with_capacity(count);
                misfits.each(self.cells(), literal::float64, |value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            Kind::Decimal => {
                let mut builder = Decimal128Builder::with_capacity(count);
                misfits.each(self.cells(), literal::decimal, |value| builder.append_option(value));
                Arc::new(builder.finish().with_precision_and_scale(38, 12)?)
            }
            Kind::Timestamp => {
                let mut builder = TimestampMicrosecondBuilder::with_capacity(count);
                misfits.each(self.cells(), literal::timestamp, |value| builder.append_option(value));
                Arc::new(builder.finish().with_timezone("UTC"))
            }
        };
        Ok(Converted { values, misfits: misfits.finish() })
    }

    fn texts(&self) -> Result<ArrayRef, ArrowError> {
        let sources: Vec<Option<&dyn Array>> = self.sources.iter().map(|texts| texts.map(|texts| texts as _)).collect();
        gather(&DataType::Utf8, &sources, self.runs)
    }
}

struct Misfits {
    count: usize,
    texts: Option<StringBuilder>,
}

impl Misfits {
    /// Puts what `parse` understands into `put`, and keeps what it doesn't. An empty text is no number but null.
    fn each<'a, T>(
        &mut self,
        cells: impl Iterator<Item = Option<&'a str>>,
        parse: impl Fn(&str) -> Option<T>,
        mut put: impl FnMut(Option<T>),
    ) {
        for (row, cell) in cells.enumerate() {
            let value = cell.and_then(&parse);
            let misfit = if value.is_none() { cell.filter(|text| !text.is_empty()) } else { None };
            if misfit.is_some() && self.texts.is_none() {
                let mut texts = StringBuilder::with_capacity(self.count, 1024);
                (0..row).for_each(|_| texts.append_null());
                self.texts = Some(texts);
            }
            if let Some(texts) = &mut self.texts {
                texts.append_option(misfit);
            }
            put(value);
        }
    }

    fn finish(self) -> Option<StringArray> {
        self.texts.map(|mut texts| texts.finish())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn what_does_not_fit_goes_beside() {
        let texts = StringArray::from(vec![Some("1"), None, Some("x"), Some(""), Some("2.5")]);
        let runs = [Run { source: 0, start: 0, rows: 5 }];
        let converted = Gather { sources: vec![Some(&texts)], runs: &runs }.convert(Kind::Int64).unwrap();
        let values: Vec<Option<i64>> = converted.values.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(values, [Some(1), None, None, None, None]);
        let misfits: Vec<Option<&str>> = converted.misfits.as_ref().unwrap().iter().collect();
        assert_eq!(misfits, [None, None, Some("x"), None, Some("2.5")]);
    }

    #[test]
    fn text_holds_everything() {
        let texts = StringArray::from(vec![Some("1"), Some("")]);
        let runs = [(0, 1), (1, 0), (0, 0)].map(|(source, start)| Run { source, start, rows: 1 });
        let converted = Gather { sources: vec![Some(&texts), None], runs: &runs }.convert(Kind::Text).unwrap();
        let values: Vec<Option<&str>> = converted.values.as_string::<i32>().iter().collect();
        assert_eq!(values, [Some(""), None, Some("1")]);
        assert!(converted.misfits.is_none());
    }
}
