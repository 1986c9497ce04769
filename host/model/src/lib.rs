//! The nouns of Sluice: what the stages of a run hand to each other.
//!
//! This crate does no I/O and knows neither WebAssembly, HTTP, Delta Lake nor SQL. It exists so that
//! `engine`, `fetch`, `lake` and `query` can work together without knowing each other.
//!
//! ```
//! use sluice_model::{Grain, Window, transaction_key};
//! let window: Window = "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z".parse()?;
//! let halves = window.split_in_half(Grain::Second, chrono_tz::UTC);
//! assert_eq!(halves.map(|(a, b)| a.until == b.since), Some(true));
//! assert_eq!(transaction_key("awin", "uk", "transactions", "1001").len(), 32);
//! # Ok::<(), sluice_model::WindowError>(())
//! ```

mod alarm;
mod currency;
mod entity;
mod error_kind;
mod ids;
mod layout;
mod manifest;
mod mapped;
mod notes;
mod raw;
mod request;
mod response;
pub mod row_hash;
mod secret;
mod slice;
mod slice_read;
mod step;
mod transaction;
pub mod unified;
mod windows;

pub use alarm::{Alarm, AlarmState, Severity};
pub use currency::iso_currency;
pub use entity::{begins_character_name, named_character};
pub use error_kind::{ErrorKind, describe};
pub use ids::{Digest, request_id, transaction_key, transaction_keys};
pub use layout::{Delimited, Format, Kind, Kinds, Layout, NativeBatch, NativeColumn, Pin};
pub use manifest::{
    Axis, Grain, LookBack, Manifest, Rate, SecretSlot, Setting, StatusWord, Stream, TokenPlace, TokenSource,
};
pub use mapped::{BodyFindings, Mapped, Reject};
pub use notes::{DECODE_NOTES, NoteCount, NoteKind, NoteTotals, Notes, RecordSet};
pub use raw::{RawObject, SentRequest};
pub use request::{Function, Hash, Method, Op, Part, Request, Template};
pub use response::{Judgement, Refusal, RefusalKind, Response, Verdict};
pub use secret::Secret;
pub use slice::{Slice, TIMEZONE_SETTING, Window, WindowError, start_of_day};
pub use slice_read::SliceRead;
pub use step::Step;
pub use transaction::{Change, IdBasis, PaymentStatus, TimeBasis, TimezoneBasis, TransactionKind, ValidationStatus};
pub use unified::{Fact, mapped_transactions_schema, money_type};
pub use windows::slice_windows;
