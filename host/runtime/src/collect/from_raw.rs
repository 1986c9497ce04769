//! Slices that were only collected, judged when tables are first made of them: as a run would have, but for the totals of
//! listings, which only who sends the requests can tell apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluice_lake::{Covered, Fence, Lake, RunWriter};
use sluice_model::{RawObject, Slice, SliceRead};
use sluice_state::Verb;

use super::gate::SliceOutcome;
use super::{Collector, Guard, Progress, ResponseBounds, ResumedResponses, RunWarnings};
use crate::app::{App, Network};
use crate::failure::{Failure, SliceError};
use crate::memory::Reservation;
use crate::slice_done::{SliceDone, SliceReport, coverage};
use crate::tables::{PreparedResponse, RawSelection};

/// What is judged of a run that only collected.
struct CollectedRun {
    collector: Collector,
    /// Its slices of which no table has been made, by id, and how far they were read.
    slices: BTreeMap<String, (SliceRead, Progress)>,
}

/// The slices of a build that are judged.
pub struct CollectedSlices {
    app: Arc<App>,
    network: Network,
    selection: RawSelection,
    tables: Arc<RunWriter>,
    /// What the build has warned of, whichever run it was.
    warnings: Arc<RunWarnings>,
    /// By run, whose ids rise with time.
    runs: BTreeMap<String, Option<CollectedRun>>,
}

impl CollectedSlices {
    /// Those of a build of this network.
    pub fn new(
        app: &Arc<App>,
        network: &Network,
        selection: &RawSelection,
        tables: &Arc<RunWriter>,
        warnings: &Arc<RunWarnings>,
    ) -> Self {
        Self {
            app: app.clone(),
            network: network.clone(),
            selection: selection.clone(),
            tables: tables.clone(),
            warnings: warnings.clone(),
            runs: BTreeMap::new(),
        }
    }

    /// The run and the slice of a response, if that slice is judged.
    async fn of(&mut self, raw: &RawObject) -> Result<Option<(&Collector, &SliceRead, &Progress)>, Failure> {
        if !self.runs.contains_key(&raw.run_id) {
            let run = self.begin_run(&raw.run_id).await?;
            self.runs.insert(raw.run_id.clone(), run);
        }
        let run = self.runs.get(&raw.run_id).and_then(Option::as_ref);
        Ok(run.and_then(|run| {
            let (read, progress) = run.slices.get(&raw.slice.id())?;
            Some((&run.collector, read, progress))
        }))
    }

    async fn begin_run(&self, run_id: &str) -> Result<Option<CollectedRun>, Failure> {
        let reads = self.app.lake.slice_reads(run_id).await?;
        // A run that made tables counted rejects, and judged then.
        let is_meant = |read: &SliceRead| read.complete && read.rejects.is_none() && self.selection.has(&read.slice);
        let mut reads: Vec<SliceRead> = reads.into_iter().filter(is_meant).collect();
        if !reads.is_empty() {
            let covered = self.app.lake.covered(run_id).await?;
            reads.retain(|read| !is_covered(&self.network, read, &covered));
        }
        if reads.is_empty() {
            return Ok(None);
        }
        let collector = Collector {
            app: self.app.clone(),
            network: self.network.clone(),
            run_id: run_id.to_owned(),
            kept: Arc::new(ResumedResponses::default()),
            bounds: Arc::new(ResponseBounds::new(1, self.app.memory.clone())),
            clock: Arc::default(),
            warnings: self.warnings.clone(),
            months: Arc::default(),
            texts: Arc::default(),
            tables: Some(self.tables.clone()),
            // By what was learned of tables: what else raw holds may be as odd as this.
            erased: Arc::default(),
            guard: Arc::new(Guard::open(&self.app, &self.network, run_id, Verb::Collect).await?),
        };
        let slices = reads.into_iter().map(|read| (read.slice.id(), (read, Progress::default())));
        Ok(Some(CollectedRun { collector, slices: slices.collect() }))
    }

    /// Whether responses are held.
    pub fn is_holding(&self) -> bool {
        self.judged().any(|(_, _, progress)| progress.gate().is_holding())
    }

    /// Judges what is held as far as it is known, and hands it on or drops it: others need the memory.
    ///
    /// # Errors
    /// The lake's failure, or the state store's.
    pub async fn hand_on(&self) -> Result<(), SliceError> {
        for (collector, slice, progress) in self.judged() {
            collector.pass(slice, progress).await?;
        }
        Ok(())
    }

    fn judged(&self) -> impl Iterator<Item = (&Collector, &Slice, &Progress)> {
        let runs = self.runs.values().flatten();
        runs.flat_map(|run| run.slices.values().map(|(read, progress)| (&run.collector, &read.slice, progress)))
    }

    /// Takes a mapped response to be judged with its slice; gives it back if that isn't judged. `memory`: what it takes.
    ///
    /// # Errors
    /// The lake's failure, or the state store's.
    pub async fn take(
        &mut self,
        raw: &Arc<RawObject>,
        answer: PreparedResponse,
        memory: Arc<Reservation>,
    ) -> Result<Option<(PreparedResponse, Arc<Reservation>)>, SliceError> {
        let Some((collector, read, progress)) = self.of(raw).await? else { return Ok(Some((answer, memory))) };
        {
            let mut report = progress.lock();
            report.records += answer.records;
            report.rejects += answer.prepared.rejects();
        }
        collector.hold(&read.slice, progress, raw.clone(), answer, memory).await?;
        Ok(None)
    }

    /// Records a response that can't be mapped: its slice isn't whole.
    ///
    /// # Errors
    /// As [`CollectedSlices::take`].
    pub async fn failed(&mut self, raw: &RawObject, error: &SliceError) -> Result<(), Failure> {
        if let Some((_, _, progress)) = self.of(raw).await? {
            progress.fail(error.clone());
        }
        Ok(())
    }

    /// Judges the slices, each run's with what was learned of those before.
    ///
    /// # Errors
    /// The lake's failure, or the state store's.
    pub async fn judge_all(self) -> Result<JudgedBuild, Failure> {
        let mut judged = JudgedBuild::default();
        let mut learned = HashMap::new();
        for CollectedRun { collector, slices } in self.runs.into_values().flatten() {
            collector.guard.know(&learned).await;
            let mut few: BTreeMap<String, Vec<(SliceRead, Progress)>> = BTreeMap::new();
            for (read, progress) in slices.into_values() {
                progress.lock().first_sent_at = read.sent_at;
                let is_whole = progress.lock().errors.is_empty();
                match collector.settle(&read.slice, &progress, is_whole).await {
                    SliceOutcome::Done => judged.done.push(close(&collector, read, &progress).await),
                    SliceOutcome::Few => few.entry(read.slice.stream.clone()).or_default().push((read, progress)),
                }
            }
            for few in few.into_values() {
                let together = few.iter().map(|(read, progress)| (&read.slice, progress));
                let doubts = collector.judge_together(together).await;
                for (read, progress) in few {
                    match &doubts {
                        Ok(doubts) => collector.settle_few(&read.slice, &progress, doubts.clone()).await,
                        Err(error) => progress.fail(error.clone()),
                    }
                    judged.done.push(close(&collector, read, &progress).await);
                }
            }
            learned.extend(collector.guard.learned());
            judged.guards.push(collector.guard);
        }
        Ok(judged)
    }
}

/// Records what a judged slice covers, and learns of it.
async fn close(collector: &Collector, read: SliceRead, progress: &Progress) -> SliceDone {
    let mut report = progress.take();
    (report.requests, report.records) = (read.requests, read.records);
    collector.conclude_slice(&read.slice, &mut report, progress, read.read_at).await;
    let mut done = SliceDone { slice: read.slice, rule: None, read_at: read.read_at, report };
    if !done.has_failed()
        && let Some(tables) = &collector.tables
        && let Some(row) = coverage(collector.network.manifest(), &collector.run_id, &done)
    {
        tables.covered(row);
    }
    // Its traffic is that of the run which collected it.
    let SliceReport { mut errors, further_errors, .. } = done.report;
    let further_errors = further_errors + collector.texts.shorten(&mut errors);
    done.report = SliceReport { errors, further_errors, ..SliceReport::default() };
    done
}

/// Whether a slice is in the tables already.
fn is_covered(network: &Network, read: &SliceRead, covered: &Covered) -> bool {
    let done = SliceDone {
        slice: read.slice.clone(),
        rule: None,
        read_at: read.read_at,
        report: SliceReport { first_sent_at: read.sent_at, ..SliceReport::default() },
    };
    coverage(network.manifest(), &read.run_id, &done).is_some_and(|row| covered.has(&row))
}

/// What was judged of a build.
#[derive(Default)]
pub struct JudgedBuild {
    guards: Vec<Arc<Guard>>,
    /// Slices whose rows are in the tables, or are doubted.
    pub done: Vec<SliceDone>,
}

impl JudgedBuild {
    /// Keeps doubts and profiles, once all rows are durable. Gives what people should know.
    ///
    /// # Errors
    /// The lake's failure, or the state store's.
    pub async fn keep(&self, lake: &Lake, fence: Option<Fence>) -> Result<Vec<String>, Failure> {
        let mut warnings = Vec::new();
        for guard in &self.guards {
            warnings.extend(guard.warnings());
            guard.conclude(lake, fence.clone()).await?;
        }
        Ok(warnings)
    }
}
