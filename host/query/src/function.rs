//! `local_day(moment, zone)`: the calendar day of a moment in a zone, as networks and invoices count days.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, Volatility};

pub(crate) fn local_day() -> ScalarUDF {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let takes = Signature::exact(vec![moment, DataType::Utf8], Volatility::Immutable);
    of_arrays("local_day", takes, DataType::Date32, |arrays| match arrays {
        [moments, zones] => days(moments, zones),
        _ => plan_err!("local_day takes a moment and a zone"),
    })
}

/// A function that computes an array from arrays of one length.
pub(crate) fn of_arrays(
    name: &str,
    takes: Signature,
    gives: DataType,
    compute: fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> ScalarUDF {
    let compute = move |arguments: &[ColumnarValue]| {
        Ok(ColumnarValue::Array(compute(&ColumnarValue::values_to_arrays(arguments)?)?))
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, takes, gives, Arc::new(compute)))
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
