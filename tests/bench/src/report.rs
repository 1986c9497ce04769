//! Tables for people, a JSON line for programs, and the verdict.

use serde::Serialize;

use crate::end_to_end::EndToEnd;
use crate::map::MapSpeed;
use crate::process::Usage;
use crate::swap::SwapSpeed;

/// CPU seconds of a run for one of the native pipeline: the limit for this machine.
const MAX_RATIO: f64 = 2.5;
/// Where the ratio is to get.
const GOAL_RATIO: f64 = 1.25;
/// Time of mapping with all limits for that with none, in any connector: the limit.
const MAX_LIMITS_RATIO: f64 = 1.25;
/// Most memory of a run, whatever the number of requests: the limit.
const MAX_PEAK_MIB: f64 = 512.0;

/// All that was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    /// Whether it was only for trying.
    pub(crate) quick: bool,
    /// The map stage.
    pub(crate) map: Vec<MapSpeed>,
    /// End to end.
    pub(crate) end_to_end: Option<EndToEnd>,
    /// Hot swap.
    pub(crate) swap: Option<SwapSpeed>,
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
        println!("{:<28} {:>8} {:>8} {:>10} {:>9}", "", "CPU s", "wall s", "rows/s", "peak MiB");
        let line = |name: &str, usage: &Usage| {
            let rate = measured.rows as f64 / usage.wall_secs;
            let Usage { cpu_secs, wall_secs, peak_mib } = usage;
            println!("{name:<28} {cpu_secs:>8.2} {wall_secs:>8.2} {rate:>10.0} {peak_mib:>9.0}");
        };
        line("native: raw, one Parquet", &measured.native);
        line("sluice run", &measured.first);
        line("sluice run, nothing changed", &measured.again);
        println!("\nthe second run added {} versions", measured.again_new_versions);
        let judged = if self.quick { " (not judged: quick)" } else { "" };
        let ratio = measured.ratio;
        println!("CPU ratio to native: {ratio:.2}, at most {MAX_RATIO}, goal {GOAL_RATIO}{judged}");
        println!("peak memory: {:.0} MiB, at most {MAX_PEAK_MIB}{judged}", measured.peak_mib());
    }

    /// Prints the time of a swap.
    pub(crate) fn print_swap(&self) {
        let Some(SwapSpeed { swaps, compiled_ms, cached_ms }) = &self.swap else { return };
        println!("\nhot swap, from the file's change to the new version serving, medians of {swaps}");
        println!("  compiled {compiled_ms:.0} ms, machine code kept {cached_ms:.0} ms, of which 200 ms wait for quiet");
    }

    /// Whether the limits hold. What a start costs is too much of a quick run to judge it.
    pub(crate) fn holds(&self) -> bool {
        let costly = self.map.iter().find(|speed| speed.limits_ratio > MAX_LIMITS_RATIO);
        if let Some(speed) = costly {
            println!("FAILED: the limits cost `{}` {:.2} times its time", speed.connector, speed.limits_ratio);
        }
        let Some(measured) = self.end_to_end.as_ref().filter(|_| !self.quick) else { return costly.is_none() };
        let faults = [
            (measured.ratio > MAX_RATIO, "it takes too much CPU time"),
            (measured.peak_mib() > MAX_PEAK_MIB, "it takes too much memory"),
            (measured.again_new_versions > 0, "reading the same again added versions"),
        ];
        let broken: Vec<&str> = faults.iter().filter(|(broken, _)| *broken).map(|(_, what)| *what).collect();
        broken.iter().for_each(|what| println!("FAILED: {what}"));
        broken.is_empty() && costly.is_none()
    }
}

impl EndToEnd {
    fn peak_mib(&self) -> f64 {
        self.first.peak_mib.max(self.again.peak_mib)
    }
}
