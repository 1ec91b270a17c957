"""From an objection register in memory to what may be kept of it: keyed MACs, and the pseudonyms of the persons it is about."""

from collections.abc import Mapping, Sequence

import polars as pl

from gateway.checks.objections import ObjectionRow, macs_of
from gateway.linker.drop import persons_by_number
from gateway.registers.persons import scan_persons
from gateway.store.drops import live_register
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import RegisterVersion
from gateway.store.objecting_persons import lock_objections
from gateway.store.objections import KeyedObjection
from keys.secret import Secret


class ReadObjections:
    """Objections in memory, with their numbers, and whom the population register in use says that they are about. Looked up before the
    change that keeps them begins, since that takes a moment; when another register has come meanwhile, once more within it."""

    def __init__(self, home: Home, registers: Mapping[str, Sequence[ObjectionRow]]) -> None:
        """`registers`: by school."""
        self._home = home
        self._schools = registers
        self._rows = [row for rows in registers.values() for row in rows]
        with home.ledger.view() as session:
            self._look_up(live_register(session, "persons"))

    def keyed(self, change: Change, campaign: str) -> dict[str, list[KeyedObjection]]:
        """By school, under the campaign's key; the numbers go no further than this. The objections are locked for the change."""
        lock_objections(change.session)
        live = live_register(change.session, "persons")
        if self._looked_up_in != (live.id if live else None):
            self._look_up(live)
        kept: dict[str, list[KeyedObjection]] = {school: [] for school in self._schools}
        macs = macs_of(self._rows, self._home.objection_key(campaign))
        schools = [school for school, rows in self._schools.items() for _ in rows]
        for school, row, (bsn, number), found in zip(schools, self._rows, macs, self._persons, strict=True):
            kept[school].append(KeyedObjection(bsn, number, row.filed_on, row.withdrawn_on, found))
        return kept

    @property
    def unknown(self) -> int:
        """How many objections in force are about nobody whom the population register knows: they hold by their numbers alone."""
        return sum(row.in_force and not persons for row, persons in zip(self._rows, self._persons, strict=True))

    def _look_up(self, live: RegisterVersion | None) -> None:
        self._looked_up_in = live.id if live else None
        self._persons: list[frozenset[str]] = [frozenset()] * len(self._rows)
        if live is None or not self._rows:
            return
        numbers = pl.DataFrame(
            {"bsn": [row.bsn for row in self._rows], "onderwijsnummer": [row.ond for row in self._rows]},
            schema={"bsn": pl.UInt32, "onderwijsnummer": pl.UInt32},
        )
        key = self._home.mortal.read("registers", live.key_name)
        self._persons = persons_by_number(numbers, scan_persons(self._home.registers / live.file), key, self._home.pseudonyms("person"))


def keyed(key: Secret, registers: Mapping[str, Sequence[ObjectionRow]]) -> dict[str, list[KeyedObjection]]:
    """The rows of each school's register under the campaign's objection key; the numbers go no further than this function."""
    kept: dict[str, list[KeyedObjection]] = {school: [] for school in registers}
    flat = [(school, row) for school, rows in registers.items() for row in rows]
    for (school, row), (bsn, number) in zip(flat, macs_of([row for _, row in flat], key), strict=True):
        kept[school].append(KeyedObjection(bsn, number, row.filed_on, row.withdrawn_on))
    return kept
