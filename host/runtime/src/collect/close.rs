//! Closing a slice: its marker, the limit of rejects, and the report to the tables that its window is whole.

use chrono::{DateTime, Utc};
use sluice_model::{ErrorKind, Slice, SliceRead, Step};

use super::{Collector, Progress};
use crate::failure::{Failure, SliceError};
use crate::slice_done::SliceReport;
use crate::step;

impl Collector {
    /// Marks a slice as read, so that raw alone shows what it covers. Gives when it was read.
    ///
    /// A slice of which too many records were rejected fails here: its coverage isn't complete.
    pub async fn close(&self, slice: &Slice, report: &mut SliceReport, progress: &Progress) -> DateTime<Utc> {
        let read_at = match self.kept.whole(slice).filter(|_| report.errors.is_empty()) {
            Some(read) => {
                report.first_sent_at = read.sent_at.or(report.first_sent_at);
                read.read_at
            }
            None => {
                let read = self.marker(slice, report);
                if let Err(error) = self.app.lake.put_slice_read(&read).await {
                    report.errors.push(Failure::from(error).into());
                }
                read.read_at
            }
        };
        step::passed(Step::SliceRead);
        self.conclude_slice(slice, report, progress, read_at).await;
        read_at
    }

    /// Applies the limit of rejects to a slice, and lets its tables and the guard know of one that is read.
    pub(super) async fn conclude_slice(
        &self,
        slice: &Slice,
        report: &mut SliceReport,
        progress: &Progress,
        read_at: DateTime<Utc>,
    ) {
        report.errors.extend(too_many_rejects(report, self.network.settings.max_reject_share()));
        if report.errors.is_empty()
            && report.rejects == 0
            && self.is_complete(slice)
            && let Some(tables) = &self.tables
        {
            let confirm_after = self.network.settings.content.vanish.confirm_after(self.app.settings.vanish);
            tables.window_read(slice, read_at, confirm_after);
        }
        if report.errors.is_empty()
            && let Err(error) = self.learn(slice, report, progress, read_at).await
        {
            report.errors.push(error);
        }
    }

    /// Lets the guard learn what is usual from a slice that was read without doubt or failure.
    async fn learn(
        &self,
        slice: &Slice,
        report: &SliceReport,
        progress: &Progress,
        read_at: DateTime<Utc>,
    ) -> Result<(), SliceError> {
        if self.tables.is_none() {
            self.guard.note_collected(slice, read_at);
            return Ok(());
        }
        let seen = progress.gate().seen().clone();
        self.guard.learn(self, slice, &seen, report.first_sent_at, read_at, report.rejects > 0).await
    }

    fn marker(&self, slice: &Slice, report: &SliceReport) -> SliceRead {
        SliceRead {
            run_id: self.run_id.clone(),
            slice: slice.clone(),
            sent_at: report.first_sent_at,
            read_at: self.now(),
            requests: report.requests,
            records: report.records,
            rejects: self.tables.is_some().then_some(report.rejects),
            complete: report.errors.is_empty(),
            error: report.errors.first().map(ToString::to_string),
            error_kind: report.errors.first().map(|error| error.kind),
            connector_digest: self.network.connector.digest(),
        }
    }

    /// Whether the answers of a slice hold all that happened in its window.
    fn is_complete(&self, slice: &Slice) -> bool {
        self.network.manifest().stream(&slice.stream).is_some_and(|stream| stream.is_complete(slice.axis))
    }
}

/// The failure of a slice of which more than a share of the records was rejected.
pub fn too_many_rejects(report: &SliceReport, max_share: f64) -> Option<SliceError> {
    let (rejects, records) = (report.rejects as f64, report.records as f64);
    (rejects > records * max_share).then(|| {
        let reason = format!(
            "{} of {} records could not be mapped, more than the allowed share of {max_share}: see `sluice rejects`, \
             or set max_reject_share",
            report.rejects, report.records
        );
        SliceError::new(ErrorKind::Format, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_fails_above_the_share_of_rejects() {
        let fails = |rejects, records, share| {
            too_many_rejects(&SliceReport { rejects, records, ..SliceReport::default() }, share).is_some()
        };
        assert!(!fails(0, 0, 0.0));
        assert!(!fails(5, 100, 0.05));
        assert!(fails(6, 100, 0.05));
        assert!(fails(1, 100, 0.0));
        assert!(!fails(100, 100, 1.0));
    }
}
