//! Dates and times in the text of a request, in the forms that networks ask for.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

/// A date or time in a text, as wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// As it is written, without its zone.
    pub(super) at: NaiveDateTime,
    /// A day without a time.
    pub(super) is_day: bool,
}

/// In which order a date with slashes has its day and its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlashOrder {
    /// `01/31/2026`
    MonthFirst,
    /// `31/01/2026`
    DayFirst,
}

/// All dates and times in a text, in their order. Escapes of URLs are undone.
pub(super) fn moments(text: &str, order: SlashOrder) -> Vec<Moment> {
    let text = unescaped(text);
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let starts = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        match starts.then(|| moment(&bytes[at..], order)).flatten() {
            Some((moment, length)) => {
                found.push(moment);
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The moment that a text begins with, and its length.
fn moment(text: &[u8], order: SlashOrder) -> Option<(Moment, usize)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = |from: usize, length: usize| -> Option<u32> {
        let part = text.get(from..from + length)?;
        part.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(part).ok()?.parse().ok()
    };
    let (day, mut length) = match digits {
        10 | 13 => return seconds(text, digits),
        8 => (ymd(number(0, 4)?, number(4, 2)?, number(6, 2)?)?, 8),
        4 => {
            let mark = *text.get(4)?;
            (b"-/.".contains(&mark) && text.get(7) == Some(&mark)).then_some(())?;
            (ymd(number(0, 4)?, number(5, 2)?, number(8, 2)?)?, 10)
        }
        2 => {
            let mark = *text.get(2)?;
            (b"-/.".contains(&mark) && text.get(5) == Some(&mark)).then_some(())?;
            let (first, second, year) = (number(0, 2)?, number(3, 2)?, number(6, 4)?);
            let is_month_first = mark == b'/' && order == SlashOrder::MonthFirst;
            let (month, day) = if is_month_first { (first, second) } else { (second, first) };
            (ymd(year, month, day)?, 10)
        }
        _ => return None,
    };
    let Some((time, more)) = time(&text[length..]) else {
        let ends = text.get(length).is_none_or(|byte| !byte.is_ascii_digit());
        return ends.then_some((Moment { at: day.and_time(NaiveTime::MIN), is_day: true }, length));
    };
    length += more;
    Some((Moment { at: day.and_time(time), is_day: false }, length))
}

/// `T10:30`, ` 10:30:00`, `+10:30:00.000`, `103000` behind a day, and its length.
fn time(text: &[u8]) -> Option<(NaiveTime, usize)> {
    let skip = usize::from(text.first().is_some_and(|byte| b"T +_".contains(byte)));
    let rest = text.get(skip..)?;
    let two = |from: usize| -> Option<u32> {
        let part = rest.get(from..from + 2)?;
        part.iter().all(u8::is_ascii_digit).then(|| u32::from(part[0] - b'0') * 10 + u32::from(part[1] - b'0'))
    };
    if rest.get(2) == Some(&b':') {
        let seconds = if rest.get(5) == Some(&b':') { two(6) } else { None };
        let length = if seconds.is_some() { 8 } else { 5 };
        return Some((NaiveTime::from_hms_opt(two(0)?, two(3)?, seconds.unwrap_or(0))?, skip + length));
    }
    // Without colons, only behind a mark and with nothing more.
    let is_marked = text.first().is_some_and(|byte| b"T_".contains(byte));
    (is_marked && !rest.get(6).is_some_and(u8::is_ascii_digit)).then_some(())?;
    Some((NaiveTime::from_hms_opt(two(0)?, two(2)?, two(4)?)?, skip + 6))
}

/// Seconds or milliseconds since 1970, between 2001 and 2100.
fn seconds(text: &[u8], digits: usize) -> Option<(Moment, usize)> {
    let number: i64 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    let secs = if digits == 13 { number / 1_000 } else { number };
    let at = DateTime::from_timestamp(secs, 0).filter(|_| (1_000_000_000..4_102_444_800).contains(&secs))?;
    Some((Moment { at: at.naive_utc(), is_day: false }, digits))
}

fn ymd(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok().filter(|year| (2_000..2_100).contains(year))?, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let shown = |moment: Moment| {
            if moment.is_day { moment.at.format("%F").to_string() } else { moment.at.format("%FT%T").to_string() }
        };
        moments(text, SlashOrder::MonthFirst).into_iter().map(shown).collect()
    }

    #[test]
    fn finds_the_forms_that_networks_ask_for() {
        assert_eq!(
            found("https://a.example/v2/x?from=2026-01-05T10%3A00%3A00Z&to=2026-01-06&n=20&d=01/07/2026"),
            ["2026-01-05T10:00:00", "2026-01-06", "2026-01-07"]
        );
        assert_eq!(found("08.01.2026 20260109 1767225600 1767225600000 2026-01-05+10:30").len(), 5);
        assert_eq!(found("order 1234 99999999 12345678901 page=100"), Vec::<String>::new());
    }
}
