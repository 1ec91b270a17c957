"""Looks for planted identifiers in everything that lies on a disk, in every form in which they could plausibly stand there.

A needle is a run of bytes: a form of an identifier. Short forms (4 bytes as a number) turn up by chance in megabytes of ciphertext, so a
weak needle counts only when another pupil's needle of the same form stands near it, as it would in any file that keeps them.
"""

import base64
import bz2
import ctypes
import ctypes.util
import io
import lzma
import re
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pypdf

from tests.support.pupils import Pupil

#: how near two weak needles must stand [bytes]
NEAR = 4096
#: what is opened at most of one compressed stream [bytes], and how deep streams may lie in each other
MOST, DEEPEST = 64 << 20, 5

EPOCH = date(1970, 1, 1)

Opener = Callable[[memoryview], bytes | None]


@dataclass(frozen=True)
class Needle:
    canary: str  # which identifier of which pupil, without its value
    form: str
    data: bytes
    weak: bool = False


@dataclass(frozen=True)
class Hit:
    canary: str
    form: str
    where: str


# ---------------------------------------------------------------- forms


def _texts(canary: str, text: str, note: str = "") -> Iterator[Needle]:
    """A text in the encodings and the wrappings in which text travels."""
    for encoding in ("ascii", "utf-16-le", "utf-16-be", "utf-32-le"):
        raw = text.encode(encoding)
        yield Needle(canary, f"{encoding}{note}", raw)
        for name, alphabet in (("hex", raw.hex()), ("HEX", raw.hex().upper())):
            yield Needle(canary, f"{encoding} in {name}{note}", alphabet.encode())
        for shift in range(3):
            for name, coder in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                yield Needle(canary, f"{encoding} in {name} at {shift}{note}", _inner(coder(bytes(shift) + raw), shift, len(raw), 6))
        for shift in range(5):
            yield Needle(canary, f"{encoding} in base32 at {shift}{note}", _inner(base64.b32encode(bytes(shift) + raw), shift, len(raw), 5))


def _inner(coded: bytes, shift: int, length: int, bits: int) -> bytes:
    """The characters that depend on the needle alone, whatever stands before and after it."""
    return coded[-(-8 * shift // bits) : 8 * (shift + length) // bits]


def number_needles(canary: str, number: str) -> Iterator[Needle]:
    """A number of nine digits, without a leading zero."""
    assert re.fullmatch("[1-9][0-9]{8}", number)
    yield from _texts(canary, number)
    for cuts in ((3, 6), (4, 6), (2, 4, 6), range(1, 9)):
        for between in (" ", ".", "-", "/", "_", ",", "\t", "\u00a0", "\u202f"):
            grouped = between.join(number[a:b] for a, b in zip((0, *cuts), (*cuts, 9), strict=True))
            yield Needle(canary, f"in {len(cuts) + 1} groups with {between!r}", grouped.encode())
    value = int(number)
    for order, sign in (("little", "<"), ("big", ">")):
        yield Needle(canary, f"u32 {order}", struct.pack(f"{sign}I", value), weak=True)
        yield Needle(canary, f"u64 {order}", struct.pack(f"{sign}Q", value))
        yield Needle(canary, f"double {order}", struct.pack(f"{sign}d", value))
        for name, text in (("hex", struct.pack(f"{sign}I", value).hex()), ("HEX", struct.pack(f"{sign}I", value).hex().upper())):
            yield Needle(canary, f"u32 {order} in {name}", text.encode(), weak=True)
    for name, nibbles in (("0", "0" + number), ("c", number + "c"), ("d", number + "d"), ("f", number + "f")):
        packed = bytes.fromhex(nibbles)
        yield Needle(canary, f"BCD {name}", packed)
        yield Needle(canary, f"BCD {name} swapped", bytes(b >> 4 | (b & 15) << 4 for b in packed))


def birth_needles(canary: str, birth: date) -> Iterator[Needle]:
    for note, text in (
        ("", birth.isoformat()),
        (" d-m-y", f"{birth:%d-%m-%Y}"),
        (" d/m/y", f"{birth:%d/%m/%Y}"),
        (" y/m/d", f"{birth:%Y/%m/%d}"),
        (" short", f"{birth.day}-{birth.month}-{birth.year}"),
    ):
        yield from _texts(canary, text, note)
    yield Needle(canary, "ascii compact", f"{birth:%Y%m%d}".encode(), weak=True)
    days = (birth - EPOCH).days
    for unit in (86_400_000, 86_400_000_000):
        for sign in "<>":
            yield Needle(canary, f"instant {unit}{sign}", struct.pack(f"{sign}q", days * unit))


def needles(who: Iterable[Pupil]) -> list[Needle]:
    """All forms of the number, the birth date, the postcode and their combinations of these pupils."""
    found: list[Needle] = []
    for place, pupil in enumerate(who):
        number = pupil.bsn or pupil.onderwijsnummer
        days = (pupil.birth - EPOCH).days
        found += number_needles(f"number of {place}", number)
        found += birth_needles(f"birth of {place}", pupil.birth)
        for note, postcode in (("", pupil.postcode), (" spaced", f"{pupil.postcode[:4]} {pupil.postcode[4:]}")):
            found += _texts(f"address of {place}", postcode, note)
        for sign in "<>":
            found.append(Needle(f"number of {place}", f"with birth {sign}", struct.pack(f"{sign}Ii", int(number), days)))
    return found


# ---------------------------------------------------------------- search


class Search:
    """A search for these needles; `hits` piles up."""

    def __init__(self, wanted: Sequence[Needle]) -> None:
        assert all(len(needle.data) >= 4 for needle in wanted)
        self.hits: set[Hit] = set()
        self.looked_at = 0  # pieces of data: files and what was opened in them
        self._by_prefix: dict[bytes, list[Needle]] = {}
        self._first = np.zeros(1 << 16, dtype=np.bool_)
        self._second = np.zeros(1 << 16, dtype=np.bool_)
        for needle in wanted:
            self._by_prefix.setdefault(needle.data[:4], []).append(needle)
            first, second = struct.unpack("<HH", needle.data[:4])
            self._first[first] = self._second[second] = True

    @property
    def canaries(self) -> set[str]:
        return {hit.canary for hit in self.hits}

    def folder(self, folder: Path) -> None:
        """Every file below, its name too."""
        for path in sorted(folder.rglob("*")):
            self.data(str(path.relative_to(folder)).encode(), f"name of {path}")
            if path.is_file():
                self.file(path)

    def file(self, path: Path) -> None:
        data = path.read_bytes()
        self.data(data, path.name)
        if data.startswith(b"SQLite format 3\0"):
            self._database(path)

    def data(self, data: bytes, where: str, depth: int = 0) -> None:
        """These bytes, and whatever can be opened in them without a key."""
        self.looked_at += 1
        self._raw(data, where)
        if depth >= DEEPEST:
            return
        for form, inner in _opened(data):
            self.data(inner, f"{where} › {form}", depth + 1)

    def _raw(self, data: bytes, where: str) -> None:
        if len(data) < 4:
            return
        wide = np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
        pairs = wide[:-1] | wide[1:] << 8
        weak: dict[str, list[tuple[int, str]]] = {}
        for at in np.flatnonzero(self._first[pairs[:-2]] & self._second[pairs[2:]]).tolist():
            for needle in self._by_prefix.get(data[at : at + 4], ()):
                if not data.startswith(needle.data, at):
                    continue
                if needle.weak:
                    weak.setdefault(needle.form, []).append((at, needle.canary))
                else:
                    self.hits.add(Hit(needle.canary, needle.form, where))
        for form, places in weak.items():
            for (at, one), (then, other) in pairwise(places):
                if one != other and then - at <= NEAR:
                    self.hits |= {Hit(one, form, where), Hit(other, form, where)}

    def _database(self, path: Path) -> None:
        """Every value of every table, read from a copy with its write-ahead log."""
        with tempfile.TemporaryDirectory() as folder:
            for part in path.parent.glob(f"{path.name}*"):
                shutil.copy(part, folder)
            with sqlite3.connect(Path(folder) / path.name) as connection:
                connection.text_factory = bytes
                tables = [name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for table in tables:
                    values = [value for row in connection.execute(f'SELECT * FROM "{table}"') for value in row]
                    text = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
                    self.data(text, f"{path.name} › {table}", 1)


def _opened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What lies packed in `data`: streams of usual compressions, base64, Parquet, the text of a PDF."""
    for magic, form, opener in _PACKED:
        for match in re.finditer(magic, data):
            if (inner := opener(memoryview(data)[match.start() :])) is not None:
                yield f"{form} at {match.start()}", inner
    for match in re.finditer(rb"[A-Za-z0-9+/_-]{40,}={0,2}", data):
        coded = match[0].rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        yield f"base64 at {match.start()}", base64.b64decode(coded[: len(coded) // 4 * 4])
    if data[:4] == b"PAR1" == data[-4:]:
        yield from _columns(data)
    if data.startswith(b"%PDF-"):
        reader = pypdf.PdfReader(io.BytesIO(data))
        yield "text of the PDF", "\n".join([*(page.extract_text() for page in reader.pages), str(reader.metadata)]).encode()


def _columns(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each column of a Parquet file, as text and, when it holds numbers, as they lie in memory."""
    for column in pl.read_parquet(io.BytesIO(data)).iter_columns():
        yield f"column {column.name}", "\n".join(map(str, column.unique())).encode()
        if column.dtype in (pl.Int32, pl.UInt32, pl.Int64, pl.UInt64, pl.Date):
            yield f"numbers of {column.name}", column.to_physical().drop_nulls().to_numpy().tobytes()


def _inflated(wbits: int, skip: int = 0) -> Opener:
    def opener(data: memoryview) -> bytes | None:
        stream = zlib.decompressobj(wbits)
        pieces, given = [], data[skip:]
        try:
            for start in range(0, len(given), 1 << 14):  # what comes before the damage counts too
                pieces.append(stream.decompress(given[start : start + (1 << 14)], MOST))
                if stream.eof or sum(map(len, pieces)) > MOST:
                    break
        except zlib.error:
            pass
        whole = b"".join(pieces)
        return whole if len(whole) > 8 else None

    return opener


def _zipped(data: memoryview) -> bytes | None:
    """A file of a zip, from its local header (APPNOTE 4.3.7)."""
    if len(data) < 30:
        return None
    name, extra = struct.unpack_from("<HH", data, 26)
    return _inflated(-15, 30 + name + extra)(data)


def _stdlib(stream: type[bz2.BZ2Decompressor] | type[lzma.LZMADecompressor]) -> Opener:
    def opener(data: memoryview) -> bytes | None:
        try:
            return stream().decompress(bytes(data), MOST)
        except (OSError, lzma.LZMAError, EOFError):
            return None

    return opener


@cache
def _zstd() -> ctypes.CDLL:
    """The system's own library: every Debian has it, since dpkg needs it."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    for name in ("ZSTD_findFrameCompressedSize", "ZSTD_decompress"):
        getattr(library, name).restype = ctypes.c_size_t
    library.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_getFrameContentSize.restype = ctypes.c_uint64
    library.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return library


def _zstandard(data: memoryview) -> bytes | None:
    """A zstd frame (RFC 8878)."""
    frame = bytes(data[: 16 << 20])
    end = _zstd().ZSTD_findFrameCompressedSize(frame, len(frame))
    if _zstd().ZSTD_isError(end):
        return None
    room = min(_zstd().ZSTD_getFrameContentSize(frame, end), MOST)  # "unknown" is the largest number
    target = ctypes.create_string_buffer(max(room, 1))
    size = _zstd().ZSTD_decompress(target, room, frame, end)
    return None if _zstd().ZSTD_isError(size) else target.raw[:size]


#: what a packed stream begins with, what it is called, and how it is opened (None: it was none after all)
_PACKED: tuple[tuple[bytes, str, Opener], ...] = (
    (rb"\x78[\x01\x5e\x9c\xda]", "zlib", _inflated(15)),
    (rb"\x1f\x8b\x08", "gzip", _inflated(31)),
    (rb"PK\x03\x04", "zip", _zipped),
    (rb"\x28\xb5\x2f\xfd", "zstd", _zstandard),
    (rb"BZh[1-9]1AY", "bzip2", _stdlib(bz2.BZ2Decompressor)),
    (rb"\xfd7zXZ\x00", "xz", _stdlib(lzma.LZMADecompressor)),
)
