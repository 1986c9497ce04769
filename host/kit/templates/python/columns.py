"""Columns as the contract has them (`wit/deps/v0.1/connector.wit`, interface `columns`): a reader of those that the
host gives, and writers of those that it is given. Nothing here is particular to a network."""

from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from itertools import accumulate, pairwise
from typing import Any

from wit_world.imports.sluice_connector_columns_0_1_0 import ByteColumn, MapColumn, MoneyColumn, TextColumn, TimeColumn
from wit_world.imports.sluice_connector_columns_0_2_0 import Transactions

from values import Moment


def read_texts(column: TextColumn) -> list[str | None]:
    """The texts of a column, None where a row has none."""
    valid = column.valid
    texts = [column.bytes[start:end].decode() for start, end in pairwise(column.offsets)]
    # Bitmaps: least significant bit first; an empty one says that all rows are valid.
    return [text if not valid or valid[row >> 3] >> (row & 7) & 1 else None for row, text in enumerate(texts)]


def bitmap(values: Sequence[object]) -> bytes:
    """Which of the values aren't None."""
    if None not in values:
        return b""
    bits = bytearray((len(values) + 7) // 8)
    for row, value in enumerate(values):
        if value is not None:
            bits[row >> 3] |= 1 << (row & 7)
    return bytes(bits)


def offsets(lists: Sequence[Sequence[object]]) -> list[int]:
    """n + 1 rising offsets of n lists."""
    return list(accumulate(map(len, lists), initial=0))


def texts(values: Sequence[str | None]) -> TextColumn:
    pieces = [(value or "").encode() for value in values]
    return TextColumn(offsets(pieces), b"".join(pieces), bitmap(values))


def flags(values: Sequence[bool | None]) -> ByteColumn:
    return ByteColumn(bytes(map(bool, values)), bitmap(values))


def cases(values: Sequence[Enum]) -> ByteColumn:
    """Cases of one of the contract's enums, by their ordinals."""
    return ByteColumn(bytes(value.value for value in values), b"")


def money(values: Sequence[int | None]) -> MoneyColumn:
    """Of millionths."""
    return MoneyColumn([value or 0 for value in values], bitmap(values))


def times(values: Sequence[Moment | None]) -> TimeColumn:
    micros = [value.micros if value else 0 for value in values]
    bases = bytes(value.basis.value if value else 0 for value in values)
    return TimeColumn(micros, bases, bitmap(values))


def pairs(rows: Sequence[dict[str, str | None]]) -> MapColumn:
    """Some named values a row; None is left out."""
    entries = [[(name, value) for name, value in row.items() if value is not None] for row in rows]
    names = texts([name for row in entries for name, _ in row])
    values = texts([value for row in entries for _, value in row])
    return MapColumn(offsets(entries), names, values)


def transactions(**columns: Any) -> Transactions:
    """The contract's record; a column that isn't named is none: the network doesn't offer it."""
    return Transactions(**{field.name: None for field in fields(Transactions)} | columns)
