//! Running a target.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::mutate::{grown, mutated};

/// Longest input, in bytes, that is mutated further.
const LONGEST: usize = 48 << 10;
/// One in so many inputs is grown to `GROWN` bytes: work that grows with the square of a body shows at that length.
const GROWN_EVERY: usize = 256;
/// Length of a grown input, in bytes.
const GROWN: usize = 1 << 20;
/// Processor time that a megabyte of input may take each time that it is read: more is a finding.
const TIME_PER_MB: Duration = Duration::from_secs(1);
/// How much more it may take where branches aren't counted, so where nothing was optimised: see `rustc.sh`.
const UNOPTIMISED: u32 = 10;
/// What any input may take besides, each time that it is read: a body may have a quarter of a million cells and a MiB of
/// paths, however short it is.
const TIME_BESIDES: Duration = Duration::from_millis(100);

/// What is fuzzed.
pub struct Target<'a> {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What may not panic.
    pub run: Box<dyn Fn(&[u8]) + 'a>,
    /// Inputs to begin with, beside the corpus.
    pub seeds: Vec<Vec<u8>>,
    /// How often `run` reads an input.
    pub reads: u32,
    /// What its inputs are made of.
    pub words: &'static [&'static str],
}

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// So many mutations, the same every time.
    Tries(u64),
    /// Until so much time is over, from this seed on.
    Time(Duration, u64),
    /// None: of what was found before, what is no longer than so many bytes and reaches what the corpus doesn't goes into
    /// the corpus.
    Keep(usize),
}

/// What came of it.
#[derive(Debug)]
pub struct TargetReport {
    /// Inputs tried.
    pub tried: u64,
    /// Branches reached; 0 if they aren't counted.
    pub branches: usize,
    /// Where the input lies that panicked or took too long, and what it did.
    pub fault: Option<(PathBuf, String)>,
}

/// Tries a target. An input that it can't stand is put into its corpus, so that it stays there once it is mended.
///
/// # Errors
/// A corpus that can't be read or written.
pub fn fuzz(target: &Target<'_>, corpus: &Path, scratch: &Path, effort: Effort) -> anyhow::Result<TargetReport> {
    let corpus = corpus.join(target.name);
    let found = scratch.join(target.name);
    for dir in [&corpus, &found] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let mut session =
        Session { coverage: Coverage::new(), pool: Vec::new(), last: fs::File::create(found.join("last"))? };
    let mut outcome = TargetReport { tried: 0, branches: 0, fault: None };
    let mut kept = inputs(&corpus)?;
    kept.extend(target.seeds.iter().cloned());
    kept.push(Vec::new());
    let mut before = if session.coverage.is_counted() { inputs(&found.join("kept"))? } else { Vec::new() };
    before.sort_by_key(Vec::len);
    let of_corpus = kept.len();
    for (place, input) in kept.into_iter().chain(before).enumerate() {
        outcome.tried += 1;
        if let Some(fault) = session.try_input(target, &input)? {
            outcome.fault = Some((keep(&corpus, "fault", &input)?, fault));
            return Ok(outcome);
        }
        let gained = session.coverage.gained();
        if let Effort::Keep(longest) = effort
            && (gained && place >= of_corpus && input.len() <= longest)
        {
            keep(&corpus, "found", &input)?;
        }
        session.pool.push(input);
    }
    let begun = Instant::now();
    let (seed, goes_on): (u64, Box<dyn Fn(u64) -> bool>) = match effort {
        Effort::Tries(most) => (1, Box::new(move |tried| tried < most)),
        Effort::Time(time, seed) => (seed, Box::new(move |_| begun.elapsed() < time)),
        Effort::Keep(_) => (1, Box::new(|_| false)),
    };
    let mut dice = Dice::new(seed);
    while goes_on(outcome.tried) {
        let (input, is_grown) = session.next_input(target.words, &mut dice);
        outcome.tried += 1;
        if let Some(fault) = session.try_input(target, &input)? {
            outcome.fault = Some((keep(&corpus, "fault", &input)?, fault));
            break;
        }
        if session.coverage.gained() && !is_grown {
            keep(&found.join("kept"), "input", &input)?;
            session.pool.push(input);
        }
    }
    outcome.branches = session.coverage.reached();
    Ok(outcome)
}

struct Session {
    coverage: Coverage,
    pool: Vec<Vec<u8>>,
    /// The input that is being tried: what there is to see if the process dies of it.
    last: fs::File,
}

impl Session {
    /// An input made of earlier ones, and whether it is a grown one.
    fn next_input(&self, words: &[&str], dice: &mut Dice) -> (Vec<u8>, bool) {
        // Half of the tries go to what was found last.
        let recent = self.pool.len().saturating_sub(16);
        let from = if dice.below(2) == 0 {
            recent + dice.below(self.pool.len() - recent)
        } else {
            dice.below(self.pool.len())
        };
        let other = dice.below(self.pool.len());
        let input = mutated(&self.pool[from], &self.pool[other], words, LONGEST, dice);
        match dice.below(GROWN_EVERY) {
            0 => (grown(&input, GROWN, dice), true),
            _ => (input, false),
        }
    }

    /// The processor time that an input of `bytes` may take that is read so often.
    fn most_time(&self, bytes: usize, reads: u32) -> Duration {
        let factor = if self.coverage.is_counted() { 1 } else { UNOPTIMISED };
        (TIME_PER_MB.mul_f64(bytes as f64 / 1e6) + TIME_BESIDES) * factor * reads
    }

    /// What the target did that it may not.
    fn try_input(&mut self, target: &Target<'_>, input: &[u8]) -> io::Result<Option<String>> {
        self.last.set_len(input.len() as u64)?;
        self.last.write_all_at(input, 0)?;
        let begun = processor_time();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        let took = processor_time().saturating_sub(begun);
        Ok(match ended {
            Err(panic) => {
                let reason = panic.downcast_ref::<String>().map(String::as_str);
                let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                Some(reason.to_owned())
            }
            Ok(()) if took > self.most_time(input.len(), target.reads) => {
                Some(format!("{} bytes took {took:?}", input.len()))
            }
            Ok(()) => None,
        })
    }
}

/// The processor time that this thread has taken: a busy machine doesn't make an input slow.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The inputs of a folder; none if it isn't there.
fn inputs(dir: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    files.iter().map(|file| fs::read(file).with_context(|| format!("cannot read {}", file.display()))).collect()
}

/// Puts an input into a folder, by what it holds.
fn keep(dir: &Path, kind: &str, input: &[u8]) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    // FNV-1a: the same input has the same name.
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let file = dir.join(format!("{kind}-{hash:016x}"));
    fs::write(&file, input).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries inputs against a target that looks at each byte as often as `looks` says, by the input's length.
    fn fault_of(looks: fn(usize) -> usize) -> Option<String> {
        let target = Target {
            name: "looks",
            run: Box::new(move |input| {
                let sum = (0..looks(input.len())).fold(0_u64, |sum, at| sum ^ std::hint::black_box(at as u64));
                std::hint::black_box(sum);
            }),
            seeds: vec![b"seed".to_vec()],
            reads: 1,
            words: &["word"],
        };
        let folder = std::env::temp_dir().join(format!("sluice-fuzz-{}-{}", std::process::id(), looks(1_000)));
        let report = fuzz(&target, &folder.join("corpus"), &folder.join("scratch"), Effort::Tries(2_000));
        fs::remove_dir_all(&folder).expect("the folder");
        report.expect("a report").fault.map(|(_, fault)| fault)
    }

    #[test]
    fn work_that_grows_with_the_square_of_an_input_is_found() {
        assert_eq!(fault_of(|bytes| bytes), None);
        // At most 48 kB it takes no time that anybody would see.
        let fault = fault_of(|bytes| bytes * (bytes >> 8)).expect("a fault");
        assert!(fault.starts_with("1048576 bytes took"), "{fault}");
    }
}
