//! Contract 0.1: `wit/v0.1/connector.wit`.

mod convert_manifest;
mod convert_request;
mod convert_response;

use bytes::Bytes;
use sluice_model::{Judgement, Manifest, Request, Response, Slice};
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker, Resource};

use crate::call::Caller;
use crate::contract::wire;
use crate::error::Error;
use crate::inputs::Input;
use crate::state::{Body, State};

use bindings::sluice::connector::{columns, manifests, requests, responses};
use convert_request::{Lowered, LoweredSlice};
use convert_response::LoweredResponse;

#[expect(ambiguous_associated_items, reason = "`lower` is a case of the contract and a type of wasmtime's derive")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "network",
        // Columns are lent to the guest, not copied for it.
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        with: { "sluice:connector/responses.body": crate::state::Body },
    });
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    bindings::Network::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl columns::Host for State {}
impl manifests::Host for State {}
impl requests::Host for State {}
impl responses::Host for State {}

impl responses::HostBody for State {
    fn size(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        self.body_size(&body)
    }

    fn read(&mut self, body: Resource<Body>, max: u32) -> wasmtime::Result<Vec<u8>> {
        self.read_body(&body, max)
    }

    fn value_at(&mut self, body: Resource<Body>, place: String) -> wasmtime::Result<Option<String>> {
        State::value_at(self, &body, &place)
    }

    fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.drop_body(body)
    }
}

/// A component that speaks this contract, linked once and instantiated for every call.
pub(crate) struct Guest {
    network: bindings::NetworkPre<State>,
}

impl Guest {
    pub(crate) fn new(linker: &Linker<State>, component: &Component) -> wasmtime::Result<Self> {
        Ok(Self { network: bindings::NetworkPre::new(linker.instantiate_pre(component)?)? })
    }

    pub(crate) fn describe(&self, caller: &Caller<'_>) -> Result<Manifest, Error> {
        let manifest = caller.run(|store| {
            let network = self.network.instantiate(&mut *store)?;
            network.sluice_connector_connector().call_describe(store).map(Ok)
        })?;
        convert_manifest::manifest(manifest).map_err(|what| caller.malformed(what))
    }

    pub(crate) fn plan(&self, caller: &Caller<'_>, slice: &Slice) -> Result<Vec<Request>, Error> {
        let slice = LoweredSlice::new(slice);
        let requests = caller.run(|store| {
            let network = self.network.instantiate(&mut *store)?;
            let answer = network.sluice_connector_connector().call_plan(store, slice.wire())?;
            Ok(answer.map_err(convert_response::refusal))
        })?;
        convert_request::requests(requests, caller.engine.limits()).map_err(|what| caller.malformed(what))
    }

    pub(crate) fn follow(
        &self,
        caller: &Caller<'_>,
        slice: &Slice,
        request: &Request,
        response: &Response,
    ) -> Result<Judgement, Error> {
        let (slice, request, response) =
            (LoweredSlice::new(slice), Lowered::new(request), LoweredResponse::new(response));
        let headers = request.headers();
        let judgement = caller.run(|store| {
            let network = self.network.instantiate(&mut *store)?;
            let body = push_body(store, response.body())?;
            let answer = network.sluice_connector_connector().call_follow(
                store,
                slice.wire(),
                request.wire(&headers),
                response.wire(body),
            )?;
            Ok(answer.map_err(convert_response::refusal))
        })?;
        convert_response::judgement(judgement, caller.engine.limits()).map_err(|what| caller.malformed(what))
    }

    pub(crate) fn map(
        &self,
        caller: &Caller<'_>,
        slice: &Slice,
        request: &Request,
        response: &Response,
        inputs: &[Input<'_>],
    ) -> Result<wire::Mapped, Error> {
        let (slice, request, response) =
            (LoweredSlice::new(slice), Lowered::new(request), LoweredResponse::new(response));
        let headers = request.headers();
        let columns: Vec<_> = inputs
            .iter()
            .map(|input| wire::TextColumnParam { offsets: &input.offsets, bytes: input.bytes, valid: &input.valid })
            .collect();
        caller.run(|store| {
            let network = self.network.instantiate(&mut *store)?;
            let body = push_body(store, response.body())?;
            let answer = network.sluice_connector_connector().call_map_response(
                store,
                slice.wire(),
                request.wire(&headers),
                response.wire(body),
                &columns,
            )?;
            Ok(answer.map_err(convert_response::refusal))
        })
    }
}

fn push_body(store: &mut Store<State>, bytes: &Bytes) -> wasmtime::Result<Resource<Body>> {
    let body = store.data_mut().push_body(bytes.clone())?;
    Ok(Resource::new_borrow(body.rep()))
}
