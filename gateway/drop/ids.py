"""Names of drops: they say when, never what or who."""

import base64
from datetime import UTC, date, datetime
from typing import NewType

DropId = NewType("DropId", str)

#: 80 random bits: a vendor who knows one name can't guess another.
RANDOM_BYTES = 10


def drop_id(received_at: datetime, random: bytes) -> DropId:
    """`d20261121-` and 16 lower-case base32 characters of RANDOM_BYTES random bytes; the day is UTC's."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a drop id takes {RANDOM_BYTES} random bytes")
    tail = base64.b32encode(random).decode().lower()
    return DropId(f"d{received_at.astimezone(UTC):%Y%m%d}-{tail}")


def day_received(name: str) -> date | None:
    """The day (UTC) in a drop's id; None when `name` is none."""
    try:
        return datetime.strptime(name[:10], "d%Y%m%d-").date()
    except ValueError:
        return None
