"""Withdrawals: the file `nco-intrekking-1`, by which a vendor takes whole deliveries back; told from results by its header.

Whether a delivery that it names is this vendor's, and whether anything is left of it, the ledger knows (gateway/worker/withdrawing.py).
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from gateway.checks.findings import Collector, Finding, finding
from gateway.checks.table import RawBatch, Table, header_key
from gateway.checks.typed import read_column
from gateway.checks.whole import read_whole
from policies.rules import Rules, packaged_rules

FORMAT = "nco-intrekking-1"
#: deliveries that one file may take back
MOST = 10_000
#: what is looked at to tell the format [bytes], and read at a time
_HEAD, _BATCH = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Withdrawal:
    """What a file takes back. `reasons`: drop id → reason (a value of the column `reden`); `rows`: drop id → its row. With `refused`
    nothing of it may be carried out, and both are empty."""

    refused: bool
    truncated: bool
    reasons: dict[str, str]
    rows: dict[str, int]
    findings: list[Finding]
    findings_total: int
    counts: dict[str, int]
    by_rule: Mapping[str, int]  # how often each rule was broken


class _Begun(io.RawIOBase):
    """A stream of which the first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if 0 <= size <= len(self._head):
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        piece, self._head = self._head, b""
        return piece + self._rest.read(size - len(piece) if size >= 0 else -1)


def told_apart(stream: BinaryIO) -> tuple[bool, BinaryIO]:
    """Whether a delivery's content is a withdrawal, and the content from its first byte. Raises what reading the stream raises."""
    head = stream.read(_HEAD)
    return is_withdrawal(head), cast(BinaryIO, _Begun(head, stream))


def is_withdrawal(head: bytes) -> bool:
    """Whether a file that begins so is a withdrawal: its header names a delivery, and nothing of a result."""
    line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode(errors="replace")
    names = {header_key(name) for name in re.split("[;,]", line)}
    return "levering" in names and not names & packaged_rules("nco-lvs-1").by_name.keys()


def read_withdrawal(stream: BinaryIO, rules: Rules | None = None) -> Withdrawal:
    """Reads one withdrawal whole; one row that can't be read refuses it. DropRefused never escapes."""
    rules = rules or packaged_rules(FORMAT)
    told = Collector(rules.findings_kept)
    reasons: dict[str, str] = {}
    places: dict[str, int] = {}
    table = Table(stream, rules, _BATCH)
    too_many = finding("too-many-withdrawals", limit=MOST)
    reading = read_whole(table, rules, told, lambda batch: _read(batch, rules, told, reasons, places), MOST, too_many)
    if told.refused:
        reasons, places = {}, {}
    counts = reading.counts(told.refused)
    return Withdrawal(told.refused, reading.truncated, reasons, places, told.findings(), told.total, counts, told.by_rule)


def _read(batch: RawBatch, rules: Rules, told: Collector, reasons: dict[str, str], places: dict[str, int]) -> int:
    """Takes in what a batch takes back; the number of refused rows. Of a delivery that is named twice the first row counts."""
    rows = batch.frame["row"]
    problems: list[tuple[str, str | None, NDArray[np.uint32]]] = [(rule, None, numbers) for rule, numbers in batch.refused]
    columns, bad = [], rows.is_null()
    for column in rules.columns:
        values, faults = read_column(batch.frame[column.name], column)
        columns.append(values)
        for rule, mask in faults.items():
            bad = bad | mask
            problems.append((rule, column.name, rows.filter(mask).to_numpy()))
    told.rows(problems)
    for row, wrong, drop, reason in zip(rows, bad, *columns, strict=True):
        if not wrong and drop not in reasons:
            reasons[drop], places[drop] = reason, row
    return int(bad.sum()) + sum(len(numbers) for _, numbers in batch.refused)
