"""Laws of what lies around the content: packed and sealed in any way it reads back; changed in any way it is refused, or is what it was."""

import gzip
import io
import itertools
import zipfile
import zlib
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from gateway.checks.findings import DropRefused
from gateway.checks.stream import open_delivery
from tests.support.deliveries import DROP_KEY, IDENTITY, SCHOOL, age, blob, check, context, row, standing, write_csv
from tests.support.exchange import edexml, uwlr
from tests.support.leaks import carried, leaked, told

OTHER = "02BB01"
WHERE = context(schools={code: standing(code) for code in (SCHOOL, OTHER)})
TABLES = {
    SCHOOL: [row(toetscode="RW-3.0-M5"), row(toetscode="BL-3.0-M5", domein="begrijpend_lezen", score="151")],
    OTHER: [row(brin_vestiging=OTHER, toetscode="SP-3.0-M5", domein="spelling", score="300")],
}
FILES = {
    f"{school}/{name}": make(school, table).encode()
    for school, table in TABLES.items()
    for name, make in (("leerlingen.xml", edexml), ("resultaten.xml", uwlr))
}
EXPECTED = check(write_csv(list(itertools.chain(*(TABLES[school] for school in sorted(TABLES))))), WHERE)[0]


class Halting(io.BytesIO):
    """A blob of which each reading gives no more than a step."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def read(delivered: bytes, step: int = 1 << 20) -> bytes:
    with open_delivery(Halting(blob(delivered).getvalue(), step), DROP_KEY, [IDENTITY]) as stream:
        return stream.read()


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6),
    level=st.integers(0, 9),
    padding=st.integers(0, 50),
    step=st.integers(20, 3000),
)
def test_members_of_gzip_read_back_however_they_come(pieces: list[bytes], level: int, padding: int, step: int) -> None:
    packed = b"".join(gzip.compress(piece, level, mtime=0) for piece in pieces)
    assert read(age(packed + bytes(padding)), step) == b"".join(pieces)


@given(content=st.binary(min_size=1, max_size=400), data=st.data())
def test_of_a_changed_gzip_nothing_else_is_read(content: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(content, mtime=0))
    at = data.draw(st.integers(2, len(packed) - 1))
    packed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        assert read(age(bytes(packed))) == _unpacked(bytes(packed)) == content
    except DropRefused as stop:
        assert [found.rule for found in stop.findings] == ["gzip-damaged"]
        assert not leaked(content, carried(stop))


def _unpacked(packed: bytes) -> bytes:
    member = zlib.decompressobj(wbits=31)
    return member.decompress(packed)


@given(
    order=st.permutations(sorted(FILES)),
    methods=st.lists(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), min_size=4, max_size=4),
    folders=st.booleans(),
    comment=st.binary(max_size=20),
    day=st.dates(date(1980, 1, 1), date(2107, 12, 31)),
)
def test_a_zip_in_any_order_and_packing_gives_the_same_rows(
    order: list[str], methods: list[int], folders: bool, comment: bytes, day: date
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for school in TABLES if folders else ():
            zipped.writestr(zipfile.ZipInfo(f"{school}/"), b"")
        for name, method in zip(order, methods, strict=True):
            zipped.writestr(zipfile.ZipInfo(name, (day.year, day.month, day.day, 1, 2, 4)), FILES[name], method)
        zipped.comment = comment
    rows, outcome = check(out.getvalue(), WHERE)
    assert rows == EXPECTED and outcome.findings == []


@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5), st.binary(max_size=5)), min_size=1, max_size=4), way=st.booleans()
)
def test_a_changed_zip_gives_the_same_rows_or_none(edits: list[tuple[int, int, bytes]], way: bool) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if way else zipfile.ZIP_DEFLATED) as zipped:
        for name, content in FILES.items():
            zipped.writestr(zipfile.ZipInfo(name), content)
    plain = bytearray(out.getvalue())
    for at, length, data in edits:
        at %= len(plain)
        plain[at : at + length] = data
    rows, outcome = check(bytes(plain), WHERE)
    assert outcome.refused or rows == EXPECTED  # the checksums hold the content
    assert leaked(b"\n".join(FILES.values()), told(outcome)) <= {SCHOOL, OTHER}
