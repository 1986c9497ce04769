//! The trait that a connector implements, and its export.

use crate::bindings::exports::sluice::connector0_3_0_draft_4::connector as contract;
use crate::{Judgement, Manifest, Output, Records, Refusal, Request, Response, Slice, panic_text, response};

/// A network's connector: pure functions of their arguments.
pub trait Connector {
    /// What the network is.
    fn describe() -> Manifest;

    /// The slice's first requests. The same slice gives the same requests.
    ///
    /// # Errors
    /// A [`Refusal`] when the account's settings make no sense.
    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal>;

    /// Judges a response. Without it: by HTTP status, and a request whose body the layout doesn't fit is retried.
    ///
    /// # Errors
    /// A [`Refusal`] when the answer can't be understood.
    fn follow(_slice: &Slice, _request: &Request, response: &Response) -> Result<Judgement, Refusal> {
        Ok(response::by_status(response, None))
    }

    /// Maps the records of a response into unified transactions.
    ///
    /// # Errors
    /// A [`Refusal`] when the whole response makes no sense; one bad record is a reject in `out`.
    fn map(
        slice: &Slice,
        request: &Request,
        response: &Response,
        records: &Records,
        out: &mut Output,
    ) -> Result<(), Refusal>;
}

/// Puts a [`Connector`] behind the contract's exports.
#[doc(hidden)]
pub struct Guest<C>(std::marker::PhantomData<C>);

impl<C: Connector> contract::Guest for Guest<C> {
    fn describe() -> contract::Manifest {
        panic_text::keep();
        C::describe()
    }

    fn plan(slice: contract::Slice) -> Result<Vec<contract::Request>, Refusal> {
        panic_text::keep();
        C::plan(&slice)
    }

    fn follow(
        slice: contract::Slice,
        request: contract::Request,
        response: contract::Response<'_>,
    ) -> Result<contract::Judgement, Refusal> {
        panic_text::keep();
        C::follow(&slice, &request, &Response::from_host(&response))
    }

    fn map_response(
        slice: contract::Slice,
        request: contract::Request,
        response: contract::Response<'_>,
        records: Vec<contract::TextColumn>,
    ) -> Result<contract::Mapped, Refusal> {
        panic_text::keep();
        let stream = slice.stream.clone();
        let rows = records.first().map_or(0, |column| column.offsets.len().saturating_sub(1));
        let mut out = Output::with_capacity(rows);
        let described = C::describe().streams.into_iter().find(|described| described.name == stream);
        // A row's zone is its stream's, unless the connector says another one.
        out.timezone = described.map_or_else(|| "UTC".into(), |described| described.timezone);
        let records = Records::new(records)?.with_paths(move || input_paths::<C>(&stream));
        C::map(&slice, &request, &Response::from_host(&response), &records, &mut out)?;
        Ok(out.into_mapped().into())
    }
}

fn input_paths<C: Connector>(stream: &str) -> Vec<String> {
    let streams = C::describe().streams.into_iter();
    streams.filter(|described| described.name == stream).flat_map(|described| described.layout.inputs).collect()
}

/// Exports a [`Connector`] as the component's one interface. It expands to nothing in a native build, so that
/// `cargo test` of a connector is plain native.
#[macro_export]
macro_rules! export {
    ($connector:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::Guest<$connector>;
    $crate::bindings::__export_network!(Exported with_types_in $crate::bindings);
        };
    };
}
