"""A CSV stream as batches of text columns, each with the number of every row; what is not a row of the table is set apart.

One line is one row: no field of our formats can hold a line break, so a stray quotation mark spoils its own line and no other.
A CSV reader fills a short row with nulls and drops the end of a long one without a word; therefore fields are counted here,
on the bytes, before any reader sees them.
"""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.lines import measure
from policies.rules import Rules

BATCH_BYTES = 16 << 20
_READ_BYTES = 1 << 20
#: lines of one batch: a row has a sign for each of its columns, so that more of them are no table, and would only fill the memory
_MOST_LINES = BATCH_BYTES // 16
_SEPARATORS = (";", ",")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RawBatch:
    """`frame`: `row` (UInt32) and the format's columns as text, null where empty. `refused`: rule → rows that are no rows of the table."""

    frame: pl.DataFrame
    refused: tuple[tuple[str, NDArray[np.uint32]], ...]
    rows: int  # all rows of this part of the file, the refused ones too


class Table:
    """Reads one CSV of a format. Raises DropRefused where the file can't be (or may not be) read on."""

    def __init__(self, stream: BinaryIO, rules: Rules, batch_bytes: int = BATCH_BYTES, begun: bytes = b"") -> None:
        self._stream = stream
        self._rules = rules
        self._batch_bytes = batch_bytes
        self._pending = bytearray(begun)  # what was read of the stream already
        self._ended = False
        self._separator = ";"
        self._names: list[str] = []

    def batches(self) -> Iterator[RawBatch]:
        """The rows, in order, at most about `batch_bytes` of text at a time."""
        self._read_header()
        next_row = 1
        while data := self._next_lines():
            batch, lines = self._parse(data, next_row)
            next_row += lines
            yield batch

    # ------------------------------------------------------------ bytes

    def _fill(self, size: int) -> None:
        while not self._ended and len(self._pending) < size:
            data = self._stream.read(min(_READ_BYTES, size - len(self._pending)))
            self._ended = not data
            self._pending += data

    def _next_lines(self) -> bytes:
        """Whole lines, each with its line feed; b"" at the end."""
        limit = self._rules.max_line_bytes
        size = self._batch_bytes
        while True:
            self._fill(size)
            cut = len(self._pending) if self._ended else self._pending.rfind(b"\n") + 1
            if len(self._pending) - cut > limit:
                raise DropRefused(finding("line-too-long", limit=limit))
            if cut or self._ended:
                break
            size = len(self._pending) + limit  # the batch was smaller than one line
        with memoryview(self._pending) as view:
            data = bytes(view[:cut])
        del self._pending[:cut]
        return data if not data or data.endswith(b"\n") else data + b"\n"

    # ------------------------------------------------------------ header

    def _read_header(self) -> None:
        limit = self._rules.max_line_bytes
        self._fill(limit + 1)
        if not self._pending:
            raise DropRefused(finding("no-rows"))
        end = self._pending.find(b"\n", 0, limit + 1)
        if end < 0:
            if len(self._pending) > limit:
                start = bytes(self._pending[:limit])
                rule = "line-too-long" if _first_bad_line(start, whole=False) is None else "not-utf-8"
                raise DropRefused(finding(rule, limit=limit))
            end = len(self._pending)
        line = bytes(self._pending[:end]).removeprefix(_BOM)
        del self._pending[: end + 1]
        if _first_bad_line(line) is not None:
            raise DropRefused(finding("not-utf-8"))
        self._separator, names = self._split_header(line.decode().replace("\r", " "))
        problems = self._header_problems(names)
        if problems:
            raise DropRefused(*problems)
        self._names = names

    def _split_header(self, line: str) -> tuple[str, list[str]]:
        best: tuple[int, str, list[str]] = (-1, ";", [])
        for separator in _SEPARATORS:
            names = [header_key(name) for name in next(csv.reader([line], delimiter=separator), [])]
            known = sum(name in self._rules.by_name for name in names)
            if known > best[0]:
                best = (known, separator, names)
        if best[0] == 0:
            raise DropRefused(finding("no-header"))
        return best[1], best[2]

    def _header_problems(self, names: list[str]) -> list[Finding]:
        problems = []
        for position, name in enumerate(names, start=1):
            if name in self._rules.by_name:
                continue
            topic = self._rules.special_topic(name)
            # the name itself is the file's own text and is never repeated: without a header it would be a pupil's data
            if topic is not None:
                problems.append(finding("special-category", topic=topic, count=position))
            else:
                problems.append(finding("unknown-column", count=position))
        for column in self._rules.columns:
            if column.name not in names:
                problems.append(finding("missing-column", column=column.name))
            elif names.count(column.name) > 1:
                problems.append(finding("duplicate-column", column=column.name))
        return problems

    # ------------------------------------------------------------ rows

    def _parse(self, data: bytes, first_row: int) -> tuple[RawBatch, int]:
        if (bad_line := _first_bad_line(data)) is not None:
            raise DropRefused(finding("not-utf-8", first_row + bad_line))
        if data.count(b"\n") > _MOST_LINES:
            raise DropRefused(finding("unreadable"))
        lines = measure(data, ord(self._separator), len(self._names))
        if lines.longest > self._rules.max_line_bytes:
            raise DropRefused(finding("line-too-long", limit=self._rules.max_line_bytes))
        numbers = np.arange(first_row, first_row + lines.count, dtype=np.uint32)
        good = lines.good
        if good is None:
            content, kept = data, numbers
        else:
            content, kept = lines.only(data, good), numbers[good]
        refused = tuple(
            (rule, numbers[mask]) for rule, mask in (("quotes", lines.misquoted), ("field-count", lines.miscounted)) if mask is not None
        )
        frame = self._frame(content, lines.quoted)
        if frame.height != len(kept):
            raise DropRefused(finding("unreadable"))
        frame = frame.with_columns(pl.Series("row", kept, dtype=pl.UInt32))
        return RawBatch(frame, refused, frame.height + sum(len(rows) for _, rows in refused)), lines.count

    def _frame(self, content: bytes, quoted: bool) -> pl.DataFrame:
        schema = dict.fromkeys(self._names, pl.String())
        if not content:
            return pl.DataFrame(schema=schema)
        frame = None
        # the reader's complaint quotes the file: it is dropped, and what is raised instead does not have it as its context
        with suppress(pl.exceptions.PolarsError):
            quote = '"' if quoted else None
            frame = pl.read_csv(content, has_header=False, schema=schema, separator=self._separator, quote_char=quote)
        if frame is None:
            raise DropRefused(finding("unreadable"))
        return frame.with_columns(pl.all().replace("", None)) if quoted else frame


def header_key(name: str) -> str:
    """A column's name as it is compared: lower case, no accents, every other sign an underscore."""
    plain = unicodedata.normalize("NFKD", name.strip().lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def _first_bad_line(data: bytes, whole: bool = True) -> int | None:
    """The number (from 0) of the first line that is not text in UTF-8, or None; not `whole`: its last character may be cut."""
    nul = data.find(b"\0")
    position = None if nul < 0 else nul
    if not data.isascii():
        try:
            codecs.getincrementaldecoder("utf-8")().decode(data, whole)
        except UnicodeDecodeError as error:
            position = error.start if position is None else min(position, error.start)
    return None if position is None else data.count(b"\n", 0, position)
