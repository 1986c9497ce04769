//! The lists of columns, made of the tables in which they are written down.

use super::facts::{aggregate_columns, item_columns, payment_columns, programme_columns};
use super::table::transaction_columns;
use super::{ColumnKind, GivenBy, Group, Presence, UnifiedColumn};
use crate::transaction::{Change, IdBasis, PaymentStatus, TimeBasis, TimezoneBasis, TransactionKind, ValidationStatus};

macro_rules! list {
    ($vis:vis $list:ident $doc:literal $($giver:ident {$(
        $name:ident $kind:ident $(($words:ident :: $first:ident))? $presence:ident $group:ident $documentation:literal;
    )*})*) => {
        #[doc = $doc]
        $vis const $list: &[UnifiedColumn] = &[$($(UnifiedColumn {
            name: stringify!($name),
            kind: kind!($kind $($words)?),
            presence: presence!($presence $($words $first)?),
            group: group!($group),
            given_by: giver!($giver),
            documentation: $documentation,
        },)*)*];
    };
}

macro_rules! kind {
    (text) => {
        ColumnKind::Text
    };
    (id) => {
        ColumnKind::Id
    };
    (currency) => {
        ColumnKind::Currency
    };
    (enum $words:ident) => {
        ColumnKind::Enum($words::NAMES)
    };
    (time) => {
        ColumnKind::Time
    };
    (day) => {
        ColumnKind::Day
    };
    (money) => {
        ColumnKind::Money
    };
    (flag) => {
        ColumnKind::Flag
    };
    (pairs) => {
        ColumnKind::Pairs
    };
    (int32) => {
        ColumnKind::Int32
    };
    (int64) => {
        ColumnKind::Int64
    };
    (bytes) => {
        ColumnKind::Bytes
    };
}

macro_rules! presence {
    (required $($words:ident $first:ident)?) => {
        Presence::Required
    };
    (nullable $($words:ident $first:ident)?) => {
        Presence::Nullable
    };
    (implied $words:ident $first:ident) => {
        Presence::Implied($words::$first.name())
    };
}

macro_rules! group {
    (key) => {
        Group::Key
    };
    (core) => {
        Group::Core
    };
    (lifecycle) => {
        Group::Lifecycle
    };
    (money) => {
        Group::Money
    };
    (attribution) => {
        Group::Attribution
    };
    (version) => {
        Group::Version
    };
    (lineage) => {
        Group::Lineage
    };
}

macro_rules! giver {
    (connector) => {
        GivenBy::Connector
    };
    (engine) => {
        GivenBy::Engine
    };
    (lake) => {
        GivenBy::Lake
    };
}

macro_rules! transactions {
    ($($blocks:tt)*) => {
        list! { pub TRANSACTION_COLUMNS "The columns of `unified.transaction_versions`, in their order." $($blocks)* }
    };
}

macro_rules! items {
    ($($blocks:tt)*) => {
        list! { pub(super) ITEM_COLUMNS "What connector and engine give of items." $($blocks)* }
    };
}

macro_rules! payments {
    ($($blocks:tt)*) => {
        list! { pub(super) PAYMENT_COLUMNS "What connector and engine give of payments." $($blocks)* }
    };
}

macro_rules! programmes {
    ($($blocks:tt)*) => {
        list! { pub(super) PROGRAMME_COLUMNS "What connector and engine give of programmes." $($blocks)* }
    };
}

macro_rules! aggregates {
    ($($blocks:tt)*) => {
        list! { pub(super) AGGREGATE_COLUMNS "What connector and engine give of aggregates." $($blocks)* }
    };
}

transaction_columns!(transactions);
item_columns!(items);
payment_columns!(payments);
programme_columns!(programmes);
aggregate_columns!(aggregates);
