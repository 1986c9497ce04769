//! Contract 0.2 in the types of 0.3: the fields of its `transactions` by their names in the schema. Columns are moved,
//! never copied.

use super::{columns, manifests};
use crate::contract::v0_1::bindings::sluice::connector::manifests as oldest;
use crate::contract::wire::{
    self, Batch, ByteColumn, Column, MapColumn, Mapped, MoneyColumn, TextColumnResult, TimeColumn, Values,
};
use crate::transactions::TRANSACTIONS;

pub(in crate::contract) fn manifest(old: manifests::Manifest) -> wire::Manifest {
    wire::Manifest {
        network: old.network,
        title: old.title,
        version: old.version,
        hosts: old.hosts,
        streams: old.streams.into_iter().map(stream).collect(),
        settings: old.settings.into_iter().map(setting).collect(),
        secrets: old.secrets,
        tokens: old.tokens,
        rate: old.rate,
        schedule: old.schedule,
        look_back: old.look_back,
        statuses: old.statuses,
    }
}

/// Earlier contracts don't say which settings identify an account: those that it can't do without, but for the currency,
/// which says how answers are read.
fn setting(old: oldest::Setting) -> wire::Setting {
    wire::Setting {
        identifies: old.required && old.name != "currency",
        name: old.name,
        meaning: old.meaning,
        required: old.required,
        default: old.default,
    }
}

fn stream(old: manifests::Stream) -> wire::Stream {
    let oldest::Layout { format, pins, inputs, key } = old.layout;
    wire::Stream {
        name: old.name,
        unified: old.unified,
        axes: old.axes,
        complete_windows: old.complete_windows,
        max_window_secs: old.max_window_secs,
        history_days: old.history_days,
        grain: old.grain,
        timezone: old.timezone,
        layout: wire::Layout { format: self::format(format), pins, inputs, key },
    }
}

fn format(old: oldest::Format) -> wire::Format {
    match old {
        oldest::Format::Json(place) => wire::Format::Json(place),
        oldest::Format::Ndjson => wire::Format::Ndjson,
        oldest::Format::Xml(place) => wire::Format::Xml(place),
        oldest::Format::Delimited(old) => wire::Format::Delimited(delimited(old)),
        oldest::Format::Opaque => wire::Format::Opaque,
    }
}

/// Where a network doesn't quote, the delimiters and line feeds of a row with another number of fields belong to a value.
fn delimited(old: oldest::Delimited) -> wire::Delimited {
    wire::Delimited {
        exact_fields: old.quote.is_empty(),
        optional: Vec::new(),
        delimiter: old.delimiter,
        quote: old.quote,
        skip_lines: old.skip_lines,
        header: old.header,
        charset: old.charset,
    }
}

pub(in crate::contract) fn mapped(old: columns::Mapped) -> Mapped {
    Mapped {
        facts: old.transactions.map(transactions).into_iter().collect(),
        native: old.native,
        rejects: old.rejects,
        unknown_statuses: old.unknown_statuses,
        total: None,
    }
}

fn transactions(old: columns::Transactions) -> Batch {
    let columns = [
        text("transaction_id", Some(old.transaction_id)),
        words("id_basis", old.id_basis),
        words("kind", Some(old.kind)),
        words("validation_status", Some(old.validation_status)),
        words("payment_status", Some(old.payment_status)),
        flag("is_locked", old.is_locked),
        text("status_raw", old.status_raw),
        text("payment_status_raw", old.payment_status_raw),
        text("reason_raw", old.reason_raw),
        text("parent_transaction_id", old.parent_transaction_id),
        text("group_key", old.group_key),
        text("order_id", old.order_id),
        text("advertiser_id", old.advertiser_id),
        text("advertiser_name", old.advertiser_name),
        text("site_id", old.site_id),
        text("site_name", old.site_name),
        time("transacted_at", Some(old.transacted_at)),
        time("clicked_at", old.clicked_at),
        time("recorded_at", old.recorded_at),
        time("modified_at", old.modified_at),
        time("validated_at", old.validated_at),
        time("reversed_at", old.reversed_at),
        time("locks_at", old.locks_at),
        time("payable_at", old.payable_at),
        time("paid_at", old.paid_at),
        money("sale_amount", old.sale_amount),
        text("sale_currency", old.sale_currency),
        money("commission_amount", old.commission_amount),
        text("commission_currency", old.commission_currency),
        money("original_sale_amount", old.original_sale_amount),
        money("original_commission_amount", old.original_commission_amount),
        text("amounts_reported", old.amounts_reported),
        pairs("sub_ids", old.sub_ids),
        text("click_id", old.click_id),
        text("voucher_code", old.voucher_code),
        text("device", old.device),
        text("customer_country", old.customer_country),
        text("commission_group", old.commission_group),
        text("payment_id", old.payment_id),
    ];
    Batch {
        fact: TRANSACTIONS.to_owned(),
        records: old.records,
        timezone: old.timezone,
        timezone_basis: old.timezone_basis,
        columns: columns.into_iter().flatten().collect(),
    }
}

fn text(name: &str, column: Option<TextColumnResult>) -> Option<Column> {
    named(name, column.map(Values::Text))
}

fn time(name: &str, column: Option<TimeColumn>) -> Option<Column> {
    named(name, column.map(Values::Time))
}

fn money(name: &str, column: Option<MoneyColumn>) -> Option<Column> {
    named(name, column.map(Values::Money))
}

fn flag(name: &str, column: Option<ByteColumn>) -> Option<Column> {
    named(name, column.map(Values::Flag))
}

fn words(name: &str, column: Option<ByteColumn>) -> Option<Column> {
    named(name, column.map(Values::Words))
}

fn pairs(name: &str, column: Option<MapColumn>) -> Option<Column> {
    named(name, column.map(Values::Pairs))
}

fn named(name: &str, values: Option<Values>) -> Option<Column> {
    Some(Column { name: name.to_owned(), values: values? })
}
