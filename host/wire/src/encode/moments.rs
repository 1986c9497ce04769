//! Days, times, moments and intervals: texts as PostgreSQL prints them with `DateStyle` ISO in UTC, and its counts of
//! microseconds and days since 2000.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use bytes::BufMut;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::{WriteValue, cast};

/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds of the same.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;

/// A value's text.
pub(super) type Texts = Box<dyn Fn(usize) -> Result<String, ArrowError> + Send>;

/// The array in one of the types that are written here.
fn normal(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let kind = match array.data_type() {
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => DataType::Interval(IntervalUnit::MonthDayNano),
    };
    cast(array, &kind)
}

pub(super) fn texts(array: &ArrayRef) -> Result<Texts, ArrowError> {
    let array = normal(array)?;
    Ok(match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().clone();
            Box::new(move |row| {
                let day = NaiveDate::from_epoch_days(values.value(row)).ok_or_else(|| too_far("a day"))?;
                let (date, era) = date_text(day);
                Ok(format!("{date}{era}"))
            })
        }
        DataType::Time64(_) => {
            let values = array.as_primitive::<Time64MicrosecondType>().clone();
            Box::new(move |row| {
                let micros = values.value(row);
                let time = u32::try_from(micros / 1_000_000).ok().and_then(|seconds| {
                    NaiveTime::from_num_seconds_from_midnight_opt(
                        seconds,
                        u32::try_from(micros % 1_000_000).ok()? * 1_000,
                    )
                });
                Ok(time_text(time.ok_or_else(|| too_far("a time"))?))
            })
        }
        DataType::Timestamp(_, zone) => {
            let (values, offset) =
                (array.as_primitive::<TimestampMicrosecondType>().clone(), if zone.is_some() { "+00" } else { "" });
            Box::new(move |row| {
                let moment = DateTime::from_timestamp_micros(values.value(row)).ok_or_else(|| too_far("a moment"))?;
                Ok(moment_text(moment.naive_utc(), offset))
            })
        }
        _ => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row| {
                let value = values.value(row);
                Ok(interval_text(value.months, value.days, value.nanoseconds / 1_000))
            })
        }
    })
}

pub(super) fn binary(array: &ArrayRef) -> Result<WriteValue, ArrowError> {
    let array = normal(array)?;
    Ok(match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().clone();
            Box::new(move |row, out| {
                out.put_i32(values.value(row).checked_sub(EPOCH_DAYS).ok_or_else(|| too_far("a day"))?);
                Ok(())
            })
        }
        DataType::Time64(_) => {
            let values = array.as_primitive::<Time64MicrosecondType>().clone();
            Box::new(move |row, out| {
                out.put_i64(values.value(row));
                Ok(())
            })
        }
        DataType::Timestamp(..) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().clone();
            Box::new(move |row, out| {
                out.put_i64(values.value(row).checked_sub(EPOCH_MICROS).ok_or_else(|| too_far("a moment"))?);
                Ok(())
            })
        }
        _ => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row, out| {
                let value = values.value(row);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
                Ok(())
            })
        }
    })
}

/// The text of a day that is counted from 2000, as the binary form of a parameter has it.
pub(crate) fn day_since_2000(days: i32) -> Option<String> {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    let by = Days::new(u64::from(days.unsigned_abs()));
    let day = if days < 0 { epoch.checked_sub_days(by) } else { epoch.checked_add_days(by) };
    day.filter(|day| (1..=9_999).contains(&day.year())).map(|day| date_text(day).0)
}

/// The text of microseconds that are counted from 2000.
pub(crate) fn moment_since_2000(micros: i64, offset: &str) -> Option<String> {
    let moment = DateTime::from_timestamp_micros(micros.checked_add(EPOCH_MICROS)?)?;
    (1..=9_999).contains(&moment.year()).then(|| moment_text(moment.naive_utc(), offset))
}

/// The text of microseconds since midnight.
pub(crate) fn time_of_day(micros: i64) -> Option<String> {
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    let nanos = u32::try_from(micros % 1_000_000).ok()? * 1_000;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos).map(time_text)
}

fn moment_text(moment: NaiveDateTime, offset: &str) -> String {
    let (date, era) = date_text(moment.date());
    format!("{date} {}{offset}{era}", time_text(moment.time()))
}

/// The day, and whether it was before the year 1.
fn date_text(day: NaiveDate) -> (String, &'static str) {
    let (year, era) = if day.year() > 0 { (day.year(), "") } else { (1 - day.year(), " BC") };
    (format!("{year:04}-{:02}-{:02}", day.month(), day.day()), era)
}

fn time_text(time: NaiveTime) -> String {
    let seconds = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    match time.nanosecond() / 1_000 {
        0 => seconds,
        micros => format!("{seconds}.{}", format!("{micros:06}").trim_end_matches('0')),
    }
}

fn interval_text(months: i32, days: i32, micros: i64) -> String {
    let unit =
        |count: i32, name: &str| (count != 0).then(|| format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
    let mut parts: Vec<String> =
        [unit(months / 12, "year"), unit(months % 12, "mon"), unit(days, "day")].into_iter().flatten().collect();
    if micros != 0 || parts.is_empty() {
        let (sign, all) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
        let (hours, minutes, seconds) = (all / 3_600_000_000, all / 60_000_000 % 60, all / 1_000_000 % 60);
        let fraction = match all % 1_000_000 {
            0 => String::new(),
            part => format!(".{}", format!("{part:06}").trim_end_matches('0')),
        };
        parts.push(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"));
    }
    parts.join(" ")
}

fn too_far(what: &str) -> ArrowError {
    ArrowError::ComputeError(format!("{what} is too far from now for PostgreSQL"))
}
