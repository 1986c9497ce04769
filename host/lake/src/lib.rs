//! The lake: the only place that writes raw objects and Delta tables.
//!
//! It exists so that one crate knows how bytes become durable: raw objects that are never overwritten, native tables
//! whose schemas grow without a silent cast, and unified transactions that get a version only when their content
//! changed. It doesn't fetch, map or query, and uses no SQL.
//!
//! What a lake holds, from its root:
//! - `raw/bodies/<2 hex>/<blake3 hex>.zst`: bodies as they came off the wire, each content once;
//! - `raw/envelopes/<run>/<request>-<attempt>.json`: the [`sluice_model::RawObject`] of each response;
//! - `raw/retired/<id>.json`: what retention took out of raw; `raw/aside/`: bodies that it is about to delete;
//! - `raw/slices/<run>/<blake3 hex of the slice's id>.json`: the [`sluice_model::SliceRead`] of each slice;
//! - `tables/<schema>/<table>`: Delta tables: `unified.transaction_versions`, `unified.payment_versions` and the like,
//!   `<network>.<stream>`, `meta.*`;
//! - `erasures/<id>.json`: what each erasure removed, without the values;
//! - `connectors/<blake3 hex>.wasm`: every connector version that was ever active.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use sluice_model::{Layout, Mapped, RawObject};
//! # async fn example(object: Arc<RawObject>, wire: bytes::Bytes, layout: Layout, mapped: Mapped,
//! #     connector: sluice_lake::ConnectorRef) -> Result<(), sluice_lake::Error> {
//! let lake = sluice_lake::Lake::open_writable("file:./lake").await?;
//! lake.put_raw(&object, &sluice_lake::WireBody::of(wire)).await?;
//! let mut ledger = lake.ledger();
//! ledger.add(object, &layout, &connector, mapped).await?;
//! let counts = ledger.commit().await?;
//! println!("{} new versions", counts.new_versions);
//! # Ok(())
//! # }
//! ```

mod append;
mod batch;
mod changes;
mod columns;
mod committer;
mod counts;
mod coverage;
mod erase;
mod error;
mod facts;
mod follow;
mod gather;
mod hash;
mod index;
mod lake;
mod latest;
mod ledger;
mod lineage;
mod maintain;
mod meta;
mod month;
mod native;
mod options;
mod ordinals;
mod prepare;
mod raw;
mod rebuild;
mod replay;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod unified;
mod vanished;
mod version_reader;
mod versions;

pub use append::Causes;
pub use changes::{ChangeCursor, ChangeFilter, ChangeReader, Changes};
pub use columns::TableColumns;
pub use committer::{Committer, HeldMemory, RunWriter};
pub use counts::Counts;
pub use coverage::{Coverage, CoverageFold, Gap, GapKind, StreamAxis, WindowRead};
pub use erase::{ErasedRows, NativeSubstitutes, RawEnvelope, Replace, Substitutes, renamed};
pub use error::Error;
pub use facts::{FactWorth, KnownFact, KnownFacts};
pub use lake::{Lake, TableRef};
pub use latest::{KnownCounts, KnownTransaction, KnownTransactions, WindowState, WindowStates, Worth};
pub use ledger::Ledger;
pub use lineage::ConnectorRef;
pub use maintain::{Maintained, Upkeep};
pub use meta::{
    AccountRow, AccountUsage, ConnectorRow, CoverageRow, Covered, DoubtRow, DoubtState, RejectRow, Resolution, RunRow,
    SYSTEM_TABLES, SystemColumn, SystemTable,
};
pub use options::CommitterOptions;
pub use prepare::{Prepared, TransactionState, reject_conflicts};
/// The `content_hash` of a tombstone: its transaction is no longer there.
pub const TOMBSTONE: [u8; 16] = hash::VANISHED.to_be_bytes();

pub use raw::{EnvelopePath, Gone, KeptResponse, RawFilter, RawRetired, StoredResponse, WireBody};
pub use rebuild::{Rebuild, Rebuilt};
pub use replay::{
    Diff, FactDiff, FieldDiff, FieldExample, Money, MoneyKey, NativeDiff, RejectExample, Rejects, Replay, Replayed,
    RolledBack, Rows,
};
pub use table::{Fence, require_honoured, unhonoured_in_log};
pub use version_reader::{NewVersions, VersionFile, VersionPlace, VersionReader};
