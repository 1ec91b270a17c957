"""A zip of EDEXML and UWLR as the same batches that a CSV gives: one school after the other, first its pupils, then its results."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import polars as pl

from gateway.checks.archive import PUPILS, RESULTS, Archive
from gateway.checks.edexml import Pupils, without_zone
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.table import RawBatch, header_key
from gateway.checks.uwlr import Results, Taken
from policies.rules import Rules

#: column of the format → the element its text stands in
_ELEMENTS = {
    "brin_vestiging": "brincode",
    "postcode": "postcodenl",
    "uitgever": "toetscode",
    "domein": "toetscode",
    "afnamemoment": "toetscode",
    "score": "score",
}
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

    def batches(self) -> Iterator[RawBatch]:
        """The results of all schools. DropRefused names the file where there is one."""
        archive = Archive(self._stream, self._begun)
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
                    yield self._batch(school, pupils, results, taken, rows)
            rows += taken.last

    def located(self, told: Finding) -> Finding:
        """The finding as the vendor can find it: number of the `resultaat` in its file, which the message names, and the element."""
        if told.row is None:
            return told
        at = bisect_right(self._before, told.row - 1) - 1
        place = f"{self._schools[at]}/{RESULTS}, resultaat {told.row - self._before[at]}"
        column = None if told.column is None else _ELEMENTS.get(told.column, told.column)
        return replace(told, row=told.row - self._before[at], column=column).within(place)

    def _unknown(self, name: str) -> None:
        """An element that is not read may stand there, unless its very name says that it is special-category data."""
        topic = self._rules.special_topic(header_key(name.rpartition(" ")[2]))
        if topic is not None:
            raise DropRefused(finding("special-element", topic=topic))

    def _batch(self, school: str, pupils: Pupils, results: Results, taken: Taken, before: int) -> RawBatch:
        tests = pl.DataFrame(
            [(test.publisher, test.code, test.domain, test.moment or None) for test in results.tests],
            schema=dict.fromkeys(("uitgever", "toetscode", "domein", "afnamemoment"), pl.String()),
            orient="row",
        )
        numbers = np.asarray(taken.number, dtype=np.uint32) + np.uint32(before)
        frame = pl.concat(
            [
                pl.DataFrame({"row": numbers}),
                pupils.frame[taken.pupil],
                tests[taken.test],
                pl.DataFrame({"afnamedatum": taken.day, "score": taken.score}, schema={"afnamedatum": pl.String, "score": pl.String}),
            ],
            how="horizontal",
        )
        year = pl.format("{}-{}", _BEGINS, _BEGINS + 1)
        frame = frame.with_columns(pl.col("afnamedatum").pipe(without_zone), brin_vestiging=pl.lit(school)).with_columns(
            schooljaar=pl.when(_BEGINS.is_between(1000, 9998)).then(year).otherwise(pl.lit(pupils.schooljaar))
        )
        # EDEXML knows a pupil's group in its own school year only; of another year the test's moment tells it
        now = (pl.col("schooljaar") == pupils.schooljaar) & pl.col("jaargroep").str.contains("^[1-8S]$")
        by_moment = pl.col("afnamemoment").str.slice(1)
        frame = frame.with_columns(jaargroep=pl.when(now).then("jaargroep").otherwise(by_moment))
        refused = tuple((rule, np.asarray(rows, dtype=np.uint32) + np.uint32(before)) for rule, rows in taken.refused.items())
        return RawBatch(frame, refused, frame.height + sum(len(rows) for _, rows in refused))


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
