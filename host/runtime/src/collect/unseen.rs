//! What a run reports and doubts nothing for: inputs that no record of a stream has ever had, known transactions that change.

use sluice_lake::KnownTransaction;
use sluice_model::Stream;

use super::guard::Guard;
use crate::doubt::{Profile, is_moved, unseen_inputs, unseen_text};

impl Guard {
    /// Records whether transactions that the tables have change in ways that a run reports.
    pub(super) fn note_moved(&self, known: &[KnownTransaction]) {
        if known.iter().any(is_moved) {
            self.found().is_moved = true;
        }
    }

    /// Whether it is worth counting how they changed.
    pub fn has_moved(&self) -> bool {
        self.found().is_moved
    }

    /// Records, once for each stream, which inputs no record of any of the accounts has that the run read: fields may be
    /// optional, and one of them misspelt. To be called when all is read.
    pub fn note_unseen(&self, streams: &[Stream]) {
        let mut found = self.found();
        for stream in streams {
            let mut all = Profile::default();
            let of_stream = found.learned.iter().filter(|((_, name), _)| *name == stream.name);
            of_stream.for_each(|(_, profile)| all.merge_with_reported(profile));
            let unseen = unseen_inputs(&all, &stream.layout);
            if unseen.is_empty() {
                continue;
            }
            found.warnings.add(format!("{}: {}", stream.name, unseen_text(&all, &unseen)));
            for (_, profile) in found.learned.iter_mut().filter(|((_, name), _)| *name == stream.name) {
                unseen.iter().for_each(|path| profile.note_reported(path));
            }
        }
    }
}
