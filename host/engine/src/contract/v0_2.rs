//! Contract 0.2: `wit/v0.2/connector.wit`. What it takes from 0.1 has the types of that version's bindings.

pub(super) mod newer;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::wire;
use crate::state::State;

pub(super) use bindings::sluice::connector0_2_0::manifests;

pub(super) use bindings::sluice::connector0_2_0::columns;

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.2",
        world: "network",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        with: { "sluice:connector@0.1.0": crate::contract::v0_1::bindings::sluice::connector },
    });
}

/// The interfaces that it adds to those of 0.1.
pub(super) const IMPORTS: &[(&str, &str)] = &[("manifests", "0.2.0"), ("columns", "0.2.0")];

/// Links what 0.1 doesn't have.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    manifests::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    columns::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl columns::Host for State {}
impl manifests::Host for State {}

super::calls!(sluice_connector0_2_0_connector, newer::manifest, newer::mapped);
