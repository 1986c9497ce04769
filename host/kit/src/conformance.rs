//! What holds of every connector, whatever its network is and in whatever language it was written.

mod bodies;
mod moments;
mod samples;
mod windows;

use sluice_engine::Connector;
use sluice_model::Slice;

use crate::answer::Sample;
use crate::report::Finding;

/// What is wrong with what it plans. `base`: a slice whose account and settings are used.
pub(crate) fn of_slices(connector: &Connector, base: &Slice) -> Vec<Finding> {
    windows::check(connector, base)
}

/// What is wrong with what it makes of answers like those of its fixtures.
pub(crate) fn of_samples(connector: &Connector, all: &[Sample]) -> Vec<Finding> {
    let mut findings = samples::check(connector, all);
    findings.extend(bodies::check(connector, all));
    findings
}
