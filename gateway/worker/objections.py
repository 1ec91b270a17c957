"""From an objection register in memory to what may be kept of it: keyed MACs."""

from collections.abc import Mapping, Sequence

import polars as pl

from gateway.checks.objections import ObjectionRow
from gateway.drop.keyed import to_bytes, with_keys
from gateway.store.objections import KeyedObjection
from keys.secret import Secret


def keyed(key: Secret, registers: Mapping[str, Sequence[ObjectionRow]]) -> dict[str, list[KeyedObjection]]:
    """The rows of each school's register under the campaign's objection key; the numbers go no further than this function."""
    kept: dict[str, list[KeyedObjection]] = {school: [] for school in registers}
    flat = [(school, row) for school, rows in registers.items() for row in rows]
    frame = pl.DataFrame(
        {"bsn": [row.bsn for _, row in flat], "onderwijsnummer": [row.onderwijsnummer for _, row in flat]},
        schema={"bsn": pl.UInt32, "onderwijsnummer": pl.UInt32},
    )
    frame = with_keys(frame, key, ("key_bsn", "key_ond"))
    for (school, row), bsn, number in zip(flat, to_bytes(frame["key_bsn"]), to_bytes(frame["key_ond"]), strict=True):
        kept[school].append(KeyedObjection(bsn, number, row.filed_on, row.withdrawn_on))
    return kept
