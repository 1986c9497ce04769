//! What a Sluice connector in Rust depends on, and nothing else.
//!
//! A connector is a type that implements [`Connector`]: pure functions that describe the network, plan which
//! requests a slice needs, what an answer means, and how its records become unified transactions. It does no
//! I/O, and names secrets without ever holding one.
//!
//! ```
//! use sluice_connector::*;
//!
//! inputs! { ID = "id", AMOUNT = "commission", DATE = "date" }
//!
//! struct Example;
//!
//! impl Connector for Example {
//!     fn describe() -> Manifest {
//!         Manifest {
//!             network: "example".into(),
//!             title: "Example".into(),
//!             version: "0.1.0".into(),
//!             hosts: vec!["api.example.com".into()],
//!             streams: vec![Stream {
//!                 layout: Layout { inputs: inputs(), key: vec!["id".into()], ..json("/sales") },
//!                 ..stream("sales")
//!             }],
//!             settings: vec![],
//!             secrets: vec![required_secret("token", "API token")],
//!             tokens: vec![],
//!             rate: None,
//!             schedule: "0 * * * *".into(),
//!             look_back: vec![look_back(3_600, 3, Axis::Transaction)],
//!             statuses: vec![],
//!         }
//!     }
//!
//!     fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
//!         let since = format_time(slice.window.since, "%Y-%m-%d");
//!         let url = text("https://api.example.com/sales").query("since", &since);
//!         Ok(vec![get("sales", url).header("authorization", text("Bearer ").secret("token"))])
//!     }
//!
//!     fn map(_: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
//!         out.map_each(records, |record, out| {
//!             let row = Transaction {
//!                 transaction_id: record.required(ID)?,
//!                 transacted_at: record.time(DATE, "%Y-%m-%d")?,
//!                 commission_amount: record.money(AMOUNT)?,
//!                 ..Transaction::default()
//!             };
//!             out.push(record, &row);
//!             Ok(())
//!         });
//!         Ok(())
//!     }
//! }
//!
//! export!(Example);
//! ```

#[doc(hidden)]
pub mod bindings;
mod body_error;
mod cells;
mod columns;
mod connector;
mod fact;
/// The schema of payments, programmes, aggregates and items, as the host has it.
#[path = "../../host/model/src/unified/facts.rs"]
mod fact_schema;
mod manifest;
mod moment;
mod money;
mod nested;
mod no_time;
mod output;
mod paging;
mod panic_text;
mod records;
mod request;
mod response;
mod row_check;
mod row_hash;
/// The schema of the unified layer, as the host has it.
#[path = "../../host/model/src/unified/table.rs"]
mod schema;
mod time;
mod transaction;

pub use bindings::sluice::connector0_1_0::columns::{IdBasis, TextColumn, TimeBasis, TransactionKind};
pub use bindings::sluice::connector0_1_0::manifests::{
    Axis, Grain, Kind, LookBack, PaymentStatus, Pin, Rate, SecretSlot, StatusWord, TokenPlace, TokenSource,
    ValidationStatus,
};
pub use bindings::sluice::connector0_1_0::requests::{Digest, Function, Method, Op, Part, Request, Slice, Window};
pub use bindings::sluice::connector0_1_0::responses::{Judgement, Refusal, RefusalKind, Retry, Verdict, Wait};
pub use bindings::sluice::connector0_2_0::columns::TimezoneBasis;
pub use bindings::sluice::connector0_3_0_draft_4::manifests::{Delimited, Format, Layout, Manifest, Setting, Stream};
pub use body_error::{BodyError, Then, error_in, error_in_text};
pub use connector::Connector;
#[doc(hidden)]
pub use connector::Guest;
pub use fact::{Aggregate, Item, Payment, Programme};
pub use manifest::{
    Status, delimited, json, look_back, manifest, optional_setting, pins, pins_by_kind, required_secret,
    required_setting, stream, xml,
};
pub use moment::Moment;
pub use money::Money;
pub use nested::Nested;
pub use output::{Output, kind_in};
pub use paging::{End, Pages, fingerprint};
pub use records::{Record, Records};
pub use request::{Template, get, post, quoted, setting, text, url_encoded};
pub use response::{Body, Response, by_status, done, more, refusal, refused, renew, retry, retry_after, split};
pub use sluice_connector_macros::declared;
pub use time::{DAY_MICROS, SECOND_MICROS, Time, format_time};
pub use transaction::{Mapped, Transaction, Transactions};
