//! The columns of `unified.transaction_versions`: the one place in which they are written down.
//!
//! `sluice-model` makes `TRANSACTION_COLUMNS` of them, and the SDK includes this file by its path for
//! the fields of a connector's `Transaction` and their buffers. Arrow and Delta fields, the engine's checks, content
//! hashes, `meta.unified_columns` and `docs/data-model.md` follow.
//!
//! A line is `name kind presence group "documentation";`, in a block that says who gives the column. The order is that
//! of the table, and of the content hash: columns may be added anywhere, and never change places.
//!
//! - Who gives it: `connector` maps it, `engine` derives it from what a connector mapped, `lake` adds it on writing.
//! - Kinds: see `ColumnKind`. `enum` names the type of its words, and the one that the SDK's rows begin with.
//! - Presence: a `required` column has no nulls and is never left out; a `nullable` one may have nulls or be left out;
//!   an `implied` one has no nulls, and if a connector leaves it out, all rows have the named word.
//! - Groups: see `Group`. `attribution` is hashed apart: a value that only arrives there is `late-attribution`.

macro_rules! transaction_columns {
    ($with:ident) => {
        $with! {
            lake {
                transaction_key text required key "Hash of network, account, stream and `transaction_id`: the same after any replay.";
                network text required key "The connector's network id.";
                account text required key "The operator's name for the account.";
                stream text required key "The connector's stream.";
            }
            connector {
                transaction_id id required key "The network's id, verbatim; or what stands for it, see `id_basis`.";
                id_basis enum(IdBasis::Native) implied key "Where `transaction_id` comes from.";
                parent_transaction_id text nullable core "The `transaction_id` of the row that this one corrects, where the network names it.";
                group_key text nullable core "The network's key over the rows of one conversion, where it isn't a row's id.";
                order_id text nullable attribution "The advertiser's order reference.";
                sku text nullable attribution "The article, verbatim; several of one row are joined by `, `.";
                kind enum(TransactionKind::Sale) required core "What kind of row it is. An `adjustment` corrects another row: its sign is the direction.";
                advertiser_id text nullable core "The programme or merchant, by the network's id.";
                advertiser_name text nullable core "The programme or merchant, by name.";
                site_id text nullable core "The publisher's property or channel, by the network's id.";
                site_name text nullable core "The publisher's property or channel, by name.";
                clicked_at time nullable lifecycle "When the customer clicked.";
                transacted_at time required lifecycle "When the sale or lead happened; `time_basis` is how that was stated.";
                recorded_at time nullable lifecycle "When the network booked it.";
                modified_at time nullable lifecycle "When the network last changed it.";
                validated_at time nullable lifecycle "When it was approved or declined.";
                reversed_at time nullable lifecycle "When it was reversed.";
                locks_at time nullable lifecycle "When it is scheduled to be locked.";
                payable_at time nullable lifecycle "When the commission is due.";
                paid_at time nullable lifecycle "When the commission was paid out.";
            }
            engine {
                time_basis enum(TimeBasis::Instant) required lifecycle "How `transacted_at` was stated.";
                transaction_day day required lifecycle "Calendar day of `transacted_at` in `network_timezone`.";
                network_timezone text required lifecycle "IANA zone of the network's reporting day.";
                timezone_basis enum(TimezoneBasis::Declared) required lifecycle "How that zone is known.";
            }
            connector {
                validation_status enum(ValidationStatus::Pending) required lifecycle "The advertiser's decision.";
                is_locked flag nullable lifecycle "Whether the row can no longer change, by what the network reports.";
                payment_status enum(PaymentStatus::Unknown) required lifecycle "Where the publisher's money is.";
                status_raw text nullable lifecycle "The network's status, verbatim; several are joined by ` / `.";
                payment_status_raw text nullable lifecycle "The network's payment status, verbatim.";
                reason_raw text nullable lifecycle "Why it was declined or corrected, verbatim.";
                sale_amount money nullable money "The order's value, in major units.";
                sale_currency currency nullable money "ISO 4217 code of `sale_amount`; none where the network states none, or what is no such code: see `sale_currency_raw`.";
                commission_amount money nullable money "The publisher's commission, in major units; negative only where the network reports a negative.";
                commission_currency currency nullable money "ISO 4217 code of `commission_amount`; none where the network states none, or what is no such code.";
            }
            engine {
                sale_currency_raw text nullable money "What the network wrote for `sale_currency`, where that differs: `usd`, or what is no ISO 4217 code (points, `XXX`).";
                commission_currency_raw text nullable money "What the network wrote for `commission_currency`, where that differs.";
                commission_effective money required money "0 when declined, without an amount or in no ISO 4217 currency (`commission_currency_raw` alone is filled), else `commission_amount` with its sign: its sum is always right.";
            }
            connector {
                amounts_reported text nullable money "The same amounts in further currencies that the network gives, verbatim, as a JSON object.";
                original_sale_amount money nullable money "The order's value before an amendment.";
                original_commission_amount money nullable money "The commission before an amendment.";
                sub_ids pairs nullable attribution "Every sub-id, under the network's own name for it.";
                click_id text nullable attribution "The network's id of the click.";
                voucher_code text nullable attribution "The voucher code that was used.";
                device text nullable core "The customer's device, as the network names it.";
                customer_country text nullable core "The customer's country, as the network gives it.";
                customer_is_new flag nullable core "Whether the customer is new to the advertiser, where the network reports it.";
                commission_group text nullable core "The commission group or rate, as the network names it.";
                payment_id text nullable core "The network's payment batch.";
            }
            lake {
                version int32 required version "1, 2, 3 … for each `transaction_key`.";
                content_hash bytes required version "Hash of the mapped content, nulls left out; zeros say that the transaction is no longer there.";
                change enum(Change::FirstSeen) required version "Why there is this version.";
                observed_at time required version "When a response first had this content; kept by replays.";
                connector text required lineage "The connector that mapped it.";
                connector_version text required lineage "The connector's version.";
                connector_digest text required lineage "BLAKE3 of the connector's component, hexadecimal.";
                run_id text required lineage "The run that brought it, in `meta.runs`.";
                request_id text required lineage "The request that fetched it, in `meta.requests`.";
                raw_object text required lineage "BLAKE3 of the response's body, hexadecimal.";
                record_index int64 required lineage "The record's place in the response, from 0.";
                month text required lineage "Month of `transacted_at` in UTC when it was first seen, as `2026-01`: the table's partition.";
            }
        }
    };
}
pub(crate) use transaction_columns;
