"""A register's delimited text, read in batches: the part that every imported CSV shares.

Whatever the size of the file, one batch is in memory. A row that does not have exactly the header's number of fields is
refused and counted; which row it was is said nowhere, because its neighbours could be found by it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import polars as pl

from policies.errors import Refused

BATCH_BYTES = 16 << 20
#: What names a person in the authority's own registers; a pseudonym is made of at most 16 bytes (keys/pseudonyms.py).
PERSON_ID = r"^[A-Za-z0-9._-]{1,16}$"
BOM = b"\xef\xbb\xbf"


class Table:
    """The rows of `source` as batches of text columns, `columns` in that order; `;` or `,` between fields, UTF-8.

    Fields are trimmed and freed of quotation marks; an empty field is "". While `batches` runs, `refused` counts the rows that were left
    out, by reason, and `sha256` digests the bytes that were read.
    """

    def __init__(self, source: BinaryIO, columns: Sequence[str], batch_bytes: int = BATCH_BYTES) -> None:
        self._source = source
        self._columns = list(columns)
        self._batch_bytes = batch_bytes
        self._digest = hashlib.sha256()
        self.refused: Counter[str] = Counter()
        self.refused_rows = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def refuse(self, frame: pl.DataFrame, wrong: Mapping[str, pl.Series]) -> pl.DataFrame:
        """`frame` without the rows where any of the masks in `wrong` (reason → mask) holds; they are counted."""
        bad = pl.Series([False]).new_from_index(0, frame.height)
        for reason, mask in wrong.items():
            if count := int(mask.sum()):
                self.refused[reason] += count
                bad |= mask
        self.refused_rows += int(bad.sum())
        return frame.filter(~bad)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Refused (`register-…`) when the header lacks a column or has another one, or the text is not UTF-8."""
        header: list[str] | None = None
        separator = ";"
        for text in self._texts():
            lines = pl.Series("line", [text]).str.split("\n").explode().str.strip_chars_end("\r")
            if header is None:
                separator, header = _header(lines[0] or "", self._columns)
                lines = lines.slice(1)
            rows = lines.filter(lines.str.strip_chars() != "").to_frame()
            wrong = rows["line"].str.count_matches(separator, literal=True) != len(header) - 1
            rows = self.refuse(rows, {"fields": wrong})
            fields = pl.col("line").str.split_exact(separator, len(header) - 1).struct.rename_fields(header)
            frame = rows.select(fields).unnest("line")
            if frame.height:
                yield frame.select(pl.col(self._columns).str.strip_chars(' \t"'))
        if header is None:
            raise Refused("register-empty", "The register holds nothing.", "Export it again.")

    def _texts(self) -> Iterator[str]:
        """The file in pieces that end with a line; the last is never a small one, whose few rows would stand out as the last."""
        piece = self._filled().removeprefix(BOM)
        while len(following := self._filled()) == self._batch_bytes:
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield _decoded(piece[:cut])
            elif len(piece) > 2 * self._batch_bytes:
                raise Refused("register-lines", "The register has a line without an end.", "Is it a CSV file?")
            piece = piece[cut:] + following
        if piece := piece + following:
            yield _decoded(piece)

    def _filled(self) -> bytes:
        """The next `batch_bytes`, fewer only at the end: a pipe gives what it has."""
        parts: list[bytes] = []
        missing = self._batch_bytes
        while missing and (part := self._source.read(missing)):
            self._digest.update(part)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:  # its text would quote the bytes
        raise Refused("register-encoding", "The register is not UTF-8.", "Export it as UTF-8.") from None


def _header(line: str, columns: Sequence[str]) -> tuple[str, list[str]]:
    separator = ";" if ";" in line else ","
    names = [name.strip(' \t"').lower() for name in line.split(separator)]
    if missing := [column for column in columns if column not in names]:
        raise Refused("register-columns", f"The register lacks the columns {', '.join(missing)}.", _FIRST_LINE)
    if len(names) != len(columns):  # an unknown name is not repeated: a file without a header has a person there
        raise Refused("register-columns", "The register has a column too many, or one twice.", _FIRST_LINE)
    return separator, names


_FIRST_LINE = "The first line names exactly the columns of the format."
