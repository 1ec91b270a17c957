"""A zip of EDEXML and UWLR as the same batches that a CSV gives: one school after the other, first its pupils, then its results."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.archive import PUPILS, RESULTS, Archive
from gateway.checks.catalogue import CATALOGUE
from gateway.checks.edexml import COLUMNS as PUPIL_COLUMNS
from gateway.checks.edexml import Pupils, without_zone
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.rule import Level
from gateway.checks.table import RawBatch, header_key
from gateway.checks.uwlr import Results, Taken
from policies.rules import Rules, TestMatch

#: column of the format → the element its text stands in
_ELEMENTS = {
    "brin_vestiging": "brincode",
    "postcode": "postcodenl",
    "uitgever": "toetscode",
    "domein": "toetscode",
    "afnamemoment": "toetscode",
    "score": "score",
}
#: results and pupils that are checked together, over schools: pupils without results take memory as well
_TOGETHER = 20_000
#: column of the format → the fault code of UWLR for what is wrong in it; every other is a message that is not sound
_FAULTS = {**dict.fromkeys(PUPIL_COLUMNS, "Client.LeerlingOngeldig"), "score": "Client.ScoreOngeldig"}
_SCHOOL_YEAR = pl.col("afnamedatum").str.head(4).cast(pl.Int32, strict=False)
_BEGINS = _SCHOOL_YEAR - (pl.col("afnamedatum").str.slice(5, 2) < "08").cast(pl.Int32)


class Exchange:
    """Reads one zip; a row is a `resultaat`. Rows are counted through over all schools, and told per file (`located`)."""

    def __init__(self, stream: BinaryIO, rules: Rules, begun: bytes) -> None:
        self._stream = stream
        self._rules = rules
        self._begun = begun
        self._schools: list[str] = []
        self._before: list[int] = []  # rows of the schools before each of `_schools`
        self.others = 0  # results of tests that are not asked for
        self.of_two_years = 0  # schools whose two files are of different school years

    def batches(self) -> Iterator[RawBatch]:
        """The results of all schools. DropRefused names the file where there is one."""
        waiting: list[_Part] = []
        held = 0
        refused: DropRefused | None = None
        try:
            for part in self._parts(Archive(self._stream, self._begun)):
                waiting.append(part)
                held += part.size
                if held >= _TOGETHER:
                    yield _batch(waiting)
                    waiting, held = [], 0
        except DropRefused as stop:
            refused = stop
        if waiting:  # what is wrong in the schools before is told, too
            yield _batch(waiting)
        if refused is not None:
            raise refused

    def _parts(self, archive: Archive) -> Iterator["_Part"]:
        rows = 0
        for school in archive.schools:
            self._schools.append(school)
            self._before.append(rows)
            with _within(f"{school}/{PUPILS}"):
                pupils = Pupils(school, archive.chunks(school, PUPILS), self._unknown)
            results = Results(school, pupils.index, self._rules, self._unknown)
            with _within(f"{school}/{RESULTS}"):
                taken = Taken()
                for taken in results.read(archive.chunks(school, RESULTS)):
                    self.others += taken.others
                    yield _Part(school, pupils, results.tests, taken, rows)
            rows += taken.last
            self.of_two_years += bool(results.schooljaar and pupils.schooljaar and results.schooljaar != pupils.schooljaar)

    def located(self, told: Finding) -> Finding:
        """The finding as the vendor can find it: number of the `resultaat` in its file, which the message names, the element, and for what
        refuses a row UWLR's fault code."""
        if told.row is None:
            return told
        at = bisect_right(self._before, told.row - 1) - 1
        place = f"{self._schools[at]}/{RESULTS}, resultaat {told.row - self._before[at]}"
        if told.column is not None and CATALOGUE[told.rule].level is Level.ROW:
            place += f" ({_FAULTS.get(told.column, 'Client.OngeldigBericht')})"
        column = None if told.column is None else _ELEMENTS.get(told.column, told.column)
        return replace(told, row=told.row - self._before[at], column=column).within(place)

    def _unknown(self, name: str) -> None:
        """An element that is not read may stand there, unless its very name says that it is special-category data."""
        topic = self._rules.special_topic(header_key(name.rpartition(" ")[2]))
        if topic is not None:
            raise DropRefused(finding("special-element", topic=topic))


@dataclass(frozen=True)
class _Part:
    """Results of one school as they were read; `before`: the results of the schools before it."""

    school: str
    pupils: Pupils
    tests: list[TestMatch]
    taken: Taken
    before: int

    @property
    def size(self) -> int:
        return len(self.taken.number) + sum(map(len, self.taken.refused.values())) + self.pupils.frame.height


def _batch(parts: Sequence[_Part]) -> RawBatch:
    """The parts as one batch: each of its steps costs as much for few rows as for thousands."""
    sizes = [len(part.taken.number) for part in parts]
    tests = [[(test.publisher, test.code, test.domain, test.moment or None) for test in part.tests] for part in parts]
    frame = pl.concat(
        [
            pl.DataFrame({"row": _joined([part.taken.number for part in parts], [part.before for part in parts])}),
            pl.DataFrame({"brin_vestiging": [p.school for p in parts], "_year": [p.pupils.schooljaar for p in parts]})[
                np.repeat(np.arange(len(parts)), sizes)
            ],
            pl.concat([part.pupils.frame for part in parts])[
                _joined([part.taken.pupil for part in parts], _starts([part.pupils.frame.height for part in parts]))
            ],
            pl.DataFrame(
                [test for each in tests for test in each],
                schema=dict.fromkeys(("uitgever", "toetscode", "domein", "afnamemoment"), pl.String()),
                orient="row",
            )[_joined([part.taken.test for part in parts], _starts([len(each) for each in tests]))],
            pl.DataFrame(
                {
                    "afnamedatum": list(chain.from_iterable(part.taken.day for part in parts)),
                    "score": list(chain.from_iterable(part.taken.score for part in parts)),
                },
                schema={"afnamedatum": pl.String, "score": pl.String},
            ),
        ],
        how="horizontal",
    )
    year = pl.format("{}-{}", _BEGINS, _BEGINS + 1)
    frame = frame.with_columns(pl.col("afnamedatum").pipe(without_zone)).with_columns(
        schooljaar=pl.when(_BEGINS.is_between(1000, 9998)).then(year).otherwise("_year")
    )
    # EDEXML knows a pupil's group in its own school year only; of another year the test's moment tells it
    now = (pl.col("schooljaar") == pl.col("_year")) & pl.col("jaargroep").str.contains("^[1-8S]$")
    frame = frame.with_columns(jaargroep=pl.when(now).then("jaargroep").otherwise(pl.col("afnamemoment").str.slice(1))).drop("_year")
    refused = tuple((rule, _joined([rows], [part.before])) for part in parts for rule, rows in part.taken.refused.items())
    return RawBatch(frame, refused, frame.height + sum(len(rows) for _, rows in refused))


def _joined(numbers: Sequence[Sequence[int]], starts: Sequence[int]) -> NDArray[np.uint32]:
    """All numbers in one array, those of each list counted from its start."""
    return np.concatenate([np.asarray(each, dtype=np.uint32) + np.uint32(start) for each, start in zip(numbers, starts, strict=True)])


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(sizes)][:-1]


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Names the file in what refuses the drop."""
    refused: tuple[Finding, ...] = ()
    try:
        yield
    except DropRefused as stop:
        refused = stop.findings
    if refused:
        raise DropRefused(*(told.within(place) for told in refused))
