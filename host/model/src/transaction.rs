//! Enums of unified transactions whose names are stored in tables.

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
            pub const fn name(self) -> &'static str {
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
        /// A status word that the connector doesn't know.
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
        /// The network doesn't report it.
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
        /// A correction of another row, in the direction of its sign.
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
        /// The network documents it.
        Declared = "declared",
        /// The operator set it.
        Operator = "operator",
        /// Unknown: UTC is assumed.
        AssumedUtc = "assumed-utc",
        /// Unknown: another zone is assumed.
        Assumed = "assumed",
    }
}
words! {
    /// Why there is a new version of a transaction.
    Change {
        /// The transaction is new.
        FirstSeen = "first-seen",
        /// A later response has another content.
        NetworkChange = "network-change",
        /// The transaction is new, and corrects another one.
        Correction = "correction",
        /// The same response is read differently: only the connector changed.
        MappingChange = "mapping-change",
        /// A later response has the same content, and more of who sent the customer.
        LateAttribution = "late-attribution",
        /// A window that was read completely no longer holds it.
        Vanished = "vanished",
        /// A later response has it again.
        Reappeared = "reappeared",
    }
}
