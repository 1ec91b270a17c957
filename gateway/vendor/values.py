"""`--show-values`: what stands in the places that findings name, read again from the vendor's own file for the vendor's own eyes.

The findings themselves carry no value, here as at the gateway. Only the rows that are named are looked at, and a long value is cut.
"""

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from xml.parsers import expat

from gateway.checks.archive import PUPILS, RESULTS, SIGNATURES, Archive
from gateway.checks.findings import DropRefused, Finding
from gateway.checks.stream import Limits, expanded
from gateway.checks.table import header_key

Value = str
#: of a value as it is shown [characters]
LONGEST = 80

_PLACE = re.compile(rf"([0-9A-Z]{{6}})/{re.escape(RESULTS)}, resultaat \d+")
_READ = 1 << 20


def values_of(path: Path, findings: Sequence[Finding]) -> dict[int, Value]:
    """Place in `findings` → the value of its row and column, for those that have both. OSError when the file can't be read."""
    with path.open("rb") as file:
        begun = file.read(len(SIGNATURES[0]))
        file.seek(0)
        if begun.startswith(SIGNATURES):
            with suppress(DropRefused):
                return _of_archive(Archive(file, file.read(_READ)), findings)
            return {}
        wanted = {told.row for told in findings if told.row is not None and told.column is not None}
        with closing(expanded(iter(lambda: file.read(_READ), b""), Limits())) as content:
            rows = _rows(_lines(content), wanted)
    return {
        index: _shown(rows[told.row][told.column])
        for index, told in enumerate(findings)
        if told.row in rows and told.column is not None and told.column in rows[told.row]
    }


def _shown(value: str) -> Value:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"


def _lines(content: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    with suppress(DropRefused):  # what can't be read on has no rows after it
        for chunk in content:
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    yield rest


def _rows(lines: Iterator[bytes], wanted: Collection[int]) -> dict[int, dict[str, str]]:
    """Row → column → value, of the wanted rows. One line is one row (gateway/checks/table.py), the first one holds the names."""
    if not wanted:
        return {}
    header = _text(next(lines, b""))
    separator = ";" if header.count(";") > header.count(",") else ","
    names = [header_key(name) for name in _fields(header, separator)]
    found = {}
    for row, line in enumerate(lines, start=1):
        if row in wanted:
            found[row] = dict(zip(names, _fields(_text(line), separator), strict=False))
            if len(found) == len(wanted):
                break
    return found


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig", errors="replace").rstrip("\r").replace("\0", "\ufffd")


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _of_archive(archive: Archive, findings: Sequence[Finding]) -> dict[int, Value]:
    """A column is the name of an element: of the result itself, or of the pupil whose it is."""
    values: dict[int, Value] = {}
    schools: dict[str, list[int]] = {}
    for index, told in enumerate(findings):
        if told.row is not None and told.column is not None and (place := _PLACE.match(told.place)):
            schools.setdefault(place[1], []).append(index)
    for school, indices in schools.items():
        columns = {findings[index].column or "" for index in indices}
        results = _gathered(archive.chunks(school, RESULTS), "resultaat", {str(findings[index].row) for index in indices}, columns)
        keys = {one["leerlingid"] for one in results.values()}
        pupils = _gathered(archive.chunks(school, PUPILS), "leerling", keys, columns)
        for index in indices:
            told = findings[index]
            result = results.get(str(told.row), {})
            stands = {**pupils.get(result.get("leerlingid", ""), {}), **result}
            if told.column in stands:
                values[index] = _shown(stands[told.column])
    return values


def _gathered(chunks: Iterable[bytes], item: str, wanted: Collection[str], columns: Collection[str]) -> Mapping[str, dict[str, str]]:
    """Of each wanted element `item` the texts below it that have one of these names, and its `leerlingid`. An element is called by its
    key in a list of pupils, by its number in one of results."""
    gather = _Gather(item, wanted, columns)
    parser = expat.ParserCreate("UTF-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = gather.start, gather.end, gather.text.append
    with suppress(expat.ExpatError, DropRefused):
        for chunk in chunks:
            parser.Parse(chunk, False)
    return gather.found


class _Gather:
    def __init__(self, item: str, wanted: Collection[str], columns: Collection[str]) -> None:
        self._item, self._wanted, self._columns = item, wanted, columns
        self.found: dict[str, dict[str, str]] = {}
        self.text: list[str] = []
        self._into: dict[str, str] | None = None
        self._pupil = ""
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.text.clear()
        if name.rpartition(" ")[2] == self._item:
            self._count += 1
            called = attributes.get("key", "") if self._item == "leerling" else str(self._count)
            if called in self._wanted:
                self._into = self.found[called] = {"leerlingid": self._pupil}

    def end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if local == self._item:
            self._into = None
        elif local == "leerlingid":
            self._pupil = "".join(self.text).strip()
        elif self._into is not None:
            column = "score" if local == "vaardigheidsscore" else local
            if column in self._columns:
                self._into.setdefault(column, "".join(self.text).strip())
        self.text.clear()
