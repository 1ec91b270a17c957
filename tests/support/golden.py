"""The golden deliveries (tests/vectors/deliveries): small files, and what the gateway must make of each.

python -m tests.support.golden      writes what it makes of each now; read the difference before you keep it
"""

import contextlib
import io
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.findings import DropRefused
from gateway.checks.objections import ObjectionRow, Objections, macs_of, read_objection_register
from gateway.checks.schools import SchoolStanding
from gateway.checks.stream import open_delivery
from gateway.checks.withdrawal import read_withdrawal, told_apart
from keys.openpgp import new_openpgp_key
from keys.sealing import new_identity
from keys.secret import Secret
from policies.rules import ObjectingPupils, packaged_rules
from tests.support.deliveries import DROP_KEY, OBJECTION_KEY, blob
from tests.support.openpgp import VendorGpg
from tests.support.vectors import FOLDER

GOLDEN = FOLDER / "deliveries"
#: how a delivery is sealed when the case does not say it: by the tools that vendors use
USUAL = ("age", "age-armour", "gzip-age", "gpg", "gpg-armour-signed")


@dataclass(frozen=True)
class Case:
    """One file of the set. `seal`: the one way in which it is delivered; "": by all of USUAL. `objecting_pupils`: the policy for them."""

    case: str
    file: str
    seal: str = ""
    objecting_pupils: str = "strip"

    @property
    def expected(self) -> Path:
        name = "".join(letter if letter.isalnum() else "-" for letter in self.case.lower())
        return GOLDEN / "expected" / f"{name}.json"

    @property
    def plain(self) -> bytes:
        """What is encrypted: the file, or the folder as a zip, its files in the order of their names and without a time."""
        path = GOLDEN / self.file
        if path.is_file():
            return path.read_bytes()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                zipped.writestr(zipfile.ZipInfo(file.relative_to(path).as_posix()), file.read_bytes(), zipfile.ZIP_DEFLATED)
        return out.getvalue()

    @property
    def is_register(self) -> bool:
        return self.file.startswith("register/")


def cases() -> list[Case]:
    return [Case(**case) for case in json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))]


def where() -> CheckContext:
    """What context.json says of the day, the schools and who objected."""
    facts = json.loads((GOLDEN / "context.json").read_text(encoding="utf-8"))
    today = date.fromisoformat(facts["today"])
    schools = {code: SchoolStanding(code, **standing) for code, standing in facts["schools"].items()}
    rows = [ObjectionRow(int(number), None, today) for number in facts["objecting"]["bsn"]]
    rows += [ObjectionRow(None, int(number), today) for number in facts["objecting"]["onderwijsnummer"]]
    return CheckContext(facts["vendor"], today, schools, Objections(macs_of(rows, OBJECTION_KEY), OBJECTION_KEY))


class Tools:
    """Keys of the gateway's, and the programs with which a vendor seals to them."""

    def __init__(self, vendor: VendorGpg) -> None:
        self.identity, self.recipient = new_identity()
        self.openpgp, public = new_openpgp_key("Sluis")
        self._vendor, self._to = vendor, vendor.learn(public)
        self._stranger = new_identity()[1]
        vendor.own_key("Vendor", "ed25519", "sign", "never")
        vendor.own_key("Stranger", "rsa2048", "encrypt", "never")

    def seal(self, plain: bytes, way: str) -> bytes:
        """The file as it is delivered."""
        tool, _, how = way.partition("-")
        if tool == "gzip":
            return self._age(subprocess.run(["gzip", "-cn"], input=plain, stdout=subprocess.PIPE, check=True).stdout)
        if tool == "gpg":
            options = {
                "bare": ("--rfc2440", "--disable-mdc"),
                "armour-signed": ("--armor", "--sign", "--local-user=Vendor"),
            }.get(how, ())
            sealed = self._vendor.encrypt(plain, "Stranger" if how == "other" else self._to, *options)
        elif tool == "age":
            sealed = self._age(plain, *(("--armor",) if how == "armour" else ()), to=self._stranger if how == "other" else self.recipient)
        else:
            return plain
        if how == "changed":  # a sign of the header's MAC
            at = sealed.index(b"\n--- ") + 8
            return sealed[:at] + (b"B" if sealed[at : at + 1] == b"A" else b"A") + sealed[at + 1 :]
        return sealed[:-20] if how == "cut" else sealed

    def _age(self, plain: bytes, *options: str, to: str = "") -> bytes:
        command = ["age", "--encrypt", *options, "--recipient", to or self.recipient]
        return subprocess.run(command, input=plain, stdout=subprocess.PIPE, check=True).stdout


@contextlib.contextmanager
def tools() -> Iterator[Tools]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        vendor = VendorGpg(Path(folder) / "v")
        try:
            yield Tools(vendor)
        finally:
            vendor.end()


def made_of(case: Case, sealed: bytes, identity: Secret, openpgp: Secret) -> dict[str, Any]:
    """What a receipt would say of it, and what goes on when it is accepted."""
    keys = () if case.seal == "gpg-off" else (openpgp,)
    with open_delivery(blob(sealed), DROP_KEY, [identity], openpgp=keys) as stream:
        return _register(stream) if case.is_register else _delivery(stream, case)


def _delivery(stream: BinaryIO, case: Case) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    try:
        is_withdrawal, content = told_apart(stream)
    except DropRefused as stop:
        return _told(Outcome(True, any(f.rule == "truncated" for f in stop.findings), {}, list(stop.findings), len(stop.findings)))
    if is_withdrawal:
        taken = read_withdrawal(content)
        outcome = Outcome(taken.refused, taken.truncated, taken.counts, taken.findings, taken.findings_total)
        return {**_told(outcome), "withdraws": taken.reasons}
    rules = replace(packaged_rules("nco-lvs-1"), objecting_pupils=ObjectingPupils(case.objecting_pupils))
    checked = Checked(content, where(), rules)
    for batch in checked.batches():
        rows += batch.to_dicts()
    outcome = checked.outcome
    if outcome.refused:
        return _told(outcome)
    schools = {code: asdict(count) for code, count in outcome.schools.items()}
    return {**_told(outcome), "schools": schools, "rows": [_as_json(row) for row in rows]}


def _register(stream: BinaryIO) -> dict[str, Any]:
    may_speak_for = {code for code, standing in where().schools.items() if standing.vendor == where().vendor}
    register = read_objection_register(stream, may_speak_for, where().today)
    told = _told(Outcome(register.refused, register.truncated, register.counts, register.findings, register.findings_total))
    kept = {code: [_as_json(asdict(row)) for row in rows] for code, rows in register.schools.items()}
    return told if register.refused else {**told, "objections": kept}


def _told(outcome: Outcome) -> dict[str, Any]:
    """As in a receipt."""
    return {
        "state": "incomplete" if outcome.truncated else "rejected" if outcome.refused else "accepted",
        "counts": outcome.counts,
        "findings": [finding.as_dict() for finding in outcome.findings],
        "findings_total": outcome.findings_total,
    }


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}


def main() -> None:
    with tools() as vendor:
        for case in cases():
            made = made_of(case, vendor.seal(case.plain, case.seal or "age"), vendor.identity, vendor.openpgp)
            rows = made.pop("rows", None)
            text = json.dumps(made, indent=1, ensure_ascii=False)
            if rows is not None:  # a line each, so that a difference can be read
                lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
                text = f'{text[:-2]},\n "rows": [\n{lines}\n ]\n}}'
            case.expected.parent.mkdir(exist_ok=True)
            case.expected.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
