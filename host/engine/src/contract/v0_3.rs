//! Contract 0.3: `wit/v0.3/connector.wit`, a draft and the newest. What it takes from earlier contracts has the types of
//! their bindings.

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::wire;
use crate::state::GuestState;

use bindings::sluice::connector0_3_0_draft_4::{facts, manifests};

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.3",
        world: "network",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        with: {
            "sluice:connector@0.1.0": crate::contract::v0_1::bindings::sluice::connector,
            "sluice:connector@0.2.0": crate::contract::v0_2::bindings::sluice::connector0_2_0,
        },
    });
}

pub(super) const VERSION: &str = "0.3.0-draft.4";

/// The interfaces that it adds to those of 0.1 and 0.2.
pub(super) const IMPORTS: &[(&str, &str)] = &[("manifests", VERSION), ("facts", VERSION)];

/// Links what earlier contracts don't have.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    manifests::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    facts::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl facts::Host for GuestState {}
impl manifests::Host for GuestState {}

super::calls!(sluice_connector0_3_0_draft_4_connector, std::convert::identity, std::convert::identity);
