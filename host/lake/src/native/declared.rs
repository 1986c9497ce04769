//! What a connector's layout says of its fields.

use std::collections::HashSet;

use sluice_model::{Kind, Layout};

/// What layouts say of fields.
#[derive(Default)]
pub(crate) struct Declared {
    /// Paths whose kind is pinned.
    pub(super) pins: Vec<(String, Kind)>,
    /// Paths that the mapping reads, or that identify a record.
    named: HashSet<String>,
}

impl Declared {
    pub(crate) fn of(layout: &Layout) -> Self {
        let pins = layout.pins.iter().map(|pin| (pin.path.clone(), pin.kind)).collect();
        Self { pins, named: layout.inputs.iter().chain(&layout.key).cloned().collect() }
    }

    /// Adds what another layout says. The first pin of a path counts.
    pub(super) fn merge(&mut self, more: Self) {
        for pin in more.pins {
            if self.pin(&pin.0).is_none() {
                self.pins.push(pin);
            }
        }
        self.named.extend(more.named);
    }

    /// The kind that a path is pinned to.
    pub(super) fn pin(&self, path: &str) -> Option<Kind> {
        self.pins.iter().find(|(pinned, _)| pinned == path).map(|(_, kind)| *kind)
    }

    /// Whether a path is named: then it has a column, however many there are.
    pub(super) fn has(&self, path: &str) -> bool {
        self.named.contains(path) || self.pin(path).is_some()
    }
}
