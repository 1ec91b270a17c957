"""`Rapportages.zip`: all reports of one board and campaign, with an overview and a manifest. Equal input gives equal bytes.

Everything is stored, not deflated: PDFs are compressed already, and the bytes then do not depend on a zlib version. The zip is made
while it is read, one report in memory at a time, so that it can go straight into the cipher and never lies readable on a disk.
"""

import hashlib
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

from gateway.typeset import compile_pdf, template_text
from keys import chunked
from keys.secret import Secret
from policies.errors import Unsound

MANIFEST_SCHEMA = "sluis-bundle-1"

#: Folder in the zip and Dutch name, per kind of report; the order is the overview's.
KINDS = {"growth": ("Leergroei", "Leergroei-rapportage"), "regular": ("Regulier", "Reguliere rapportage")}

#: A school's name in a file's name: longer ones are cut, for some systems allow 260 characters in a whole path [characters]
NAME_LENGTH = 60

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ReportFile:
    """One report that goes in. `read` gives its bytes, whose SHA-256 must be `sha256`."""

    kind: str  # growth or regular
    school: str  # 99AA99
    school_name: str
    size: int  # [bytes]
    sha256: str
    read: Callable[[], bytes]
    #: of a growth report: the version of the school's objection register that its results were held against, if there was one
    objection_register: int | None = None

    @property
    def name(self) -> str:
        """Its name in the zip: the school's code first, so that a folder sorts like the overview."""
        return f"{KINDS[self.kind][0]}/{self.school} {_file_name(self.school_name)}".rstrip() + ".pdf"


@dataclass(frozen=True)
class BundleHead:
    """What stands on the overview and in the manifest beside the files themselves."""

    campaign: str
    board: str
    board_name: str
    version: int
    reason: str  # why this version replaces an earlier one; "" for the first
    published_on: date
    authority: str
    contact: str


@dataclass(frozen=True)
class BundleFacts:
    size: int  # of the readable zip [bytes]
    sha256: str  # of the readable zip
    contents: list[dict[str, Any]]  # the manifest's `files`


def contents_of(reports: Sequence[ReportFile]) -> list[dict[str, Any]]:
    """The manifest's rows for `reports`, in their order in the zip."""
    return [
        {"name": r.name, "bytes": r.size, "sha256": r.sha256, "kind": r.kind, "school": r.school, "school_name": r.school_name}
        | ({"objection_register": r.objection_register} if r.kind == "growth" else {})
        for r in _ordered(reports)
    ]


def same_reports(contents: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two bundles' contents are the same to whoever reads them. A register of objections that changed no report makes no other
    bundle; older bundles don't name it at all."""
    files = [[{name: value for name, value in row.items() if name != "objection_register"} for row in rows] for rows in (contents, others)]
    return files[0] == files[1]


def seal_bundle(head: BundleHead, reports: Sequence[ReportFile], key: Secret, bundle_id: str, target: BinaryIO) -> BundleFacts:
    """Write the encrypted zip to `target` (keys.chunked, `bundle_id` as associated data).

    Raises Unsound (`report-changed`) when a report's bytes are not those the ledger knows; `target` is then worth nothing.
    """
    source = _Source(_zip_pieces(head, reports))
    size = chunked.encrypt(key, bundle_id, io.BufferedReader(source, _BLOCK_BYTES), target)
    return BundleFacts(size=size, sha256=source.sha256, contents=contents_of(reports))


def zip_bytes(head: BundleHead, reports: Sequence[ReportFile]) -> bytes:
    """The readable zip in memory."""
    return b"".join(_zip_pieces(head, reports))


def _ordered(reports: Sequence[ReportFile]) -> list[ReportFile]:
    return sorted(reports, key=lambda report: (list(KINDS).index(report.kind), report.school))


def _zip_pieces(head: BundleHead, reports: Sequence[ReportFile]) -> Iterator[bytes]:
    window = _Window()
    with zipfile.ZipFile(window, "w", zipfile.ZIP_STORED) as archive:
        overview = _overview(head, reports)
        archive.writestr(_entry("Overzicht.pdf", head.published_on), overview)
        manifest = _manifest(head, [_row("Overzicht.pdf", overview), *contents_of(reports)])
        archive.writestr(_entry("manifest.json", head.published_on), manifest)
        for report in _ordered(reports):
            yield window.drain()
            content = report.read()
            if hashlib.sha256(content).hexdigest() != report.sha256:
                raise Unsound(
                    "report-changed",
                    f"The report of school {report.school} is not the one that was built.",
                    "Build it again with `sluis report build`, and find out who changed the file.",
                )
            archive.writestr(_entry(report.name, head.published_on), content)
    yield window.drain()


def _entry(name: str, day: date) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(day.year, day.month, day.day, 12, 0, 0))
    entry.create_system = 3  # Unix, on whatever machine: else the mode below means nothing
    entry.external_attr = 0o100644 << 16
    return entry


def _row(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _manifest(head: BundleHead, files: list[dict[str, Any]]) -> bytes:
    document = {
        "schema": MANIFEST_SCHEMA,
        "campaign": head.campaign,
        "board": head.board,
        "version": head.version,
        "reason": head.reason,
        "published_on": head.published_on.isoformat(),
        "files": files,
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def _overview(head: BundleHead, reports: Sequence[ReportFile]) -> bytes:
    by_kind = [
        {
            "folder": folder,
            "title": title,
            "schools": [{"code": r.school, "name": r.school_name} for r in _ordered(reports) if r.kind == kind],
        }
        for kind, (folder, title) in KINDS.items()
    ]
    values = {
        "campaign": head.campaign,
        "board": head.board,
        "board_name": head.board_name,
        "version": head.version,
        "reason": head.reason,
        "published_on": head.published_on.strftime("%d-%m-%Y"),
        "authority": head.authority,
        "contact": head.contact,
        "kinds": [kind for kind in by_kind if kind["schools"]],
    }
    return compile_pdf(template_text("gateway.publish", "overview.typ"), values, title=f"Overzicht van de rapportages {head.campaign}")


def _file_name(name: str) -> str:
    """`name` without what Windows, macOS or a shell could take amiss."""
    plain = re.sub(r"[^\w .,()&'+-]", " ", unicodedata.normalize("NFC", name))
    return re.sub(r"\s+", " ", plain)[:NAME_LENGTH].strip(" .")


class _Window(io.RawIOBase):
    """What zipfile writes to: it may seek back within the entry under way (to fill in its CRC), no further."""

    def __init__(self) -> None:
        self._passed = 0
        self._held = io.BytesIO()

    def drain(self) -> bytes:
        """What was written since the last time."""
        taken = self._held.getvalue()
        self._passed += len(taken)
        self._held = io.BytesIO()
        return taken

    def write(self, data: Any, /) -> int:
        return self._held.write(data)

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._passed + self._held.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._passed:
            raise io.UnsupportedOperation("that part of the zip has gone on")
        return self._passed + self._held.seek(offset - self._passed)


class _Source(io.RawIOBase):
    """The pieces as a file to read, hashed as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._hash.update(piece)
            self._rest = memoryview(piece)
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken
