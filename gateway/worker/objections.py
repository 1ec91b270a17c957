"""From an objection register in memory to what may be kept of it: keyed MACs."""

from collections.abc import Mapping, Sequence

from gateway.checks.objections import ObjectionRow, macs_of
from gateway.store.objections import KeyedObjection
from keys.secret import Secret


def keyed(key: Secret, registers: Mapping[str, Sequence[ObjectionRow]]) -> dict[str, list[KeyedObjection]]:
    """The rows of each school's register under the campaign's objection key; the numbers go no further than this function."""
    kept: dict[str, list[KeyedObjection]] = {school: [] for school in registers}
    flat = [(school, row) for school, rows in registers.items() for row in rows]
    for (school, row), (bsn, number) in zip(flat, macs_of([row for _, row in flat], key), strict=True):
        kept[school].append(KeyedObjection(bsn, number, row.filed_on, row.withdrawn_on))
    return kept
