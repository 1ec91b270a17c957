"""From an objection register in memory to what may be kept of it: keyed MACs, and the pseudonyms of the persons it is about."""

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import polars as pl

from gateway.checks.objections import ObjectionRow, macs_of
from gateway.linker.drop import persons_by_number
from gateway.registers.persons import scan_persons, unreadable
from gateway.store.drops import live_register
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import RegisterVersion
from gateway.store.objecting_persons import ask_withdrawal, lock_objections
from gateway.store.objections import KeyedObjection
from policies.errors import NotFound


class ReadObjections:
    """Objections in memory, with their numbers, and whom the population register in use says that they are about. Looked up before the
    change that keeps them begins, since that takes a moment; when another register has come meanwhile, once more within it. Unsound
    (`register-file`) when the register in use can't be read."""

    def __init__(self, home: Home, registers: Mapping[str, Sequence[ObjectionRow]]) -> None:
        """`registers`: by school."""
        self._home = home
        self._schools = registers
        self._rows = [row for rows in registers.values() for row in rows]
        self._looked_up_in: int | None = -1
        with home.ledger.view() as session:
            live = live_register(session, "persons")
        with suppress(NotFound, FileNotFoundError):  # replaced just now
            self._look_up(live)

    def keyed(self, change: Change, campaign: str, schools: Container[str]) -> dict[str, list[KeyedObjection]]:
        """By school (of `schools`), under the campaign's key; the numbers go no further than this. The objections are locked for the
        change."""
        self._settle(change)
        macs = macs_of(self._rows, self._home.objection_key(campaign))
        kept = [
            KeyedObjection(bsn, number, row.filed_on, row.withdrawn_on, persons)
            for row, (bsn, number), persons in zip(self._rows, macs, self._persons, strict=True)
        ]
        taken = iter(kept)
        by_school = {school: list(islice(taken, len(rows))) for school, rows in self._schools.items()}
        return {school: rows for school, rows in by_school.items() if school in schools}

    def withdraw(self, change: Change, campaign: str) -> None:
        """Keep nothing, and have the results of these pupils taken out of the store."""
        self._settle(change)
        ask_withdrawal(change, campaign, set().union(*self._persons))

    def _settle(self, change: Change) -> None:
        lock_objections(change.session)
        live = live_register(change.session, "persons")
        if self._looked_up_in != (live.id if live else None):
            self._look_up(live)

    @property
    def unknown(self) -> int | None:
        """How many objections in force are about nobody whom the population register knows: they hold by their numbers alone. None when
        there is no population register yet."""
        if self._looked_up_in is None:
            return None
        return sum(row.in_force and not persons for row, persons in zip(self._rows, self._persons, strict=True))

    def _look_up(self, live: RegisterVersion | None) -> None:
        self._persons: list[frozenset[str]] = [frozenset()] * len(self._rows)
        if live is not None and self._rows:
            self._persons = self._persons_in(live)
        self._looked_up_in = live.id if live else None

    def _persons_in(self, live: RegisterVersion) -> list[frozenset[str]]:
        numbers = pl.DataFrame(
            {"bsn": [row.bsn for row in self._rows], "onderwijsnummer": [row.ond for row in self._rows]},
            schema={"bsn": pl.UInt32, "onderwijsnummer": pl.UInt32},
        )
        key = self._home.mortal.read("registers", live.key_name)
        try:
            return persons_by_number(numbers, scan_persons(self._home.registers / live.file), key, self._home.pseudonyms("person"))
        except pl.exceptions.PolarsError:
            raise unreadable() from None
