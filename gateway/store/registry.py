"""Boards, schools and whose they were when: what an import of the schools' register changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlmodel import col, select

from gateway.store.ledger import Change
from gateway.store.models import Board, Mandate, RegisterVersion, School
from policies.errors import Refused


@dataclass
class Differences:
    """School codes, by what an import does to them."""

    added: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)  # to another board
    ended: list[str] = field(default_factory=list)  # no longer in the register

    def counts(self) -> dict[str, int]:
        return {"added": len(self.added), "moved": len(self.moved), "ended": len(self.ended)}


def import_schools(
    change: Change, boards: Mapping[str, str], schools: Iterable[tuple[Mapping[str, str], str]], as_of: date, sha256: str
) -> Differences:
    """Bring boards (number → name) and schools ((their fields, their board)) up to date as of a day; answers what changed.

    A school that moved keeps its history: the old mandate ends on `as_of`, the new one begins then. One that is no longer in the register
    keeps its row, its mandate ends. A new code is a new school: codes are never joined. Refused (`register-older`) when `as_of` lies before
    the day of the register in use.
    """
    session = change.session
    versions = session.exec(select(RegisterVersion).where(RegisterVersion.kind == "schools", col(RegisterVersion.live).is_(True))).all()
    if any(version.reference_date is not None and version.reference_date > as_of for version in versions):
        raise Refused(
            "register-older",
            "The register in use is of a later day: an older one would give schools two boards at once.",
            "Import registers in the order of their days; `sluis register list` tells the day of the one in use.",
        )
    for number, name in boards.items():
        known = session.get(Board, number) or Board(number=number)
        known.name = name or known.name
        session.add(known)
    before = {school.code: school for school in session.exec(select(School))}
    mandates = {mandate.school: mandate for mandate in session.exec(select(Mandate).where(col(Mandate.valid_until).is_(None)))}
    differences = Differences()
    seen = set()
    begun = []
    for fields, board in schools:
        code = fields["code"]
        seen.add(code)
        school = before.get(code) or School(code=code, name=fields["name"])
        for name, value in fields.items():
            if getattr(school, name) != value:
                setattr(school, name, value)
        session.add(school)
        mandate = mandates.get(code)
        if mandate is None:
            differences.added.append(code)
        elif mandate.board == board:
            continue
        else:
            differences.moved.append(code)
            _end(change, mandate, as_of)
        begun.append(Mandate(school=code, board=board, valid_from=as_of))
    session.flush()  # schools and boards before the mandates that name them
    session.add_all(begun)
    for code, mandate in mandates.items():
        if code not in seen:
            differences.ended.append(code)
            _end(change, mandate, as_of)
    for version in versions:
        version.live = False
    session.add(RegisterVersion(kind="schools", reference_date=as_of, rows=len(seen), sha256=sha256, imported_at=change.now))
    change.audit(
        "register.imported",
        "schools",
        as_of=as_of.isoformat(),
        rows=len(seen),
        sha256=sha256,
        added=len(differences.added),
        moved=len(differences.moved),
        ended=len(differences.ended),
    )
    return differences


def _end(change: Change, mandate: Mandate, as_of: date) -> None:
    if mandate.valid_from >= as_of:  # corrected before it was ever in force
        change.session.delete(mandate)
        change.session.flush()
    else:
        mandate.valid_until = as_of
        change.session.add(mandate)


def new_version(change: Change, version: RegisterVersion) -> list[RegisterVersion]:
    """Make `version` the live one of its kind; answers the older ones, whose file and key are to end."""
    older = list(
        change.session.exec(select(RegisterVersion).where(RegisterVersion.kind == version.kind, col(RegisterVersion.live).is_(True)))
    )
    for old in older:
        old.live = False
        change.session.add(old)
    change.session.add(version)
    change.audit("register.imported", version.kind, rows=version.rows, sha256=version.sha256)
    return older
