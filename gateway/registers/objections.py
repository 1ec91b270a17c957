"""Whom objections are about: an import of the population register sees the numbers, and is the one moment at which they can be looked up
under the keys of the objection registers.
"""

from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from gateway.drop.keyed import NUMBER_KEYS, from_bytes, with_keys
from keys.secret import Secret


class ObjectionsSought:
    """Objections by their MACs, and the persons of the register that were found to have one of the numbers; every one of them counts."""

    def __init__(self) -> None:
        self._rounds: list[tuple[Secret, dict[str, pl.DataFrame]]] = []
        self._found: defaultdict[int, set[str]] = defaultdict(set)

    def add(self, key: Secret, objections: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
        """Look for these too: (id, MAC of BSN, MAC of onderwijsnummer), made with `key`."""
        ids = pl.Series("objection", [row[0] for row in objections], dtype=pl.Int64)
        by_key = {
            column: pl.DataFrame([ids, from_bytes(macs).alias(column)]).drop_nulls()
            for column, macs in zip(NUMBER_KEYS, ([row[1] for row in objections], [row[2] for row in objections]), strict=True)
        }
        self._rounds.append((key, by_key))

    def look(self, persons: pl.DataFrame) -> None:
        """A batch of the register: `persoon_id`, `bsn`, `onderwijsnummer`."""
        for key, sought in self._rounds:
            keyed = with_keys(persons.select("persoon_id", "bsn", "onderwijsnummer"), key, NUMBER_KEYS)
            for column, objections in sought.items():
                for person, objection in keyed.join(objections, on=column).select("persoon_id", "objection").iter_rows():
                    self._found[objection].add(person)

    @property
    def found(self) -> dict[int, set[str]]:
        """The register's own ids of the persons, by objection."""
        return dict(self._found)
