//! What vanished: versions that say so, and what is missing for the first time.

use sluice_model::{Fact, Step};

use super::{Flushed, Target, Writers};
use crate::append::{Appended, Appender, RunNumber};
use crate::error::Error;
use crate::table::Fence;
use crate::vanished::{self, AbsenceFinding, Absences, StreamAbsences, StreamRead, VanishedRows};

impl Writers {
    /// Appends a version that says so for each transaction that windows which were read whole no longer hold, for the
    /// second time; and records what they lack for the first time and what was read again. All rows of these
    /// runs must have been flushed.
    pub(crate) async fn mark_vanished(
        &mut self,
        streams: &[StreamRead],
        fences: &[(RunNumber, Fence)],
    ) -> Result<Flushed, Error> {
        let mut flushed = Flushed::default();
        if streams.is_empty() {
            self.lake.passed(Step::VanishedMarked);
            return Ok(flushed);
        }
        let absences = Absences::of(&self.lake, streams).await?;
        let findings = self.find_missing(streams, &absences).await?;
        let mut judged = Vec::new();
        for (stream, finding) in streams.iter().zip(&findings) {
            let (gone, open) = absences.split(stream, &finding.missing);
            if let Some(rows) = stream.gone(self.latest().await?.table(), finding, &gone).await? {
                let appended = self.append_vanished(rows, fences).await?;
                flushed.take_versions(appended);
            }
            judged.push(StreamAbsences::new(stream, finding, &gone, open));
        }
        self.lake.passed(Step::VanishedMarked);
        // If a crash comes between, the run that is resumed finds the same and records it.
        self.note_absent(absences, judged, fences, &mut flushed).await?;
        Ok(flushed)
    }

    /// What each stream's windows should hold and don't.
    async fn find_missing(
        &mut self,
        streams: &[StreamRead],
        absences: &Absences,
    ) -> Result<Vec<AbsenceFinding>, Error> {
        if streams.iter().all(|stream| stream.windows.is_empty()) {
            return Ok(streams.iter().map(|_| AbsenceFinding::default()).collect());
        }
        self.latest().await?.catch_up().await?;
        vanished::find(streams, self.latest().await?.table(), absences).await
    }

    async fn append_vanished(
        &mut self,
        mut gone: VanishedRows,
        fences: &[(RunNumber, Fence)],
    ) -> Result<Appended, Error> {
        let appender = match &mut self.unified {
            Some(open) => open,
            unread => {
                let Target { schema, name, columns, .. } = Target::versions(Fact::Transactions);
                let open = Appender::open(&self.lake, &schema, &name, columns, self.options.index_keys);
                unread.insert(open.await?)
            }
        };
        let fences: Vec<_> = fences.iter().filter(|(run, _)| *run == gone.run()).cloned().collect();
        appender.append(&mut gone, &fences).await
    }

    /// Records what is absent and what isn't any more, for all runs at once; for those whose lease was taken
    /// over, nothing.
    async fn note_absent(
        &self,
        mut absences: Absences,
        mut judged: Vec<StreamAbsences<'_>>,
        fences: &[(RunNumber, Fence)],
        flushed: &mut Flushed,
    ) -> Result<(), Error> {
        loop {
            judged.retain(|judged| !flushed.failed.contains_key(&judged.stream.run));
            let carried = fences.iter().filter(|(run, _)| judged.iter().any(|judged| judged.stream.run == *run));
            let carried: Vec<Fence> = carried.map(|(_, fence)| fence.clone()).collect();
            match absences.note(&judged, &carried).await {
                Err(Error::Fenced { table, resource, epoch, known }) => {
                    let is_over = |fence: &Fence| fence.resource == resource && fence.epoch <= epoch;
                    for (run, _) in fences.iter().filter(|(_, fence)| is_over(fence)) {
                        let (table, resource) = (table.clone(), resource.clone());
                        flushed.failed.insert(*run, Error::Fenced { table, resource, epoch, known });
                    }
                }
                done => return done,
            }
        }
    }
}
