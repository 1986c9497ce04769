//! Draws what the runtime is doing on a terminal: below the log, and gone before results are printed.
//!
//! Nothing is drawn into files and pipes, on a dumb terminal, or beside JSON.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sluice_runtime::meter::{Meter, Reading, Unit};
use sluice_runtime::text;

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR_WIDTH: usize = 16;
/// How long a stage lasts before its rate and the time left are shown.
const SETTLED: Duration = Duration::from_secs(1);

/// The bar that is on the terminal now: whatever else is written there is written above it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Whether standard error takes colours: it is a terminal, and neither `NO_COLOR` nor a dumb `TERM` refuses them.
pub(crate) fn takes_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !refused && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Standard error for the log: above the bar, if there is one.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes to the terminal while no bar is on it.
pub(crate) fn above<T>(write: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// A meter that is drawn until this is dropped.
pub(crate) struct Display {
    meter: Arc<Meter>,
    drawn: Option<(ProgressBar, Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Display {
    /// Draws a meter of its own, unless results are printed as JSON or standard error is not a terminal.
    pub(crate) fn start(json: bool) -> Self {
        let meter = Arc::new(Meter::default());
        if json || !io::stderr().is_terminal() || is_dumb() {
            return Self { meter, drawn: None };
        }
        let Some(styles) = Styles::new() else { return Self { meter, drawn: None } };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(styles.plain.clone());
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        // A thread of its own: those of the runtime compile connectors.
        let thread = thread::spawn({
            let (bar, meter, is_over) = (bar.clone(), meter.clone(), is_over.clone());
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    draw(&bar, &styles, &meter.reading());
                    thread::park_timeout(EVERY);
                }
            }
        });
        Self { meter, drawn: Some((bar, is_over, thread)) }
    }

    /// What is drawn.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let Some((bar, is_over, thread)) = self.drawn.take() else { return };
        is_over.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        // A thread that panicked draws no more.
        let _ = thread.join();
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
        bar.finish_and_clear();
    }
}

/// One line, and a second one while something is waited for.
struct Styles {
    plain: ProgressStyle,
    waiting: ProgressStyle,
}

impl Styles {
    /// None if a template were wrong, which would be a fault of this file.
    fn new() -> Option<Self> {
        let style = |template| ProgressStyle::with_template(template).ok();
        Some(Self { plain: style("{spinner} {wide_msg}")?, waiting: style("{spinner} {wide_msg}\n  {prefix}")? })
    }
}

fn draw(bar: &ProgressBar, styles: &Styles, reading: &Reading) {
    let style = if reading.waits.is_empty() { &styles.plain } else { &styles.waiting };
    bar.set_prefix(waits_text(reading, Instant::now()));
    bar.set_style(style.clone());
    // All in one text, so that a line never holds parts of two readings.
    bar.set_message(line(reading));
    bar.tick();
}

/// `run awin [====            ] 12/40 slices, …`, behind which part of a longer work it is: `2026-03 (3 of 12): run awin …`.
fn line(reading: &Reading) -> String {
    let part = if reading.part.is_empty() { String::new() } else { format!("{}: ", reading.part) };
    let bar = match reading.total {
        Some(total) => format!(" [{}]", bar_text(reading.done, total)),
        None => String::new(),
    };
    format!("{part}{}{bar} {}", reading.stage, counts_text(reading))
}

fn bar_text(done: u64, total: u64) -> String {
    let filled = usize::try_from(done.min(total) * BAR_WIDTH as u64 / total.max(1)).unwrap_or(BAR_WIDTH);
    format!("{}{}", "=".repeat(filled), " ".repeat(BAR_WIDTH - filled))
}

/// `12/40 slices, 30 s left, 34 requests, 1,234 records, 41 records/s, 4.5 MiB`.
fn counts_text(reading: &Reading) -> String {
    let Reading { unit, done, total, requests, records, bytes, elapsed, .. } = reading;
    let mut parts = Vec::new();
    match total {
        Some(total) => parts.push(format!("{}/{}", text::thousands(*done), text::count(*total, unit.noun()))),
        None if *unit != Unit::Nothing && *done > 0 => parts.push(text::count(*done, unit.noun())),
        None => {}
    }
    parts.extend(time_left(reading).map(|left| format!("{} left", clock(left))));
    if *requests > 0 {
        parts.push(text::count(*requests, "request"));
    }
    if *records > 0 {
        parts.push(text::count(*records, "record"));
        if *elapsed >= SETTLED {
            parts.push(format!("{}/s", text::thousands((*records as f64 / elapsed.as_secs_f64()) as u64)));
        }
    }
    if *bytes > 0 {
        parts.push(text::bytes(*bytes));
    }
    parts.join(", ")
}

/// How long the rest takes at the speed so far; none while that is unknown.
fn time_left(reading: &Reading) -> Option<Duration> {
    let left = reading.total?.checked_sub(reading.done)?;
    if reading.done == 0 || left == 0 || reading.elapsed < SETTLED {
        return None;
    }
    Some(reading.elapsed.mul_f64(left as f64 / reading.done as f64))
}

/// `waits 12 s for awin/uk: rate limit, and 2 more accounts wait`.
fn waits_text(reading: &Reading, now: Instant) -> String {
    let Some(longest) = reading.waits.first() else { return String::new() };
    let rest = longest.until.saturating_duration_since(now) + Duration::from_millis(999);
    let others = match reading.waits.len() - 1 {
        0 => String::new(),
        1 => "; 1 more account waits".to_owned(),
        more => format!("; {more} more accounts wait"),
    };
    format!("{} waits {}: {}{others}", longest.account, clock(rest), longest.reason)
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`.
fn clock(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_runtime::meter::Wait;

    fn reading() -> Reading {
        Reading {
            stage: "run awin".to_owned(),
            part: String::new(),
            elapsed: Duration::from_secs(30),
            unit: Unit::Slices,
            done: 12,
            total: Some(40),
            requests: 34,
            records: 1_234,
            bytes: 4_718_592,
            waits: Vec::new(),
        }
    }

    #[test]
    fn counts_rate_and_time_left_are_told() {
        let output = "12/40 slices, 1 min 10 s left, 34 requests, 1,234 records, 41/s, 4.5 MiB";
        assert_eq!(counts_text(&reading()), output);
        let early = Reading { done: 0, records: 0, bytes: 0, requests: 1, total: Some(1), ..reading() };
        assert_eq!(counts_text(&early), "0/1 slice, 1 request");
        let unknown = Reading { total: None, unit: Unit::Responses, requests: 0, ..reading() };
        assert_eq!(counts_text(&unknown), "12 responses, 1,234 records, 41/s, 4.5 MiB");
    }

    #[test]
    fn the_bar_is_as_long_as_what_is_done() {
        assert_eq!(
            [(0, 4), (1, 4), (4, 4), (9, 4)].map(|(done, total)| bar_text(done, total).trim().len()),
            [0, 4, 16, 16]
        );
        assert!(line(&reading()).starts_with("run awin [====            ] 12/40 slices, "));
        let month = Reading { part: "2026-03 (3 of 12)".to_owned(), ..reading() };
        assert!(line(&month).starts_with("2026-03 (3 of 12): run awin [====            ] 12/40 slices, "));
    }

    #[test]
    fn a_wait_has_its_reason() {
        let now = Instant::now();
        let wait = |account: &str, secs| Wait {
            account: account.to_owned(),
            reason: "rate limit".to_owned(),
            until: now + Duration::from_secs(secs),
        };
        let waits = vec![wait("awin/uk", 75), wait("awin/de", 3)];
        let output = waits_text(&Reading { waits, ..reading() }, now);
        assert_eq!(output, "awin/uk waits 1 min 15 s: rate limit; 1 more account waits");
    }
}
