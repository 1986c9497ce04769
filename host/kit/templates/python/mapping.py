"""How Brightlink's sales become unified transactions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from wit_world.imports.sluice_connector_columns_0_1_0 import Reject, TransactionKind
from wit_world.imports.sluice_connector_columns_0_2_0 import Mapped, TimezoneBasis, Transactions
from wit_world.imports.sluice_connector_manifests_0_1_0 import PaymentStatus, ValidationStatus

from columns import cases, money, pairs, texts, times, transactions
from values import Moment, parse_money, parse_time

# Paths of the fields that mapping wants, in the order in which the host gives them.
INPUTS = ["id", "state", "shop.id", "shop.name", "sold_at", "amount", "commission", "currency", "ref"]

# Native columns of money, which are exact.
DECIMALS = ["amount", "commission"]

# Status words and what they mean.
STATUSES = {
    "open": (ValidationStatus.PENDING, PaymentStatus.UNPAID),
    "confirmed": (ValidationStatus.APPROVED, PaymentStatus.UNPAID),
    "paid": (ValidationStatus.APPROVED, PaymentStatus.PAID),
    "cancelled": (ValidationStatus.DECLINED, PaymentStatus.UNPAID),
}
UNKNOWN = (ValidationStatus.UNKNOWN, PaymentStatus.UNKNOWN)

# What networks write where there is no date.
NO_DATES = ("0000-00-00", "1970-01-01", "0001-01-01")

Fields = dict[str, str | None]
Value = TypeVar("Value")


class BadRow(Exception):
    """Why a record can't be mapped. Any other exception is a fault of this connector, and the host shall see it."""


class Row(NamedTuple):
    record: int
    fields: Fields
    sold_at: Moment | None
    amount: int | None
    commission: int | None


def map_records(inputs: Sequence[Sequence[str | None]]) -> Mapped:
    """What `map-response` returns, of a list of texts per input."""
    rows: list[Row] = []
    rejects: list[Reject] = []
    for record, values in enumerate(zip(*inputs, strict=True)):
        fields = {path: (value or "").strip() or None for path, value in zip(INPUTS, values, strict=True)}
        try:
            rows.append(map_row(record, fields))
        except BadRow as error:
            rejects.append(Reject(record, str(error)))
    # A dict keeps the order of their first rows; a set doesn't.
    words = dict.fromkeys(row.fields["state"] for row in rows)
    unknown = [word for word in words if word is not None and word not in STATUSES]
    return Mapped(transactions=batch(rows) if rows else None, native=[], rejects=rejects, unknown_statuses=unknown)


def map_row(record: int, fields: Fields) -> Row:
    if (fields["sold_at"] or "").startswith(NO_DATES):
        fields["sold_at"] = None
    for path in ("id", "sold_at"):
        if fields[path] is None:
            raise BadRow(f"`{path}` is missing")
    return Row(
        record,
        fields,
        sold_at=read(fields, "sold_at", parse_time, "time"),
        amount=read(fields, "amount", parse_money, "amount"),
        commission=read(fields, "commission", parse_money, "amount"),
    )


def read(fields: Fields, path: str, parse: Callable[[str], Value | None], what: str) -> Value | None:
    text = fields[path]
    if text is None:
        return None
    value = parse(text)
    if value is None:
        raise BadRow(f"`{path}`: `{text[:80]}` is no {what}")
    return value


def batch(rows: Sequence[Row]) -> Transactions:
    def column(path: str) -> list[str | None]:
        return [row.fields[path] for row in rows]

    statuses = [STATUSES.get(word or "", UNKNOWN) for word in column("state")]
    return transactions(
        records=[row.record for row in rows],
        timezone="UTC",
        timezone_basis=TimezoneBasis.DECLARED,
        transaction_id=texts(column("id")),
        kind=cases([TransactionKind.SALE] * len(rows)),
        validation_status=cases([validation for validation, _ in statuses]),
        payment_status=cases([payment for _, payment in statuses]),
        status_raw=texts(column("state")),
        advertiser_id=texts(column("shop.id")),
        advertiser_name=texts(column("shop.name")),
        transacted_at=times([row.sold_at for row in rows]),
        sale_amount=money([row.amount for row in rows]),
        sale_currency=texts(column("currency")),
        commission_amount=money([row.commission for row in rows]),
        commission_currency=texts(column("currency")),
        sub_ids=pairs([{"ref": row.fields["ref"]} for row in rows]),
    )
