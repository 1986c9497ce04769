//! The contract's versions, each a folder under `wit/`. The newest one's types are what the rest of the engine reads; an
//! older one is a thin adapter onto them, and shares the types that are the same in both.

mod manifest;
mod request;
mod response;
mod v0_1;
mod v0_2;
mod v0_3;

use bytes::Bytes;
use sluice_model::{Judgement, Manifest, Refusal, Request, Response, Slice};
use wasmtime::Store;
use wasmtime::component::{Component, Linker, Resource};

use crate::call::Caller;
use crate::error::Error;
use crate::inputs::Input;
use crate::state::{Body, GuestState};

use request::{Lowered, LoweredSlice};
use response::LoweredResponse;

/// The contract's types, as its newest version has them.
pub(crate) mod wire {
    pub(crate) use super::v0_1::bindings::sluice::connector::columns::{
        ByteColumn, MapColumn, MoneyColumn, NativeColumn, Reject, TextColumnParam, TextColumnResult, TimeBasis,
        TimeColumn,
    };
    pub(crate) use super::v0_1::bindings::sluice::connector::manifests::*;
    pub(crate) use super::v0_1::bindings::sluice::connector::{requests, responses};
    pub(crate) use super::v0_2::bindings::sluice::connector0_2_0::columns::TimezoneBasis;
    pub(crate) use super::v0_3::bindings::sluice::connector0_3_0_draft_4::facts::{Batch, Column, Mapped, Values};
    pub(crate) use super::v0_3::bindings::sluice::connector0_3_0_draft_4::manifests::{
        Delimited, Format, Layout, Manifest, Setting, Stream,
    };
}

/// A version of the contract that this host supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    V0_1,
    V0_2,
    V0_3,
}

impl Contract {
    const ALL: &[Self] = &[Self::V0_1, Self::V0_2, Self::V0_3];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
            Self::V0_2 => "0.2.0",
            Self::V0_3 => v0_3::VERSION,
        }
    }

    /// The newest of these versions that this host supports.
    pub(crate) fn newest(versions: &[&str]) -> Option<Self> {
        Self::ALL.iter().rev().copied().find(|contract| versions.contains(&contract.version()))
    }

    pub(crate) fn versions() -> Vec<String> {
        Self::ALL.iter().map(|contract| contract.version().to_owned()).collect()
    }

    /// Whether a component of this version may import an interface, by name and version: those of its own contract and of
    /// the earlier ones, which it takes types from.
    pub(crate) fn imports(self, interface: (&str, &str)) -> bool {
        let own: &[&[(&str, &str)]] = match self {
            Self::V0_1 => &[v0_1::IMPORTS],
            Self::V0_2 => &[v0_1::IMPORTS, v0_2::IMPORTS],
            Self::V0_3 => &[v0_1::IMPORTS, v0_2::IMPORTS, v0_3::IMPORTS],
        };
        own.iter().any(|imports| imports.contains(&interface))
    }
}

/// Links what the contracts import.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    v0_1::add_to_linker(linker)?;
    v0_2::add_to_linker(linker)?;
    v0_3::add_to_linker(linker)
}

/// What a guest answers: or that it refuses.
type GuestResult<T> = wasmtime::Result<Result<T, wire::responses::Refusal>>;
/// The requests of a slice.
type Requests = Vec<wire::requests::RequestResult>;

/// The contract's functions in one of its versions, each in a fresh instance; what they give is in the newest one's
/// types.
trait Calls: Send + Sync {
    fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<wire::Manifest>;
    fn plan(&self, store: &mut Store<GuestState>, slice: wire::requests::Slice<'_>) -> GuestResult<Requests>;
    fn follow(&self, store: &mut Store<GuestState>, of: Exchange<'_>) -> GuestResult<wire::responses::Judgement>;
    fn map(
        &self,
        store: &mut Store<GuestState>,
        of: Exchange<'_>,
        records: &[wire::TextColumnParam<'_>],
    ) -> GuestResult<wire::Mapped>;
}

/// The calls of one version, whose bindings differ from other ones' in names only. `$manifest` and `$mapped` convert what a
/// guest gives into the newest types.
macro_rules! calls {
    ($guest:ident, $manifest:expr, $mapped:expr) => {
        impl super::Calls for bindings::NetworkPre<GuestState> {
            fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<wire::Manifest> {
                self.instantiate(&mut *store)?.$guest().call_describe(store).map($manifest)
            }

            fn plan(
                &self,
                store: &mut Store<GuestState>,
                slice: wire::requests::Slice<'_>,
            ) -> super::GuestResult<super::Requests> {
                self.instantiate(&mut *store)?.$guest().call_plan(store, slice)
            }

            fn follow(
                &self,
                store: &mut Store<GuestState>,
                of: super::Exchange<'_>,
            ) -> super::GuestResult<wire::responses::Judgement> {
                let network = self.instantiate(&mut *store)?;
                network.$guest().call_follow(store, of.slice, of.request, of.response)
            }

            fn map(
                &self,
                store: &mut Store<GuestState>,
                of: super::Exchange<'_>,
                records: &[wire::TextColumnParam<'_>],
            ) -> super::GuestResult<wire::Mapped> {
                let network = self.instantiate(&mut *store)?;
                let mapped = network.$guest().call_map_response(store, of.slice, of.request, of.response, records);
                mapped.map(|answer| answer.map($mapped))
            }
        }
    };
}
use calls;

/// A request of a slice and its response, lent to the guest.
struct Exchange<'a> {
    slice: wire::requests::Slice<'a>,
    request: wire::requests::RequestParam<'a>,
    response: wire::responses::Response<'a>,
}

/// A component of one of the contracts, linked once and instantiated for every call.
pub(crate) struct Guest {
    contract: Contract,
    calls: Box<dyn Calls>,
}

impl Guest {
    pub(crate) fn new(
        contract: Contract,
        linker: &Linker<GuestState>,
        component: &Component,
    ) -> wasmtime::Result<Self> {
        let linked = linker.instantiate_pre(component)?;
        let calls: Box<dyn Calls> = match contract {
            Contract::V0_1 => Box::new(v0_1::bindings::NetworkPre::new(linked)?),
            Contract::V0_2 => Box::new(v0_2::bindings::NetworkPre::new(linked)?),
            Contract::V0_3 => Box::new(v0_3::bindings::NetworkPre::new(linked)?),
        };
        Ok(Self { contract, calls })
    }

    pub(crate) fn contract(&self) -> Contract {
        self.contract
    }

    pub(crate) fn describe(&self, caller: &Caller<'_>) -> Result<Manifest, Error> {
        let manifest = caller.run(|store| self.calls.describe(store).map(Ok))?;
        manifest::manifest(manifest).map_err(|what| caller.malformed(what))
    }

    pub(crate) fn plan(&self, caller: &Caller<'_>, slice: &Slice) -> Result<Vec<Request>, Error> {
        let slice = LoweredSlice::new(slice);
        let requests = caller.run(|store| self.calls.plan(store, slice.wire()).map(answer))?;
        request::requests(requests, caller.engine.limits()).map_err(|what| caller.malformed(what))
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
            let response = response.wire(push_body(store, response.body())?);
            let of = Exchange { slice: slice.wire(), request: request.wire(&headers), response };
            self.calls.follow(store, of).map(answer)
        })?;
        response::judgement(judgement, caller.engine.limits()).map_err(|what| caller.malformed(what))
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
            let response = response.wire(push_body(store, response.body())?);
            let of = Exchange { slice: slice.wire(), request: request.wire(&headers), response };
            self.calls.map(store, of, &columns).map(answer)
        })
    }
}

fn answer<T>(answer: Result<T, wire::responses::Refusal>) -> Result<T, Refusal> {
    answer.map_err(response::refusal)
}

fn push_body(store: &mut Store<GuestState>, bytes: &Bytes) -> wasmtime::Result<Resource<Body>> {
    let body = store.data_mut().push_body(bytes.clone())?;
    Ok(Resource::new_borrow(body.rep()))
}
