//! Tables for people, a JSON line for programs, and the verdict.

use serde::Serialize;

use crate::attackers::Attacked;
use crate::console::Console;
use crate::detection::Detection;
use crate::end_to_end::EndToEnd;
use crate::exact::Exact;
use crate::growth::Grown;
use crate::hosts::Shared;
use crate::load::Served;
use crate::map::{MapSpeed, slow};
use crate::process::Usage;
use crate::questions::Answered;
use crate::replay::Replay;
use crate::rereading::Reread;
use crate::scale::{self, Scaled};
use crate::stages::Stage;
use crate::starts::Starts;
use crate::swap::SwapSpeed;
use crate::workers::Spread;

/// CPU seconds of a run for one of the native pipeline: the limit for this machine.
const MAX_RATIO: f64 = 2.5;
/// CPU seconds of a run for one of the native pipeline with the same outputs: the limit.
const MAX_THREE_RATIO: f64 = 1.15;
/// Seconds of a run for one of the native pipeline: the limit for this machine.
const MAX_WALL_RATIO: f64 = 1.6;
/// Seconds of many networks due at once for one of the same accounts as one network: the limit.
const MAX_LOAD_RATIO: f64 = 1.5;
/// The same where each network makes a table of its own.
const MAX_TABLES_RATIO: f64 = 4.0;
/// Where the ratio is to get.
const GOAL_RATIO: f64 = 1.25;
/// Time of mapping with all limits for that with none, in any connector: the limit.
const MAX_LIMITS_RATIO: f64 = 1.25;
/// The share of a run's CPU time that its guards may take: the limit.
const MAX_GUARDS_SHARE: f64 = 0.02;
/// The share of a run's CPU time that its bounds may take: the limit.
const MAX_BOUNDS_SHARE: f64 = 0.03;
/// Most memory of a run, whatever the number of requests: the limit.
const MAX_PEAK_MIB: f64 = 512.0;
/// How much more reading a window again may cost with twenty times the history: the limit.
const MAX_GROWTH: f64 = 1.5;

/// Milliseconds until all panels of a view of the page are there, and its bytes: the limits.
const MAX_VIEW_MS: f64 = 1_000.0;
const MAX_VIEW_BYTES: u64 = 2_000_000;
/// Milliseconds between frames while it is scrolled: 30 frames in a second, and no stop that is felt.
const MAX_FRAME_MS: f64 = 33.5;
const MAX_WORST_FRAME_MS: f64 = 100.0;

/// All that was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    /// Whether it was only for trying.
    pub(crate) quick: bool,
    /// The map stage.
    pub(crate) map: Vec<MapSpeed>,
    /// End to end.
    pub(crate) end_to_end: Option<EndToEnd>,
    /// Where its time goes.
    pub(crate) stages: Vec<Stage>,
    /// Hot swap.
    pub(crate) swap: Option<SwapSpeed>,
    /// Replay.
    pub(crate) replay: Option<Replay>,
    /// Many networks due at once; first the same accounts as one network.
    pub(crate) load: Vec<Served>,
    /// Many accounts with little to read.
    pub(crate) scale: Vec<Scaled>,
    /// Exactness at size.
    pub(crate) exact: Vec<Exact>,
    /// Change detection, from the smallest history to the largest.
    pub(crate) detection: Vec<Detection>,
    /// Versions that the questions were asked of.
    pub(crate) versions: u64,
    /// Questions.
    pub(crate) questions: Vec<Answered>,
    /// The same on query workers and on Sail.
    pub(crate) spread: Vec<Spread>,
    /// An honest network beside attackers.
    pub(crate) attacked: Vec<Attacked>,
    /// Policies of re-reading.
    pub(crate) reread: Vec<Reread>,
    /// One network on several hosts.
    pub(crate) shared: Vec<Shared>,
    /// The page.
    pub(crate) console: Option<Console>,
    /// What a row costs.
    pub(crate) grown: Vec<Grown>,
    /// How long starts take.
    pub(crate) starts: Option<Starts>,
}

impl Report {
    /// Prints the map stage.
    pub(crate) fn print_map(&self) {
        println!("map stage, one thread, medians; ratio = time in the sandbox / time of the same code natively;");
        println!("limits = time with all limits / time with none, at most {MAX_LIMITS_RATIO}\n");
        println!(
            "{:<14} {:>8} {:>16} {:>13} {:>7} {:>7} {:>12}",
            "connector", "records", "sandboxed row/s", "native row/s", "ratio", "limits", "decode MB/s"
        );
        for speed in &self.map {
            let native = speed.native_rows_per_s.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
            let ratio = speed.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
            println!(
                "{:<14} {:>8} {:>16.0} {native:>13} {ratio:>7} {:>7.2} {:>12.0}",
                speed.connector, speed.records, speed.sandboxed_rows_per_s, speed.limits_ratio, speed.decode_mb_per_s
            );
        }
    }

    /// Prints the end-to-end measurement.
    pub(crate) fn print_end_to_end(&self) {
        let Some(measured) = &self.end_to_end else { return };
        println!("\nend to end: {} requests, {} rows\n", measured.requests, measured.rows);
        let head = ["CPU s", "wall s", "rows/s", "peak MiB", "at the end"];
        println!("{:<28} {:>8} {:>8} {:>10} {:>9} {:>10}", "", head[0], head[1], head[2], head[3], head[4]);
        let line = |name: &str, usage: &Usage| {
            let rate = measured.rows as f64 / usage.wall_secs;
            let Usage { cpu_secs, wall_secs, peak_mib, resident_mib } = usage;
            println!("{name:<28} {cpu_secs:>8.2} {wall_secs:>8.2} {rate:>10.0} {peak_mib:>9.0} {resident_mib:>10.0}");
        };
        line("native: raw, one table", &measured.native);
        line("native-three: raw, two tables", &measured.native_three);
        line("sluice run", &measured.first);
        line("sluice run, nothing changed", &measured.again);
        println!("\nthe second run added {} versions", measured.again_new_versions);
        let judged = if self.quick { " (not judged: quick)" } else { "" };
        let ratio = measured.ratio;
        println!("CPU ratio to native: {ratio:.2}, at most {MAX_RATIO}, goal {GOAL_RATIO}{judged}");
        println!("CPU ratio to native-three: {:.2}, at most {MAX_THREE_RATIO}{judged}", measured.three_ratio);
        let wall = measured.wall_ratio;
        println!("wall ratio to native: {wall:.2}, at most {MAX_WALL_RATIO}{judged}");
        println!("peak memory: {:.0} MiB, at most {MAX_PEAK_MIB}{judged}", measured.peak_mib());
        println!("guards: {:.3} of the CPU time, at most {MAX_GUARDS_SHARE}{judged}", measured.guards_share);
        println!("guards if each window were odd: {:.3} of the CPU time", measured.odd_guards_share);
        println!("bounds: {:.3} of the CPU time, at most {MAX_BOUNDS_SHARE}{judged}", measured.bounds_share);
    }

    /// Prints the policies of re-reading.
    pub(crate) fn print_reread(&self) {
        println!("\nre-reading, once a day: requests a day and account, and how late changes are found (days)\n");
        println!(
            "{:<44} {:>9} {:>8} {:>10} {:>10} {:>10}",
            "", "requests", "changes", "not found", "late", "latest 5 %"
        );
        for Reread { policy, requests, changes, not_found, days_late: [mean, late] } in &self.reread {
            println!("{policy:<44} {requests:>9.1} {changes:>8} {not_found:>10} {mean:>10.2} {late:>10.2}");
        }
    }

    /// Prints what hosts that share a network take.
    pub(crate) fn print_shared(&self) {
        println!("\none network that answers late, on several hosts of this machine\n");
        println!("{:>6} {:>9} {:>6} {:>9} {:>8} {:>8}", "hosts", "accounts", "runs", "requests", "s", "ratio");
        let alone = self.shared.first().map_or(0.0, |shared| shared.secs);
        for Shared { hosts, accounts, secs, runs, requests, faults } in &self.shared {
            println!("{hosts:>6} {accounts:>9} {runs:>6} {requests:>9} {secs:>8.1} {:>8.2}", secs / alone);
            faults.iter().for_each(|fault| println!("  not exact: {fault}"));
        }
    }

    /// Prints the time of a swap.
    pub(crate) fn print_swap(&self) {
        let Some(SwapSpeed { swaps, compiled_ms, cached_ms, resident_mib }) = &self.swap else { return };
        println!("\nhot swap, from the file's change to the new version serving, medians of {swaps}");
        println!("  compiled {compiled_ms:.0} ms, machine code kept {cached_ms:.0} ms, of which 200 ms wait for quiet");
        if let Some([first, compiled, cached]) = resident_mib {
            println!(
                "  resident memory of the service: {first:.0} MiB with the first version, {compiled:.0} MiB after \
                 {swaps} compiled ones, {cached:.0} MiB after {swaps} more"
            );
        }
    }

    /// Prints replay against the first build.
    pub(crate) fn print_replay(&self) {
        let Some(measured) = &self.replay else { return };
        println!("\nreplay: {} rows of raw\n", measured.rows);
        println!("{:<28} {:>8} {:>8} {:>10} {:>9} {:>7}", "", "CPU s", "wall s", "rows/s", "peak MiB", "ratio");
        let first = measured.build.wall_secs;
        for (name, usage) in
            [("first build", &measured.build), ("replay --diff", &measured.diff), ("replay --apply", &measured.apply)]
        {
            let (rate, ratio) = (measured.rows as f64 / usage.wall_secs, first / usage.wall_secs);
            let Usage { cpu_secs, wall_secs, peak_mib, .. } = usage;
            println!("{name:<28} {cpu_secs:>8.2} {wall_secs:>8.2} {rate:>10.0} {peak_mib:>9.0} {ratio:>7.2}");
        }
        println!("\nratio = rows/s for one row/s of the first build");
    }

    /// Prints many networks due at once.
    pub(crate) fn print_load(&self) {
        println!("\nload: all due at once, until all is in the tables\n");
        println!(
            "{:<36} {:>8} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9} {:>8} {:>6}",
            "", "networks", "rows", "wall s", "CPU s", "ratio", "peak MiB", "conflicts", "commits", "files"
        );
        let one = self.load.first().map_or(f64::NAN, Served::wall_secs);
        for served in &self.load {
            let Served { what, networks, rows, processes, conflicts, commits, data_files, .. } = served;
            let (wall, cpu) = (served.wall_secs(), processes.iter().map(|usage| usage.cpu_secs).sum::<f64>());
            // Of each process.
            let peaks: Vec<String> = processes.iter().map(|usage| format!("{:.0}", usage.peak_mib)).collect();
            let ratio = if processes.len() == 1 { format!("{:.2}", wall / one) } else { "–".to_owned() };
            println!(
                "{what:<36} {networks:>8} {rows:>8} {wall:>8.1} {cpu:>8.1} {ratio:>6} {:>9} {conflicts:>9} \
                 {commits:>8} {data_files:>6}",
                peaks.join("+")
            );
        }
        let judged = if self.quick { " (not judged: quick)" } else { "" };
        println!(
            "\nratio to one network: at most {MAX_LOAD_RATIO}, with a table each {MAX_TABLES_RATIO}; no conflict within one \
             process{judged}"
        );
    }

    /// Prints many accounts with little to read.
    pub(crate) fn print_scale(&self) {
        println!("\nscale: a window of {} rows of each account\n", scale::ROWS_EACH);
        println!(
            "{:<28} {:>8} {:>8} {:>10} {:>10} {:>9} {:>8} {:>6}",
            "", "slices", "wall s", "ms a slice", "CPU ms", "peak MiB", "commits", "files"
        );
        for Scaled { slices, served } in &self.scale {
            let cpu_secs = served.processes.iter().map(|usage| usage.cpu_secs).sum::<f64>();
            let peak = served.processes.iter().map(|usage| usage.peak_mib).fold(0.0, f64::max);
            let each = |secs: f64| secs * 1_000.0 / *slices as f64;
            println!(
                "{:<28} {slices:>8} {:>8.1} {:>10.2} {:>10.2} {peak:>9.0} {:>8} {:>6}",
                served.what,
                served.wall_secs(),
                each(served.wall_secs()),
                each(cpu_secs),
                served.commits,
                served.data_files
            );
        }
    }

    /// Prints the page.
    pub(crate) fn print_console(&self) {
        let Some(Console { slices, gaps, views, scrolling }) = &self.console else { return };
        println!("\nconsole: {slices} slices with {gaps} gaps, nothing cached, until all panels are there\n");
        println!("{:<32} {:>8} {:>10}", "", "ms", "bytes");
        for view in views {
            println!("{:<32} {:>8.0} {:>10}", view.path, view.ms, view.bytes);
        }
        let judged = if self.quick { " (not judged: quick)" } else { "" };
        println!(
            "\nscrolling: {:.0} ms between 19 of 20 frames, {:.0} at the longest; at most {MAX_VIEW_MS} ms and \
             {MAX_VIEW_BYTES} bytes a view, {MAX_FRAME_MS} ms and {MAX_WORST_FRAME_MS} ms between frames{judged}",
            scrolling.p95_ms, scrolling.worst_ms
        );
    }

    /// Prints what was exact.
    pub(crate) fn print_exact(&self) {
        println!("\nexactness\n");
        println!("{:<44} {:>9} {:>12} {:>9} {:>7}", "", "records", "transactions", "versions", "faults");
        for Exact { what, records, transactions, versions, faults } in &self.exact {
            println!("{what:<44} {records:>9} {transactions:>12} {versions:>9} {:>7}", faults.len());
        }
    }

    /// Prints change detection.
    pub(crate) fn print_detection(&self) {
        let Some(first) = self.detection.first() else { return };
        println!("\nchange detection: {} rows read again\n", first.read);
        println!(
            "{:>12} {:>15} {:>8} {:>7} {:>14} {:>7} {:>19}",
            "history", "unchanged CPU s", "wall s", "ratio", "1 % new CPU s", "ratio", "0.2 % changed CPU s"
        );
        for measured in &self.detection {
            let [unchanged, new] = growth(first, measured);
            let Detection { history, unchanged_cpu_secs, unchanged_wall_secs, new_cpu_secs, changed_cpu_secs, .. } =
                measured;
            println!(
                "{history:>12} {unchanged_cpu_secs:>15.2} {unchanged_wall_secs:>8.2} {unchanged:>7.2} \
                 {new_cpu_secs:>14.2} {new:>7.2} {changed_cpu_secs:>19.2}"
            );
        }
        let judged = if self.quick { " (not judged: quick)" } else { "" };
        println!("\nratio to the smallest history: at most {MAX_GROWTH}{judged}");
    }

    /// Prints the questions.
    pub(crate) fn print_questions(&self) {
        if self.questions.is_empty() {
            return;
        }
        println!("\nquestions: {} versions, answers compared row by row\n", self.versions);
        println!("{:<38} {:>6} {:>9} {:>9} {:>7}", "", "rows", "sluice s", "DuckDB s", "ratio");
        for answered in &self.questions {
            let Answered { question, rows, sluice_secs, duckdb_secs } = answered;
            let ratio = sluice_secs / duckdb_secs;
            println!("{question:<38} {rows:>6} {sluice_secs:>9.3} {duckdb_secs:>9.3} {ratio:>7.2}");
        }
    }

    /// Whether the limits hold. What a start costs is too much of a quick run to judge it.
    pub(crate) fn holds(&self) -> bool {
        let mut faults = Vec::new();
        for speed in self.map.iter().filter(|speed| speed.limits_ratio > MAX_LIMITS_RATIO) {
            faults.push(format!("the limits cost `{}` {:.2} times its time", speed.connector, speed.limits_ratio));
        }
        faults.extend(slow(&self.map));
        faults.extend(self.load.iter().flat_map(|served| &served.faults).cloned());
        faults.extend(self.scale.iter().flat_map(|scaled| &scaled.served.faults).cloned());
        faults.extend(self.shared.iter().flat_map(|shared| &shared.faults).cloned());
        faults.extend(self.exact.iter().flat_map(|exact| &exact.faults).cloned());
        faults.extend(self.attacked.iter().flat_map(|attacked| attacked.faults(self.quick)));
        faults.extend(self.starts.iter().flat_map(Starts::faults).filter(|_| !self.quick));
        if !self.quick {
            faults.extend(self.broken().into_iter().map(str::to_owned));
        }
        faults.iter().for_each(|fault| println!("FAILED: {fault}"));
        faults.is_empty()
    }

    fn broken(&self) -> Vec<&'static str> {
        let mut limits = Vec::new();
        if let Some(measured) = &self.end_to_end {
            limits.push((measured.ratio > MAX_RATIO, "it takes too much CPU time"));
            limits.push((measured.three_ratio > MAX_THREE_RATIO, "sandbox and machinery take too much CPU time"));
            limits.push((measured.wall_ratio > MAX_WALL_RATIO, "it takes too long"));
            limits.push((measured.peak_mib() > MAX_PEAK_MIB, "it takes too much memory"));
            limits.push((measured.guards_share > MAX_GUARDS_SHARE, "the guards take too much CPU time"));
            limits.push((measured.bounds_share > MAX_BOUNDS_SHARE, "the bounds take too much CPU time"));
            limits.push((measured.again_new_versions > 0, "reading the same again added versions"));
        }
        if let [one, others @ ..] = self.load.as_slice() {
            for served in others.iter().filter(|served| served.processes.len() == 1) {
                let ratio = served.wall_secs() / one.wall_secs();
                // Where each network makes its own table, the tables are most of the work.
                let most = if served.native_tables == 1 { MAX_LOAD_RATIO } else { MAX_TABLES_RATIO };
                limits.push((ratio > most, "many networks take longer than one of the same accounts"));
                limits.push((served.conflicts > 0, "a process races against itself"));
            }
            // Sixty connectors are some hundred MiB of machine code and tables of their own.
            let judged = self.load.iter().filter(|served| served.native_tables == 1);
            let peak = judged.flat_map(|served| &served.processes).map(|usage| usage.peak_mib);
            limits.push((peak.fold(0.0, f64::max) > MAX_PEAK_MIB, "many networks take too much memory"));
        }
        if let Some(Console { views, scrolling, .. }) = &self.console {
            limits.push((views.iter().any(|view| view.ms > MAX_VIEW_MS), "a view of the page takes too long"));
            limits.push((
                views.iter().any(|view| view.bytes > MAX_VIEW_BYTES),
                "a view of the page takes too many bytes",
            ));
            let is_jerky = scrolling.p95_ms > MAX_FRAME_MS || scrolling.worst_ms > MAX_WORST_FRAME_MS;
            limits.push((is_jerky, "the page doesn't scroll smoothly"));
        }
        if let [first, .., last] = self.detection.as_slice() {
            let most = growth(first, last).into_iter().fold(0.0, f64::max);
            limits.push((most > MAX_GROWTH, "reading a window again costs more with a longer history"));
        }
        limits.into_iter().filter(|(broken, _)| *broken).map(|(_, what)| what).collect()
    }
}

/// How much more it costs than with the smallest history: with nothing changed, and with some rows new.
fn growth(first: &Detection, other: &Detection) -> [f64; 2] {
    [other.unchanged_cpu_secs / first.unchanged_cpu_secs, other.new_cpu_secs / first.new_cpu_secs]
}

impl Served {
    fn wall_secs(&self) -> f64 {
        self.processes.iter().map(|usage| usage.wall_secs).fold(0.0, f64::max)
    }
}

impl EndToEnd {
    fn peak_mib(&self) -> f64 {
        self.first.peak_mib.max(self.again.peak_mib)
    }
}
