"""The checks of a drop, as CSV (nco-lvs-1) or as a zip of EDEXML and UWLR: a stream in, typed batches
out, and what there is to say about it.

Nothing is proved before the end: a drop may turn out to be truncated, or to hold a school it may not speak for, in its last
row. Whoever takes the batches keeps them to itself until `outcome` says that nothing refused the drop.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.archive import SIGNATURES
from gateway.checks.crossed import cross_faults
from gateway.checks.exchange import Exchange
from gateway.checks.expected import Expected, Judged
from gateway.checks.findings import Collector, DropRefused, Finding, finding
from gateway.checks.objections import Objections
from gateway.checks.schools import Admission, SchoolStanding
from gateway.checks.table import BATCH_BYTES, RawBatch, Table
from gateway.checks.tally import SchoolCount, Tally
from gateway.checks.typed import read_column
from gateway.drop.record import BATCH_COLUMNS
from policies.rules import ObjectingPupils, Rules

#: reads the columns of a batch: polars works on each in one thread, and lets others work meanwhile
_SIDE_BY_SIDE = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="columns")


@dataclass(frozen=True)
class CheckContext:
    """What the checks have to know beside the file."""

    vendor: str
    today: date  # in Europe/Amsterdam
    schools: Mapping[str, SchoolStanding]
    objections: Objections


@dataclass(frozen=True)
class Outcome:
    """What became of a drop. Only one with `refused` False may be kept; `truncated` says why it was refused (it can be sent anew).

    `schools` of a refused drop: those with objecting pupils, where these are the reason.
    """

    refused: bool
    truncated: bool
    counts: dict[str, int]
    findings: list[Finding]
    findings_total: int
    schools: dict[str, SchoolCount] = field(default_factory=dict)
    by_rule: Mapping[str, int] = field(default_factory=dict)  # how often each rule was broken, also what `findings` has no room for


def require_in_time(day: date, deliver_from: date, deliver_until: date) -> None:
    """DropRefused (`too-early`, `after-deadline`) for what was delivered on a `day` outside these, both included."""
    if day < deliver_from:
        raise DropRefused(finding("too-early", day=deliver_from))
    if day > deliver_until:
        raise DropRefused(finding("after-deadline"))


class Checked:
    """One reading of one drop. Iterate `batches()` to its end, then read `outcome`."""

    def __init__(self, stream: BinaryIO, context: CheckContext, rules: Rules, batch_bytes: int = BATCH_BYTES) -> None:
        self._context = context
        self._rules = rules
        self._stream = stream
        self._batch_bytes = batch_bytes
        self._exchange: Exchange | None = None
        self._told = Collector(rules.findings_kept)
        self._admission = Admission(context.vendor, context.schools)
        self._expected = Expected(rules)
        self._tally = Tally(min(rules.schooljaren_of_leavers(context.today), default=""))
        self._incident: dict[str, SchoolCount] = {}
        self._outcome: Outcome | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of the drop; RuntimeError before `batches()` has come to its end."""
        if self._outcome is None:
            raise RuntimeError("a drop has no outcome before all its batches were read")
        return self._outcome

    @property
    def format(self) -> str:
        """What the content turned out to be: `edexml-uwlr`, or the format of the rules."""
        return self._rules.format if self._exchange is None else "edexml-uwlr"

    def batches(self) -> Iterator[pl.DataFrame]:
        """The accepted rows as BATCH_COLUMNS, objecting pupils left out; nothing more once the drop is refused.

        DropRefused of the stream or the table ends the batches and stands in the outcome; OSError of the blob escapes.
        """
        truncated = False
        try:
            for raw in self._source().batches():
                frame = self._check(raw)
                if frame.height and not self._told.refused:
                    yield frame
        except DropRefused as stop:
            self._told.refuse(*stop.findings)
            truncated = any(item.rule == "truncated" for item in stop.findings)
        else:
            self._judge_whole()
        self._outcome = self._conclude(truncated)

    def _source(self) -> Table | Exchange:
        """Told by the first bytes: no CSV begins as a zip does."""
        begun = self._stream.read(len(SIGNATURES[0]))
        if begun.startswith(SIGNATURES):
            self._exchange = Exchange(self._stream, self._rules, begun)
            return self._exchange
        return Table(self._stream, self._rules, self._batch_bytes, begun)

    def _check(self, batch: RawBatch) -> pl.DataFrame:
        """Reads one batch; its accepted rows."""
        raw, tally = batch.frame, self._tally
        tally.rows += batch.rows
        tally.refused_rows += batch.rows - raw.height
        columns = {"row": raw["row"]}
        faults: list[tuple[str, str | None, pl.Series]] = []
        read = _SIDE_BY_SIDE.map(lambda column: read_column(raw[column.name], column), self._rules.columns)
        for column, (values, found) in zip(self._rules.columns, read, strict=True):
            columns[column.name] = values
            faults += [(rule, column.name, mask) for rule, mask in found.items()]
        columns["afnamemoment"] = columns["afnamemoment"].fill_null("")
        frame = pl.DataFrame([columns[name] for name in BATCH_COLUMNS])
        faults += cross_faults(frame, raw, self._rules, self._context.today, self._admission.barred)
        judged = self._expected.judge(frame)
        if judged.impossible.any():
            faults.append(("range", "score", judged.impossible))
        self._told.refuse(*self._admission.judge(frame))
        good = self._without_refused(frame, batch, faults)
        self._warn_of_unusual(judged, frame["row"], good["row"])
        return self._without_objecting(good)

    def _warn_of_unusual(self, judged: Judged, rows: pl.Series, good: pl.Series) -> None:
        """Rows that were refused already are not told of again."""
        for rule, column, mask in (("unusual-moment", "afnamemoment", judged.unusual), ("unusual-score", "score", judged.unlikely)):
            if mask.any():
                unusual = rows.filter(mask)
                unusual = unusual.filter(unusual.is_in(good.implode()))
                self._told.warn(rule, column, len(unusual), int(unusual[0]) if len(unusual) else 0)

    def _without_refused(self, frame: pl.DataFrame, batch: RawBatch, faults: list[tuple[str, str | None, pl.Series]]) -> pl.DataFrame:
        problems: list[tuple[str, str | None, NDArray[np.uint32]]] = [(rule, None, rows) for rule, rows in batch.refused]
        problems += [(rule, name, frame["row"].filter(mask).to_numpy()) for rule, name, mask in faults]
        self._told.rows(problems)
        if not faults:
            return frame
        good = frame.filter(~pl.any_horizontal([mask for _, _, mask in faults]))
        self._tally.refused_rows += frame.height - good.height
        return good

    def _without_objecting(self, frame: pl.DataFrame) -> pl.DataFrame:
        objecting = self._context.objections.of(frame)
        if objecting.any():
            out = frame.filter(objecting)
            if self._rules.objecting_pupils is ObjectingPupils.STRIP:
                self._told.warn("objecting-pupils", None, out.height)
            self._tally.objected(out)
            frame = frame.filter(~objecting)
        self._tally.accepted(frame)
        return frame

    def _judge_whole(self) -> None:
        tally, share = self._tally, self._rules.refused_rows_share
        if self._exchange is not None:
            self._told.warn("other-tests", None, self._exchange.others)
            self._told.warn("two-school-years", None, self._exchange.of_two_years)
        self._told.rows([("leaver-outside-history", None, tally.refuse_leavers())])
        if tally.objected_rows and self._rules.objecting_pupils is ObjectingPupils.REJECT:
            if not self._told.refused:  # else its schools may be none of this vendor's
                self._incident = tally.objecting()
            self._told.refuse(finding("objecting-pupils-refused", count=tally.objected_rows))
        if not tally.rows:
            self._told.refuse(finding("no-rows"))
        elif tally.refused_rows > tally.rows * share:
            self._told.refuse(finding("too-many-refused", count=tally.refused_rows, limit=round(share * 1000)))

    def _conclude(self, truncated: bool) -> Outcome:
        refused = self._told.refused
        findings = self._told.findings()
        if self._exchange is not None:
            findings = [self._exchange.located(told) for told in findings]
        return Outcome(
            refused=refused,
            truncated=truncated,
            counts=self._tally.counts(refused),
            findings=findings,
            findings_total=self._told.total,
            schools=self._incident if refused else self._tally.schools(),
            by_rule=self._told.by_rule,
        )
