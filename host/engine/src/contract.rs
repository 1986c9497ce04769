//! The contract's versions, each a folder under `wit/`. The newest one's types are what the rest of the engine reads;
//! an older one is a thin adapter onto them.

pub(crate) mod v0_1;

use sluice_model::{Judgement, Manifest, Request, Response, Slice};
use wasmtime::component::{Component, Linker};

use crate::call::Caller;
use crate::error::Error;
use crate::inputs::Input;
use crate::state::State;

/// The types of what a guest maps.
pub(crate) use v0_1::bindings::sluice::connector::columns as wire;

/// A version of the contract that this host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    V0_1,
}

impl Contract {
    const ALL: &[Self] = &[Self::V0_1];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
        }
    }

    pub(crate) fn of(version: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|contract| contract.version() == version)
    }

    pub(crate) fn versions() -> Vec<String> {
        Self::ALL.iter().map(|contract| contract.version().to_owned()).collect()
    }
}

/// Links what the contracts import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v0_1::add_to_linker(linker)
}

/// A component, ready to be called by its contract.
pub(crate) enum Guest {
    V0_1(v0_1::Guest),
}

impl Guest {
    pub(crate) fn new(contract: Contract, linker: &Linker<State>, component: &Component) -> wasmtime::Result<Self> {
        match contract {
            Contract::V0_1 => v0_1::Guest::new(linker, component).map(Self::V0_1),
        }
    }

    pub(crate) fn describe(&self, caller: &Caller<'_>) -> Result<Manifest, Error> {
        match self {
            Self::V0_1(guest) => guest.describe(caller),
        }
    }

    pub(crate) fn plan(&self, caller: &Caller<'_>, slice: &Slice) -> Result<Vec<Request>, Error> {
        match self {
            Self::V0_1(guest) => guest.plan(caller, slice),
        }
    }

    pub(crate) fn follow(
        &self,
        caller: &Caller<'_>,
        slice: &Slice,
        request: &Request,
        response: &Response,
    ) -> Result<Judgement, Error> {
        match self {
            Self::V0_1(guest) => guest.follow(caller, slice, request, response),
        }
    }

    pub(crate) fn map(
        &self,
        caller: &Caller<'_>,
        slice: &Slice,
        request: &Request,
        response: &Response,
        inputs: &[Input<'_>],
    ) -> Result<wire::Mapped, Error> {
        match self {
            Self::V0_1(guest) => guest.map(caller, slice, request, response, inputs),
        }
    }
}
