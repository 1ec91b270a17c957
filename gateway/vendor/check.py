"""`sluis deliver check`: the gateway's own checks on the vendor's own machine, before anything is encrypted or sent.

What only the gateway knows (which boards enrolled, who objected, the deadline) is not checked here.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast
from zoneinfo import ZoneInfo

from gateway.checks.check import CheckContext, Checked
from gateway.checks.findings import DropRefused, Finding
from gateway.checks.objections import Objections, read_objection_register
from gateway.checks.schools import SchoolStanding
from gateway.checks.stream import Delivery, Limits, expanded
from gateway.vendor.outbox import CHUNK, is_encrypted
from keys.secret import Secret
from policies.errors import NotFound, Refused
from policies.rules import packaged_rules

#: a column that only an objection register has
_REGISTER_COLUMN = b"ingediend_op"


@dataclass(frozen=True)
class Verdict:
    """What the checks say of a file; never a value out of it."""

    file: str
    format: str
    refused: bool
    counts: dict[str, int]
    findings: list[Finding]
    findings_total: int

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "file": self.file,
            "format": self.format,
            "refused": self.refused,
            "counts": self.counts,
            "findings": [finding.as_dict() for finding in self.findings],
            "findings_total": self.findings_total,
        }


class _EverySchool(Mapping[str, SchoolStanding]):
    """Stands in for the register of schools, which the vendor's machine does not have."""

    def __getitem__(self, code: str) -> SchoolStanding:
        return SchoolStanding(code, "", True, "bo", "")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def check_file(path: Path, limits: Limits | None = None) -> Verdict:
    """Read a CSV (plain or gzip) or a zip of EDEXML and UWLR as the gateway would. NotFound (`no-file`); Refused (`already-encrypted`)."""
    try:
        if is_encrypted(path):
            raise Refused(
                "already-encrypted", f"{path.name} is encrypted: only the gateway can read it.", "Check the file before it is encrypted."
            )
        with path.open("rb") as file:
            is_register = _REGISTER_COLUMN in _first_line(file, limits or Limits())
            file.seek(0)
            with closing(expanded(_chunks(file), limits or Limits())) as content, Delivery(content) as stream:
                return _check_register(path, cast(BinaryIO, stream)) if is_register else _check_results(path, cast(BinaryIO, stream))
    except OSError:
        raise NotFound("no-file", f"{path} can't be read.", "Name the file to check.") from None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


def _first_line(file: BinaryIO, limits: Limits) -> bytes:
    with closing(expanded(_chunks(file), limits)) as content:
        try:
            return next(content, b"").partition(b"\n")[0].lower()
        except DropRefused:
            return b""  # the checks will say why


def _check_results(path: Path, stream: BinaryIO) -> Verdict:
    today = datetime.now(ZoneInfo("Europe/Amsterdam")).date()
    objections = Objections([], Secret(secrets.token_bytes(32)))
    checked = Checked(stream, CheckContext("", today, None, _EverySchool(), objections), packaged_rules("nco-lvs-1"))
    for _ in checked.batches():
        pass
    outcome = checked.outcome
    return Verdict(path.name, checked.format, outcome.refused, outcome.counts, outcome.findings, outcome.findings_total)


def _check_register(path: Path, stream: BinaryIO) -> Verdict:
    outcome = read_objection_register(stream, cast(Collection[str], _EveryCode()))
    return Verdict(path.name, "nco-bezwaar-1", outcome.refused, outcome.counts, outcome.findings, outcome.findings_total)


class _EveryCode(_EverySchool):
    def __contains__(self, code: object) -> bool:
        return True
