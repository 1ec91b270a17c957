"""Boards, schools and whose they were when: what an import of the schools' register changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import Board, Mandate, RegisterVersion, School
from policies.errors import NotFound, Refused


class What(StrEnum):
    """What an import does to a school or a board."""

    ADDED = "added"
    RETURNED = "returned"  # was in an earlier register, and then no longer
    MOVED = "moved"  # to another board: a merger, a takeover, a split
    ENDED = "ended"  # no longer in the register
    RENAMED = "renamed"
    KIND_CHANGED = "kind_changed"
    LOOKS_RENUMBERED = "looks_renumbered"  # a new school at the address of one that ends; for people to know: they are never joined
    BOARD_ADDED = "board_added"
    BOARD_ENDED = "board_ended"  # has no school any more
    BOARD_RENAMED = "board_renamed"


@dataclass(frozen=True)
class Difference:
    """One change; `before` and `after` are boards, names, kinds or codes, as `what` is about. None: there was none, or is none any more."""

    what: What
    object: str  # a school's code or a board's number
    name: str
    before: str | None = None
    after: str | None = None


@dataclass
class Differences:
    """All that an import changes, and how many schools had a board before it."""

    known: int
    all: list[Difference] = field(default_factory=list)

    def add(self, what: What, object: str, name: str, before: str | None = None, after: str | None = None) -> None:
        self.all.append(Difference(what, object, name, before, after))

    def of(self, what: What) -> list[str]:
        """The schools or boards to which this happens, in order."""
        return [one.object for one in self.all if one.what is what]

    def counts(self) -> dict[str, int]:
        return {what.value: len(self.of(what)) for what in What}


@dataclass(frozen=True)
class Period:
    """A school's time with a board; `valid_until` is exclusive, None: still."""

    school: str
    school_name: str
    kind: str
    board: str
    board_name: str
    valid_from: date
    valid_until: date | None


def import_schools(
    change: Change, boards: Mapping[str, str], schools: Iterable[tuple[Mapping[str, str], str]], as_of: date, sha256: str
) -> Differences:
    """Bring boards (number → name) and schools ((their fields, their board)) up to date as of a day; answers what changed.

    A school that moved keeps its history: the old mandate ends on `as_of`, the new one begins then. One that is no longer in the register
    keeps its row, its mandate ends. A new code is a new school: codes are never joined. A field that is not given stays as it was. Refused
    (`register-older`) when `as_of` lies before the day of the register in use.
    """
    session = change.session
    versions = session.exec(select(RegisterVersion).where(RegisterVersion.kind == "schools", col(RegisterVersion.live).is_(True))).all()
    if any(version.reference_date is not None and version.reference_date > as_of for version in versions):
        raise Refused(
            "register-older",
            "The register in use is of a later day: an older one would give schools two boards at once.",
            "Import registers in the order of their days; `sluis register list` tells the day of the one in use.",
        )
    before = {school.code: school for school in session.exec(select(School))}
    mandates = {mandate.school: mandate for mandate in session.exec(select(Mandate).where(col(Mandate.valid_until).is_(None)))}
    differences = Differences(known=len(mandates))
    rows = {fields["code"]: (fields, board) for fields, board in schools}
    _update_boards(change, boards, {board for _, board in rows.values()}, {mandate.board for mandate in mandates.values()}, differences)
    begun = []
    for code, (fields, board) in rows.items():
        session.add(_updated(before.get(code), fields, differences))
        mandate = mandates.get(code)
        if mandate is None:
            differences.add(What.RETURNED if code in before else What.ADDED, code, fields["name"], None, board)
        elif mandate.board == board:
            continue
        else:
            differences.add(What.MOVED, code, fields["name"], mandate.board, board)
            _end(change, mandate, as_of)
        begun.append((code, board))
    session.flush()  # schools and boards before the mandates that name them
    for code, mandate in mandates.items():
        if code not in rows:
            differences.add(What.ENDED, code, before[code].name, mandate.board, None)
            _end(change, mandate, as_of)
    for code, board in begun:
        _begin(change, code, board, as_of)
    _tell_renumbered(before, {code: fields for code, (fields, _) in rows.items()}, differences)
    for version in versions:
        version.live = False
    session.add(RegisterVersion(kind="schools", reference_date=as_of, rows=len(rows), sha256=sha256, imported_at=change.now))
    detail: dict[str, Any] = {"as_of": as_of.isoformat(), "rows": len(rows), "sha256": sha256, **differences.counts()}
    change.audit("register.imported", "schools", **detail)
    return differences


def _update_boards(change: Change, boards: Mapping[str, str], having: set[str], had: set[str], differences: Differences) -> None:
    """`having`, `had`: the boards that have a school now, and had one before."""
    for number, name in boards.items():
        known = change.session.get(Board, number)
        if known is None:
            known = Board(number=number, name=name)
        elif name and known.name != name:
            if known.name:
                differences.add(What.BOARD_RENAMED, number, name, known.name, name)
            known.name = name
        change.session.add(known)
    for number in sorted(having - had):
        differences.add(What.BOARD_ADDED, number, boards.get(number, ""))
    for number in sorted(had - having):
        differences.add(What.BOARD_ENDED, number, change.session.get_one(Board, number).name)


def _updated(known: School | None, fields: Mapping[str, str], differences: Differences) -> School:
    if known is None:
        return School(**fields)
    for what, name in ((What.RENAMED, "name"), (What.KIND_CHANGED, "kind")):
        if name in fields and getattr(known, name) != fields[name]:
            differences.add(what, known.code, fields["name"], getattr(known, name), fields[name])
    for name, value in fields.items():
        if getattr(known, name) != value:
            setattr(known, name, value)
    return known


def _tell_renumbered(before: Mapping[str, School], rows: Mapping[str, Mapping[str, str]], differences: Differences) -> None:
    at: dict[tuple[str, str], list[str]] = defaultdict(list)
    for code in differences.of(What.ENDED):
        at[before[code].postcode, before[code].house_number].append(code)
    for code in differences.of(What.ADDED):
        place = rows[code].get("postcode", ""), rows[code].get("house_number", "")
        for old in at.get(place, ()) if all(place) else ():
            differences.add(What.LOOKS_RENUMBERED, code, rows[code]["name"], old, code)


def _begin(change: Change, code: str, board: str, as_of: date) -> None:
    """From `as_of` the school is the board's; when it was so until that very day, what ended it is undone."""
    session = change.session
    ended = session.exec(select(Mandate).where(Mandate.school == code, Mandate.board == board, Mandate.valid_until == as_of)).first()
    if ended is None:
        session.add(Mandate(school=code, board=board, valid_from=as_of))
    else:
        ended.valid_until = None
        session.add(ended)


def _end(change: Change, mandate: Mandate, as_of: date) -> None:
    if mandate.valid_from >= as_of:  # corrected before it was ever in force
        change.session.delete(mandate)
        change.session.flush()
    else:
        mandate.valid_until = as_of
        change.session.add(mandate)


def _periods(session: Session, which: ColumnElement[bool] | bool) -> list[Period]:
    rows = session.exec(
        select(School, Board, Mandate)
        .where(School.code == Mandate.school, Board.number == Mandate.board, which)
        .order_by(col(Mandate.school), col(Mandate.valid_from))
    )
    return [
        Period(school.code, school.name, school.kind, board.number, board.name, mandate.valid_from, mandate.valid_until)
        for school, board, mandate in rows
    ]


def school_history(session: Session, code: str) -> tuple[School, list[Period]]:
    """A school and whose it was when, oldest first; NotFound for one that never stood in a register."""
    if (school := session.get(School, code)) is None:
        raise NotFound("no-such-school", "There never was such a school in the register.", "Give its BRIN and vestiging as 99AA99.")
    return school, _periods(session, Mandate.school == code)


def board_history(session: Session, number: str) -> tuple[Board, list[Period]]:
    """A board and which schools were its own when, by school; NotFound for one that never stood in a register."""
    if (board := session.get(Board, number)) is None:
        raise NotFound("no-such-board", "There never was such a board in the register.", "Give its number: five digits.")
    return board, _periods(session, Mandate.board == number)


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
