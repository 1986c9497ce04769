//! Windows that follow each other: what their requests ask for leaves nothing out and overlaps nowhere.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sluice_engine::Connector;
use sluice_model::{Axis, Op, Request, Slice, Stream, Window, slice_windows};

use super::moments::{Moment, SlashOrder, moments};
use crate::report::Finding;

/// Spans of some days: the fixture's own year without a change of clocks, and those with one in Europe and in America.
const SPANS: [&str; 5] = [
    "2026-01-12T00:00:00Z/2026-01-16T00:00:00Z",
    "2026-03-27T00:00:00Z/2026-03-31T00:00:00Z",
    "2026-10-23T00:00:00Z/2026-10-27T00:00:00Z",
    "2026-03-06T12:00:00Z/2026-03-10T12:00:00Z",
    "2026-10-30T12:00:00Z/2026-11-03T12:00:00Z",
];
/// Windows of the check.
const WINDOW_SECS: u32 = 86_400;
/// How far a local time may be from UTC.
const WIDEST_ZONE: TimeDelta = TimeDelta::hours(14);

/// Checks all streams by all their axes. One finding for each, the first.
pub(super) fn check(connector: &Connector, base: &Slice) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in &connector.manifest().streams {
        for axis in stream.axes.iter().copied().filter(|axis| *axis != Axis::None) {
            let at = format!("{} by {}", stream.name, axis.name());
            let wrong = SPANS
                .iter()
                .find_map(|span| span.parse().ok().and_then(|span| check_span(connector, base, stream, axis, span)));
            findings.extend(wrong.map(|(check, text)| Finding::new(check, at, text)));
        }
    }
    findings
}

fn check_span(
    connector: &Connector,
    base: &Slice,
    stream: &Stream,
    axis: Axis,
    span: Window,
) -> Option<(&'static str, String)> {
    let timezone = stream.timezone.parse().ok()?;
    let narrow = Stream { max_window_secs: Some(WINDOW_SECS), ..stream.clone() };
    let mut before: Option<(Window, Vec<Request>)> = None;
    for window in slice_windows(&narrow, axis, timezone, span) {
        let slice = Slice { stream: stream.name.clone(), axis, timezone, window, cursor: None, ..base.clone() };
        let requests = match connector.plan(&slice) {
            Ok(requests) => requests,
            Err(error) => return Some(("windows", format!("{window} can't be planned: {error}"))),
        };
        if connector.plan(&slice).ok().as_ref() != Some(&requests) {
            return Some(("pure", format!("{window} is planned in two ways")));
        }
        let keys: BTreeSet<&str> = requests.iter().map(|request| request.key.as_str()).collect();
        if keys.len() < requests.len() {
            return Some(("windows", format!("{window}: two requests have one key: {keys:?}")));
        }
        let previous = before.replace((window, requests));
        let (Some((earlier, asked)), Some((_, asks))) = (previous, &before) else { continue };
        let pairs = asked.iter().zip(asks).filter(|(request, _)| request.yields_records);
        let Some((window, _)) = &before else { continue };
        if let Some(what) = pairs.into_iter().find_map(|(asked, asks)| seam(asked, asks, *window)) {
            return Some(("windows", format!("{earlier} and {window}: {what}")));
        }
    }
    None
}

/// What is wrong between two windows of which one begins where the other ends. `window`: the second one.
fn seam(asked: &Request, asks: &Request, window: Window) -> Option<String> {
    let (first, second) = (text(asked), text(asks));
    if first == second {
        return Some(format!("both ask for the same: {first}"));
    }
    let read = |order| between(&moments(&first, order), &moments(&second, order), window);
    read(SlashOrder::MonthFirst).and(read(SlashOrder::DayFirst))
}

/// What is wrong between the moments of two requests.
fn between(first: &[Moment], second: &[Moment], window: Window) -> Option<String> {
    // A request without dates asks by something else: a page, a cursor, a number of days.
    if first.is_empty() || first.len() != second.len() {
        return None;
    }
    let moving: Vec<(Moment, Moment)> =
        first.iter().copied().zip(second.iter().copied()).filter(|(a, b)| a != b).collect();
    let end = moving.iter().map(|(end, _)| *end).max_by_key(|end| end.at)?;
    let begin = moving.iter().map(|(_, begin)| *begin).min_by_key(|begin| begin.at)?;
    // The end is exclusive, or the last second, minute or day.
    let between = begin.at - end.at;
    let step = if end.is_day && begin.is_day { TimeDelta::days(1) } else { TimeDelta::minutes(1) };
    // More is asked for on both sides where the network's zone may be any.
    let is_wider = begin.at < window.since.naive_utc() - WIDEST_ZONE;
    if between < TimeDelta::zero() && !is_wider {
        return Some(format!("the first ends at {}, the second begins at {} before it", end.at, begin.at));
    }
    (between > step).then(|| format!("the first ends at {}, the second begins at {} only", end.at, begin.at))
}

/// The text of a request, names of secrets in place of their values.
fn text(request: &Request) -> String {
    let bodies = request.headers.iter().map(|(_, value)| value).chain(&request.body);
    let ops = std::iter::once(&request.url).chain(bodies).flatten();
    ops.map(|op| match op {
        Op::Text(text) => text.as_str(),
        _ => "",
    })
    .collect()
}
