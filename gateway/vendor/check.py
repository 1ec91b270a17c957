"""`sluis deliver check`: the gateway's own checks on the vendor's own machine, before anything is encrypted or sent.

What only the gateway knows (which boards enrolled, who objected, the deadline, which deliveries there are) is not checked here, and
results that come twice are found where pupils are told apart: at linking.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.findings import DropRefused, Finding
from gateway.checks.objections import Objections, RegisterOutcome, read_objection_register
from gateway.checks.schools import SchoolStanding
from gateway.checks.stream import Delivery, Limits, expanded
from gateway.checks.table import header_key
from gateway.checks.withdrawal import Withdrawal, is_withdrawal, read_withdrawal
from gateway.registers.schools import read_duo
from gateway.vendor.outbox import chunks_of, is_encrypted
from gateway.vendor.refusals import refusal
from gateway.vendor.values import Value, values_of
from keys.secret import Secret
from policies.calendar import AMSTERDAM
from policies.rules import Rules, packaged_rules, with_additions

#: so many rows are named of a rule that was broken
FIRST_ROWS = 5
#: the name of the rules that a gateway hands out beside its keys
RULES_FILE = "sluis.regels.toml"


class _EverySchool(Mapping[str, SchoolStanding]):
    """Stands in for the register of schools where the vendor gives none."""

    def __getitem__(self, code: str) -> SchoolStanding:
        return SchoolStanding(code, "", True, "bo", "")

    def __contains__(self, code: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class Against:
    """What files are held against: the rules, and the schools that there are (none given: every school is one)."""

    rules: Rules = field(default_factory=lambda: packaged_rules("nco-lvs-1"))
    schools: Mapping[str, SchoolStanding] = field(default_factory=_EverySchool)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Broken:
    """One rule that a file breaks: how often, and the first places."""

    rule: str
    count: int
    columns: list[str]
    rows: list[int]

    def as_dict(self) -> dict[str, Any]:
        rule = CATALOGUE[self.rule]
        told = {"rule": self.rule, "level": str(rule.level), "count": self.count, "columns": self.columns, "first_rows": self.rows}
        return {**told, "cause": rule.cause, "cure": rule.cure}


@dataclass(frozen=True)
class Verdict:
    """What the checks say of a file; never a value out of it, unless `with_values` looked one up for the vendor's own eyes."""

    path: Path
    format: str
    folder: str  # in which the gateway takes it
    refused: bool
    counts: Mapping[str, int]
    findings: Sequence[Finding]
    findings_total: int
    by_rule: Mapping[str, int]
    values: Mapping[int, Value] = field(default_factory=dict, repr=False)  # place in `findings` → what stands there

    @property
    def broken(self) -> list[Broken]:
        """The rules that were broken, in the order of `findings`."""
        found: dict[str, Broken] = {}
        for told in self.findings:
            one = found.setdefault(told.rule, Broken(told.rule, self.by_rule[told.rule], [], []))
            if told.row is not None and len(one.rows) < FIRST_ROWS:
                one.rows.append(told.row)
            if told.column is not None and told.column not in one.columns:
                one.columns.append(told.column)
        return list(found.values())

    def with_values(self) -> "Verdict":
        """The same with the values that the findings are about, read again from the file. To be shown, and kept nowhere."""
        return replace(self, values=values_of(self.path, self.findings))

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        findings = [finding.as_dict() for finding in self.findings]
        for index, value in self.values.items():
            findings[index]["value"] = value
        return {
            "file": self.path.name,
            "format": self.format,
            "refused": self.refused,
            "counts": dict(self.counts),
            "findings": findings,
            "findings_total": self.findings_total,
            "rules": [broken.as_dict() for broken in self.broken],
        }


def rules_of(text: str, name: str = RULES_FILE) -> Rules:
    """The rules of the format with a gateway's additions; Unsound (`bad-policy`) with line and reason."""
    return with_additions(packaged_rules("nco-lvs-1"), text, name)


def read_rules(path: Path) -> Rules:
    """The same out of a file; NotFound (`no-file`)."""
    return rules_of(_read(path).decode("utf-8-sig", errors="replace"), path.name)


def read_schools(path: Path) -> dict[str, SchoolStanding]:
    """The schools of a DUO CSV, all of them free to be delivered; Refused as `read_duo`, NotFound (`no-file`)."""
    return {school.code: SchoolStanding(school.code, school.board, True, school.kind, "") for school in read_duo(_read(path)).schools}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise refusal("no-file", path=path) from None


def check_file(path: Path, against: Against | None = None) -> Verdict:
    """Read a CSV (plain or gzip) or a zip of EDEXML and UWLR as the gateway would; the content says what it is.

    NotFound (`no-file`); Refused (`already-encrypted`).
    """
    against = against or Against()
    try:
        if is_encrypted(path):
            raise refusal("already-encrypted", name=path.name)
        with path.open("rb") as file:
            known_as = _format(file, against.limits)
            file.seek(0)
            with closing(expanded(chunks_of(file), against.limits)) as content, Delivery(content) as stream:
                form, told = _CHECKS[known_as](cast(BinaryIO, stream), against)
    except OSError:
        raise refusal("no-file", path=path) from None
    return Verdict(path, form, FOLDERS[known_as], told.refused, told.counts, told.findings, told.findings_total, told.by_rule)


def folder_of(path: Path) -> str:
    """The folder of the gateway that a file goes to, as far as its first line tells; NotFound (`no-file`)."""
    try:
        with path.open("rb") as file:
            return FOLDERS[_format(file, Limits())]
    except OSError:
        raise refusal("no-file", path=path) from None


def _format(file: BinaryIO, limits: Limits) -> str:
    """What the header says a file is. Everything that is nothing else is results: the checks will say what is wrong with it."""
    with closing(expanded(chunks_of(file), limits)) as content:
        try:
            head = next(content, b"")[:_HEAD]
        except DropRefused:
            return RESULTS
    if is_withdrawal(head):
        return WITHDRAWAL
    line = head.partition(b"\n")[0].decode("utf-8-sig", errors="replace").replace(",", ";")
    return REGISTER if "ingediend_op" in {header_key(name) for name in line.split(";")} else RESULTS


def _today() -> date:
    return datetime.now(AMSTERDAM).date()


def _check_results(stream: BinaryIO, against: Against) -> tuple[str, Outcome]:
    objections = Objections([], Secret(secrets.token_bytes(32)))
    checked = Checked(stream, CheckContext("", _today(), against.schools, objections), against.rules)
    for _ in checked.batches():
        pass
    return checked.format, checked.outcome


def _check_register(stream: BinaryIO, against: Against) -> tuple[str, RegisterOutcome]:
    return REGISTER, read_objection_register(stream, against.schools, _today())


def _check_withdrawal(stream: BinaryIO, against: Against) -> tuple[str, Withdrawal]:
    return WITHDRAWAL, read_withdrawal(stream)


RESULTS, REGISTER, WITHDRAWAL = "nco-lvs-1", "nco-bezwaar-1", "nco-intrekking-1"
#: format → the folder in which the gateway takes it
FOLDERS = {RESULTS: "leveringen", REGISTER: "bezwaren", WITHDRAWAL: "leveringen"}
_CHECKS: dict[str, Callable[[BinaryIO, Against], tuple[str, Outcome | RegisterOutcome | Withdrawal]]] = {
    RESULTS: _check_results,
    REGISTER: _check_register,
    WITHDRAWAL: _check_withdrawal,
}
#: what is looked at to tell a format [bytes]
_HEAD = 1 << 12
