//! The unified transaction, as a connector's mapping gives it. Meanings stand in DATA-MODEL.md.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$case_doc])* $case,)* }

        impl $name {
            /// All cases, by ordinal.
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];
            /// Their names in tables, by ordinal.
            pub const NAMES: &'static [&'static str] = &[$($word,)*];

            /// Its name in tables.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}

words! {
    /// The advertiser's decision.
    ValidationStatus {
        /// Not decided.
        Pending = "pending",
        /// Accepted.
        Approved = "approved",
        /// Refused.
        Declined = "declined",
        /// A word that the connector doesn't know.
        Unknown = "unknown",
    }
}
words! {
    /// Where the publisher's money is.
    PaymentStatus {
        /// Not yet due.
        Unpaid = "unpaid",
        /// Due.
        Payable = "payable",
        /// Paid out.
        Paid = "paid",
        /// Taken back after a payout.
        ClawedBack = "clawed-back",
        /// The network doesn't say.
        Unknown = "unknown",
    }
}
words! {
    /// What kind of row it is.
    TransactionKind {
        /// A sale.
        Sale = "sale",
        /// A lead.
        Lead = "lead",
        /// A paid click.
        Click = "click",
        /// A bonus.
        Bonus = "bonus",
        /// A correction of another row; its sign says what it does.
        Adjustment = "adjustment",
        /// A part of a basket.
        LineItem = "line-item",
        /// A signal without commission.
        Event = "event",
    }
}
words! {
    /// Where the transaction's id comes from.
    IdBasis {
        /// The network gives it.
        Native = "native",
        /// Made of documented parts.
        Composed = "composed",
        /// The network gives none.
        RowHash = "row-hash",
    }
}
words! {
    /// How `transacted_at` was stated.
    TimeBasis {
        /// With its offset.
        Instant = "instant",
        /// By the wall clock of a zone, which was applied.
        Local = "local",
        /// A day only: its first moment in the zone.
        Date = "date",
        /// In the hour that daylight saving repeats: the earlier reading is kept.
        LocalDoubled = "local-doubled",
    }
}
words! {
    /// How the zone of the reporting day is known.
    TimezoneBasis {
        /// From offsets in the data.
        Offset = "offset",
        /// The network's documents say so.
        Declared = "declared",
        /// The operator says so.
        Operator = "operator",
        /// Nobody says so: it is taken for UTC.
        AssumedUtc = "assumed-utc",
        /// Nobody says so: it is taken for another zone.
        Assumed = "assumed",
    }
}

/// The type of unified money: major units, exact.
pub fn money_type() -> DataType {
    DataType::Decimal128(18, 6)
}

/// The columns of unified transactions as the engine returns them: those of DATA-MODEL.md from
/// `transaction_id` to `sub_ids` and `payment_id`, plus `record_index` (UInt32, the record each row came
/// from). What the host adds (keys, hashes, versions, lineage) isn't among them.
pub fn mapped_transactions_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let time = |name: &str, nullable| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nullable)
    };
    let money = |name: &str| Field::new(name, money_type(), true);
    let mut fields = vec![Field::new("record_index", DataType::UInt32, false)];
    fields.extend([text("transaction_id", false), text("id_basis", false)]);
    fields.extend(["parent_transaction_id", "group_key", "order_id"].map(|name| text(name, true)));
    fields.push(text("kind", false));
    fields.extend(["advertiser_id", "advertiser_name", "site_id", "site_name"].map(|name| text(name, true)));
    fields.push(time("clicked_at", true));
    fields.push(time("transacted_at", false));
    fields.extend(
        ["recorded_at", "modified_at", "validated_at", "reversed_at", "locks_at", "payable_at", "paid_at"]
            .map(|name| time(name, true)),
    );
    fields.push(text("time_basis", false));
    fields.push(Field::new("transaction_day", DataType::Date32, false));
    fields.extend([text("network_timezone", false), text("timezone_basis", false)]);
    fields.push(text("validation_status", false));
    fields.push(Field::new("is_locked", DataType::Boolean, true));
    fields.push(text("payment_status", false));
    fields.extend(["status_raw", "payment_status_raw", "reason_raw"].map(|name| text(name, true)));
    fields.extend([money("sale_amount"), text("sale_currency", true)]);
    fields.extend([money("commission_amount"), text("commission_currency", true)]);
    fields.push(Field::new("commission_effective", money_type(), false));
    fields.push(text("amounts_reported", true));
    fields.extend([money("original_sale_amount"), money("original_commission_amount")]);
    fields.push(Field::new("sub_ids", sub_ids_type(), true));
    fields.extend(
        ["click_id", "voucher_code", "device", "customer_country", "commission_group", "payment_id"]
            .map(|name| text(name, true)),
    );
    Arc::new(Schema::new(fields))
}

/// Map of Utf8 to nullable Utf8, with the entry names that Delta Lake uses.
fn sub_ids_type() -> DataType {
    let entries = Field::new(
        "key_value",
        DataType::Struct(
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into(),
        ),
        false,
    );
    DataType::Map(Arc::new(entries), false)
}
