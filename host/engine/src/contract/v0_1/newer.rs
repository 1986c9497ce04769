//! Contract 0.1 in the types of 0.2. Columns are moved, never copied.

use super::{columns, manifests};
use crate::contract::v0_2::{columns as next, manifests as next_manifests};

pub(super) fn manifest(old: manifests::Manifest) -> next_manifests::Manifest {
    next_manifests::Manifest {
        network: old.network,
        title: old.title,
        version: old.version,
        hosts: old.hosts,
        streams: old.streams.into_iter().map(stream).collect(),
        settings: old.settings,
        secrets: old.secrets,
        tokens: old.tokens,
        rate: old.rate,
        schedule: old.schedule,
        look_back: old.look_back,
        statuses: old.statuses,
    }
}

/// A complete window of 0.1 is one of the transaction's date: on other dates rows leave a window without vanishing, so
/// there the flag never counted.
fn stream(old: manifests::Stream) -> next_manifests::Stream {
    let by_transaction = old.axes.iter().copied().filter(|axis| *axis == manifests::Axis::Transaction);
    next_manifests::Stream {
        complete_windows: if old.complete_windows { by_transaction.collect() } else { Vec::new() },
        name: old.name,
        unified: old.unified,
        axes: old.axes,
        max_window_secs: old.max_window_secs,
        history_days: None,
        grain: old.grain,
        timezone: old.timezone,
        layout: old.layout,
    }
}

pub(super) fn mapped(old: columns::Mapped) -> next::Mapped {
    next::Mapped {
        transactions: old.transactions.map(transactions),
        native: old.native,
        rejects: old.rejects,
        unknown_statuses: old.unknown_statuses,
    }
}

/// One basis for all ids of an answer; none stands for `native`.
fn id_basis(old: columns::IdBasis, rows: usize) -> Option<columns::ByteColumn> {
    let all = || columns::ByteColumn { values: vec![old as u8; rows], valid: Vec::new() };
    (old != columns::IdBasis::Native).then(all)
}

fn timezone_basis(old: columns::TimezoneBasis) -> next::TimezoneBasis {
    match old {
        columns::TimezoneBasis::Offset => next::TimezoneBasis::Offset,
        columns::TimezoneBasis::Declared => next::TimezoneBasis::Declared,
        columns::TimezoneBasis::Operator => next::TimezoneBasis::Operator,
        columns::TimezoneBasis::AssumedUtc => next::TimezoneBasis::AssumedUtc,
    }
}

fn transactions(old: columns::Transactions) -> next::Transactions {
    next::Transactions {
        id_basis: id_basis(old.id_basis, old.records.len()),
        timezone_basis: timezone_basis(old.timezone_basis),
        records: old.records,
        timezone: old.timezone,
        transaction_id: old.transaction_id,
        kind: old.kind,
        validation_status: old.validation_status,
        payment_status: old.payment_status,
        is_locked: old.is_locked,
        status_raw: old.status_raw,
        payment_status_raw: old.payment_status_raw,
        reason_raw: old.reason_raw,
        parent_transaction_id: old.parent_transaction_id,
        group_key: old.group_key,
        order_id: old.order_id,
        advertiser_id: old.advertiser_id,
        advertiser_name: old.advertiser_name,
        site_id: old.site_id,
        site_name: old.site_name,
        transacted_at: old.transacted_at,
        clicked_at: old.clicked_at,
        recorded_at: old.recorded_at,
        modified_at: old.modified_at,
        validated_at: old.validated_at,
        reversed_at: old.reversed_at,
        locks_at: old.locks_at,
        payable_at: old.payable_at,
        paid_at: old.paid_at,
        sale_amount: old.sale_amount,
        sale_currency: old.sale_currency,
        commission_amount: old.commission_amount,
        commission_currency: old.commission_currency,
        original_sale_amount: old.original_sale_amount,
        original_commission_amount: old.original_commission_amount,
        amounts_reported: old.amounts_reported,
        sub_ids: old.sub_ids,
        click_id: old.click_id,
        voucher_code: old.voucher_code,
        device: old.device,
        customer_country: old.customer_country,
        commission_group: old.commission_group,
        payment_id: old.payment_id,
    }
}
