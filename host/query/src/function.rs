//! `local_day(moment, zone)`: the calendar day of a moment in a zone, as networks and invoices count days.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The function.
pub(crate) fn local_day() -> ScalarUDF {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let takes = TypeSignature::Exact(vec![moment, DataType::Utf8]);
    ScalarUDF::from(LocalDay { signature: Signature::new(takes, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalDay {
    signature: Signature,
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &str {
        "local_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [moments, zones] = arrays.as_slice() else { return plan_err!("local_day takes a moment and a zone") };
        Ok(ColumnarValue::Array(days(moments, zones)?))
    }
}

fn days(moments: &ArrayRef, zones: &ArrayRef) -> Result<ArrayRef> {
    let (moments, zones) = (moments.as_primitive::<TimestampMicrosecondType>(), zones.as_string::<i32>());
    let mut days = Date32Array::builder(moments.len());
    // Rows of one network follow each other.
    let mut last: Option<(&str, Tz)> = None;
    for row in 0..moments.len() {
        if moments.is_null(row) || zones.is_null(row) {
            days.append_null();
            continue;
        }
        let name = zones.value(row);
        let zone = match last {
            Some((known, zone)) if known == name => zone,
            _ => match name.parse::<Tz>() {
                Ok(zone) => last.insert((name, zone)).1,
                Err(_) => return plan_err!("`{name}` is no IANA time zone"),
            },
        };
        let day = DateTime::from_timestamp_micros(moments.value(row)).map(|t| t.with_timezone(&zone).date_naive());
        days.append_option(day.map(Date32Type::from_naive_date));
    }
    Ok(Arc::new(days.finish()))
}
