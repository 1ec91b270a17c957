"""Objections: reading a school's register, and leaving objecting pupils out of a drop.

What is kept of a register are keyed MACs (gateway/drop/keyed.py). The numbers exist here only while a register is read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.findings import Collector, Finding, finding
from gateway.checks.table import RawBatch, Table
from gateway.checks.typed import read_column
from gateway.checks.whole import read_whole
from gateway.drop.keyed import NUMBER_KEYS, PLACEHOLDER_NUMBERS, from_bytes, to_bytes, with_keys
from keys.secret import Secret
from policies.rules import Rules, packaged_rules

#: (rule, column, rows that break it)
Faulty = list[tuple[str, str | None, pl.Series]]
NUMBERS = ("bsn", "onderwijsnummer")
#: rows of one register: one in seven of all pupils; they are kept in memory until its end
MOST_ROWS = 200_000


@dataclass(frozen=True)
class ObjectionRow:
    """One parent's objection as it was handed in. Its text form hides the numbers."""

    bsn: int | None = field(repr=False)
    ond: int | None = field(repr=False)
    filed_on: date
    withdrawn_on: date | None = None

    @property
    def in_force(self) -> bool:
        """Whether it was not withdrawn."""
        return self.withdrawn_on is None


def macs_of(rows: Sequence[ObjectionRow], key: Secret) -> list[tuple[bytes | None, bytes | None]]:
    """Of each row the MAC of its BSN and of its onderwijsnummer (16 bytes each), as the ledger keeps them."""
    frame = pl.DataFrame(
        {"bsn": [row.bsn for row in rows], "onderwijsnummer": [row.ond for row in rows]},
        schema={"bsn": pl.UInt32, "onderwijsnummer": pl.UInt32},
    )
    keyed = with_keys(frame, key, NUMBER_KEYS)
    return list(zip(to_bytes(keyed["key_bsn"]), to_bytes(keyed["key_ond"]), strict=True))


class Objections:
    """The objections in force for one campaign, to hold a drop's rows against.

    They hold at every school that delivers, also at another than the one whose register names the pupil: a parent objects to the use of
    the child's data, wherever they come from, and a child that moved is in two schools' files.

    `rows`: MAC of the BSN, MAC of the onderwijsnummer (either may be None); only objections that were not withdrawn.
    """

    def __init__(self, rows: Iterable[tuple[bytes | None, bytes | None]], key: Secret) -> None:
        kept = list(rows)
        self._key = key
        by_column = {column: [macs[at] for macs in kept] for at, column in enumerate(NUMBER_KEYS)}
        self._by_key = {column: from_bytes(macs).drop_nulls().alias(column).to_frame() for column, macs in by_column.items()}
        self._any = any(frame.height for frame in self._by_key.values())

    def of(self, frame: pl.DataFrame) -> pl.Series:
        """Which rows of a typed batch are an objecting pupil's."""
        if not self._any or not frame.height:
            return pl.repeat(False, frame.height, eager=True)
        # a vendor writes a pupil's rows one after the other: a MAC where the numbers change, not for each row
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in NUMBERS)
        starts = frame.select(same.not_() | (pl.int_range(pl.len()) == 0)).to_series()
        runs = with_keys(frame.select(NUMBERS).filter(starts), self._key, NUMBER_KEYS).with_row_index("run")
        met = [runs.join(objections, on=column, how="semi")["run"] for column, objections in self._by_key.items()]
        objecting = runs["run"].is_in(pl.concat(met).implode())
        return objecting.gather(starts.cum_sum() - 1)


@dataclass(frozen=True)
class RegisterOutcome:
    """What became of a handed-in register. `refused`: nothing of it may be kept, and `schools` is empty."""

    refused: bool
    truncated: bool
    schools: dict[str, list[ObjectionRow]]
    findings: list[Finding]
    findings_total: int
    counts: dict[str, int]
    by_rule: Mapping[str, int]  # how often each rule was broken


def read_objection_register(stream: BinaryIO, schools: Collection[str], today: date, rules: Rules | None = None) -> RegisterOutcome:
    """Reads one register (nco-bezwaar-1) whole. `schools`: those for which this vendor may speak. `today`: the day on which it was handed
    in; an objection that is said to be withdrawn later than that is refused, as it must not end before its time.

    A school in the outcome has handed in a register, if only an empty one. One row that can't be read refuses the register
    whole, and so does a school of somebody else: an objection must not get lost. DropRefused never escapes.
    """
    rules = rules or packaged_rules("nco-bezwaar-1")
    told = Collector(rules.findings_kept)
    reader = _RegisterReader(schools, today, rules, told)
    reading = read_whole(Table(stream, rules), rules, told, reader.read, MOST_ROWS, finding("expansion"))
    found = {} if told.refused else reader.schools
    counts = {
        **reading.counts(told.refused),
        "pupils": sum(len(objections) for objections in found.values()),
        "schools": len(found),
        "objected_pupils": 0,
    }
    return RegisterOutcome(told.refused, reading.truncated, found, told.findings(), told.total, counts, told.by_rule)


class _RegisterReader:
    def __init__(self, schools: Collection[str], today: date, rules: Rules, told: Collector) -> None:
        self._allowed = schools
        self._today = today
        self._rules = rules
        self._told = told
        self._strangers: set[str] = set()
        self.schools: dict[str, list[ObjectionRow]] = {}

    def read(self, batch: RawBatch) -> int:
        """Takes the batch's objections in; the number of refused rows."""
        raw = batch.frame
        typed = [raw["row"]]
        faults: Faulty = []
        for column in self._rules.columns:
            values, found = read_column(raw[column.name], column)
            typed.append(values)
            faults += [(rule, column.name, mask) for rule, mask in found.items()]
        frame = pl.DataFrame(typed)
        faults += self._cross_faults(frame, raw)
        bad = np.zeros(raw.height, dtype=np.bool_)
        problems: list[tuple[str, str | None, NDArray[np.uint32]]] = [(rule, None, rows) for rule, rows in batch.refused]
        for rule, name, mask in faults:
            wrong = mask.to_numpy()
            bad |= wrong
            problems.append((rule, name, raw["row"].to_numpy()[wrong]))
        self._told.rows(problems)
        self._take(frame.filter(pl.Series(~bad)))
        return int(bad.sum()) + sum(len(rows) for _, rows in batch.refused)

    def _cross_faults(self, frame: pl.DataFrame, raw: pl.DataFrame) -> Faulty:
        pupil = raw["bsn"].is_not_null() | raw["onderwijsnummer"].is_not_null()
        dated = raw["ingediend_op"].is_not_null() | raw["ingetrokken_op"].is_not_null()
        faults: Faulty = [
            ("filed-on-missing", "ingediend_op", pupil & raw["ingediend_op"].is_null()),
            ("objection-without-pupil", None, dated & ~pupil),
            ("withdrawn-before-filed", "ingetrokken_op", (frame["ingetrokken_op"] < frame["ingediend_op"]).fill_null(False)),
            ("date-in-future", "ingetrokken_op", (frame["ingetrokken_op"] > self._today).fill_null(False)),
        ]
        # a placeholder has no key (gateway/drop/keyed.py): such an objection would never meet its pupil
        for name in NUMBERS:
            faults.append(("placeholder-number", name, frame[name].is_in(list(PLACEHOLDER_NUMBERS)).fill_null(False)))
        return faults

    def _take(self, frame: pl.DataFrame) -> None:
        for row, school, bsn, ond, filed, withdrawn in frame.select(
            "row", "brin_vestiging", "bsn", "onderwijsnummer", "ingediend_op", "ingetrokken_op"
        ).iter_rows():
            if school not in self._allowed:
                if school not in self._strangers:
                    self._strangers.add(school)
                    self._told.refuse(finding("wrong-board", row, "brin_vestiging"))
                continue
            objections = self.schools.setdefault(school, [])
            if bsn is not None or ond is not None:
                objections.append(ObjectionRow(bsn, ond, filed, withdrawn))
