//! Contract 0.1: `wit/v0.1/connector.wit`.

mod newer;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::{v0_2, wire};
use crate::state::{Body, GuestState};

use bindings::sluice::connector::{columns, manifests, requests, responses};

#[expect(ambiguous_associated_items, reason = "`lower` is a case of the contract and a type of wasmtime's derive")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "network",
        // Columns are lent to the guest, not copied for it.
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        with: { "sluice:connector/responses.body": crate::state::Body },
    });
}

pub(super) const IMPORTS: &[(&str, &str)] =
    &[("manifests", "0.1.0"), ("requests", "0.1.0"), ("responses", "0.1.0"), ("columns", "0.1.0")];

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    bindings::Network::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl columns::Host for GuestState {}
impl manifests::Host for GuestState {}
impl requests::Host for GuestState {}
impl responses::Host for GuestState {}

impl responses::HostBody for GuestState {
    fn size(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        self.body_size(&body)
    }

    fn read(&mut self, body: Resource<Body>, max: u32) -> wasmtime::Result<Vec<u8>> {
        self.read_body(&body, max)
    }

    fn value_at(&mut self, body: Resource<Body>, place: String) -> wasmtime::Result<Option<String>> {
        GuestState::value_at(self, &body, &place)
    }

    fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.drop_body(body)
    }
}

super::calls!(sluice_connector_connector, |manifest| v0_2::newer::manifest(newer::manifest(manifest)), |mapped| {
    v0_2::newer::mapped(newer::mapped(mapped))
});
