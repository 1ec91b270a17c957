"""The zip of a delivery: a folder for each school, two XML files in each, and nothing else.

The packed bytes are held in memory, never on disk: only a zip's end says what is in it, and tools write the files of a folder in
any order. Their size has a limit, and each file is unpacked as a stream; what it may unpack to is known before it is opened, and
the standard library stops there.
"""

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from gateway.checks.findings import DropRefused, finding

#: [bytes] of the zip itself, held in memory; some eight million results of real pupils.
MAX_PACKED = 128 << 20
#: files and folders in it; more than there are schools for
MAX_ENTRIES = 30_000
#: [bytes] of all files together, unpacked
MAX_UNPACKED = 16 << 30
#: [bytes] of one file, unpacked; far more than a school's, and as much as a malware scanner looks at (docs/operator/scanning.md)
MAX_FILE = 1 << 30
#: times: what a file may unpack to, beyond the grace [bytes]; XML of results compresses 20 to 60 times
MAX_RATIO = 200
RATIO_GRACE = 1 << 20

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
PUPILS, RESULTS = "leerlingen.xml", "resultaten.xml"

_READ = 1 << 16
_NAME = re.compile(rf"([0-9]{{2}}[A-Z]{{2}}[0-9]{{2}})/({re.escape(PUPILS)}|{re.escape(RESULTS)})?")
#: general purpose bits 0, 5, 6, 13 (APPNOTE.TXT, 4.4.4): encrypted, patch data, strong encryption, masked headers
_FOREIGN_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_LOCAL_HEADER = 30  # [bytes] before the name
#: what the standard library raises over a zip that is not sound
_UNSOUND = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, NotImplementedError, RuntimeError)


class Archive:
    """The files of a zip, by school. Raises DropRefused with `expansion`, `zip-damaged`, `zip-names`, `zip-method` or `zip-pair`."""

    def __init__(self, stream: BinaryIO, begun: bytes) -> None:
        self._zip = _opened(_held(stream, begun))
        self._files: dict[str, dict[str, zipfile.ZipInfo]] = {}
        for entry in self._zip.infolist():
            self._take(entry)
        self._check_layout()
        if sum(entry.file_size for entry in self._zip.infolist()) > MAX_UNPACKED:
            raise DropRefused(finding("expansion"))
        if any(len(files) != 2 for files in self._files.values()):
            raise DropRefused(finding("zip-pair", count=sum(len(files) != 2 for files in self._files.values())))

    @property
    def schools(self) -> list[str]:
        """The codes of the schools (99AA99), sorted."""
        return sorted(self._files)

    def chunks(self, school: str, name: str) -> Iterator[bytes]:
        """The content of one file of a school, as it unpacks. DropRefused `zip-damaged` where it does not."""
        damaged = False
        try:
            with self._zip.open(self._files[school][name]) as file:
                while data := file.read(_READ):
                    yield data
        except _UNSOUND:
            damaged = True
        if damaged:
            raise DropRefused(finding("zip-damaged"))

    def _take(self, entry: zipfile.ZipInfo) -> None:
        # the name as it is written: the library cuts it at a NUL and turns the separator of its own system
        match = _NAME.fullmatch(entry.orig_filename)
        if match is None or stat.S_ISLNK(entry.external_attr >> 16):
            raise DropRefused(finding("zip-names"))
        school, name = match.groups()
        if name is None:  # the folder itself, as most tools write it
            if entry.file_size:
                raise DropRefused(finding("zip-names"))
            return
        files = self._files.setdefault(school, {})
        if name in files:
            raise DropRefused(finding("zip-names"))
        if entry.flag_bits & _FOREIGN_FLAGS or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DropRefused(finding("zip-method"))
        if entry.file_size > MAX_FILE:
            raise DropRefused(finding("expansion"))
        if entry.file_size > RATIO_GRACE and entry.file_size > entry.compress_size * MAX_RATIO:
            raise DropRefused(finding("expansion"))
        files[name] = entry

    def _check_layout(self) -> None:
        """Entries lie one after the other from the first byte on: none shares its bytes with another, nothing stands before them."""
        free = 0
        for number, entry in enumerate(sorted(self._zip.infolist(), key=lambda entry: entry.header_offset)):
            if entry.header_offset < free or (number == 0 and entry.header_offset):
                raise DropRefused(finding("zip-damaged"))
            free = entry.header_offset + _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size
        if free > self._zip.start_dir:
            raise DropRefused(finding("zip-damaged"))


def _held(stream: BinaryIO, begun: bytes) -> io.BytesIO:
    held = io.BytesIO()
    data = begun
    while data:
        if held.tell() + len(data) > MAX_PACKED:
            raise DropRefused(finding("expansion"))
        held.write(data)
        data = stream.read(1 << 20)
    return held


def _opened(held: io.BytesIO) -> zipfile.ZipFile:
    # counted before the library makes an object of each
    if held.getvalue().count(b"PK\x01\x02") > MAX_ENTRIES:
        raise DropRefused(finding("expansion"))
    opened = None
    with suppress(*_UNSOUND):
        opened = zipfile.ZipFile(held)
    if opened is None:
        raise DropRefused(finding("zip-damaged"))
    return opened
