//! Contract 0.2: `wit/v0.2/connector.wit`. What it takes from 0.1 has the types of that version's bindings.

pub(super) mod newer;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::wire;
use crate::state::GuestState;

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
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    manifests::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    columns::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl columns::Host for GuestState {}
impl manifests::Host for GuestState {}

super::calls!(sluice_connector0_2_0_connector, newer::manifest, newer::mapped);
