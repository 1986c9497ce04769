"""Money and times out of texts, exactly: money never goes through a float. None is what can't be read."""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from wit_world.imports.sluice_connector_columns_0_1_0 import TimeBasis

MONEY = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?", re.ASCII)
# Enough digits for whatever MONEY matches.
EXACT = Context(prec=200)
# What `decimal(18, 6)` holds, in millionths.
MAX_MICROS = 10**18 - 1

ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?P<time>[T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)


class Moment(NamedTuple):
    """Microseconds since 1970, and whether they are an instant, a wall-clock reading or a day."""

    micros: int
    basis: TimeBasis


def parse_money(text: str) -> int | None:
    """Millionths of a decimal as JSON writes numbers: `-12.50`, `1e3`. Beyond the sixth place half goes to even."""
    if not MONEY.fullmatch(text):
        return None
    micros = int(Decimal(text).scaleb(6, EXACT).to_integral_value(ROUND_HALF_EVEN))
    return micros if abs(micros) <= MAX_MICROS else None


def parse_time(text: str) -> Moment | None:
    """An ISO 8601 time: with `Z` or an offset an instant, else a wall-clock reading or a day."""
    parts = ISO.fullmatch(text)
    if not parts:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # February 30
        return None
    # The contract's times lie between 1900 and 2200.
    if not 1901 <= moment.year <= 2199:
        return None
    if parts["zone"]:
        return Moment(micros_of(moment.astimezone(UTC).replace(tzinfo=None)), TimeBasis.INSTANT)
    return Moment(micros_of(moment), TimeBasis.LOCAL if parts["time"] else TimeBasis.DATE)


def micros_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def format_time(micros: int) -> str:
    """`2026-03-01T00:00:00Z` of microseconds since 1970."""
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="seconds") + "Z"
