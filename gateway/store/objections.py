"""Objection registers as keyed MACs, a version per hand-in; the newest version of a school counts whole.

Whom they are about among the persons of the results store is gateway/store/objecting_persons.py's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete
from sqlmodel import Session, col, func, select

from gateway.drop.lifecycle import Effect, State
from gateway.store.ledger import Change
from gateway.store.models import Drop, DropSchool, Objection, ObjectionPerson, ObjectionRegister
from gateway.store.objecting_persons import ask_withdrawal, call_off, forget_persons, lock_objections, persons_of
from policies.errors import Refused

#: the source of a register of which a restore knows that there was one, and not what it held
LOST = "lost"


@dataclass(frozen=True)
class KeyedObjection:
    """One objecting pupil, as it may be kept: AES-CMACs under the campaign's objection key, and pseudonyms of the persons that the
    population register in use knows by these numbers: usually one, none when it does not know them."""

    bsn_mac: bytes | None
    onderwijsnummer_mac: bytes | None
    filed_on: date
    withdrawn_on: date | None = None
    persons: frozenset[str] = frozenset()

    @property
    def in_force(self) -> bool:
        return self.withdrawn_on is None

    @property
    def known_by(self) -> frozenset[bytes | str]:
        """What tells that two objections may be about one pupil."""
        return self.persons | self._macs

    def is_of(self, pupil: "KeyedObjection") -> bool:
        """Whether it is certainly about this pupil: by the same number, or by another one of the very same person. One number may be known
        as two persons', and a parent who withdraws an objection ends no other's."""
        return not self._macs.isdisjoint(pupil._macs) or (bool(self.persons) and self.persons == pupil.persons)

    @property
    def _macs(self) -> frozenset[bytes]:
        return frozenset(mac for mac in (self.bsn_mac, self.onderwijsnummer_mac) if mac is not None)


def hand_in(change: Change, campaign: str, registers: Mapping[str, Sequence[KeyedObjection]], source: str) -> dict[str, int]:
    """New versions of the registers of these schools (an empty one counts); answers each school's version.

    Drops that wait for one of them are looked at again. Whom an objection is about now, and none was about before, is to be taken out of
    the results; whom none is about any more is not, if it did not happen yet.
    """
    versions = {}
    before = _newest(change.session, campaign, registers, to_change=True)
    objected = persons_of(change.session, campaign, registers)
    forget_persons(change.session, campaign, registers)
    for school, rows in sorted(registers.items()):
        newest = before.get(school)
        version = (newest.version if newest else 0) + 1
        made = ObjectionRegister(
            campaign=campaign,
            school=school,
            version=version,
            source=source,
            received_at=change.now,
            objections=pupils_in_force(rows),
        )
        change.session.add(made)
        change.session.flush()
        assert made.id is not None
        _keep(change.session, made.id, rows)
        versions[school] = version
        change.audit("objections.handed-in", school, campaign=campaign, version=version, objections=made.objections, source=source)
    named = {person for rows in registers.values() for row in rows if row.in_force for person in row.persons}
    ask_withdrawal(change, campaign, named - objected)
    call_off(change, objected - named)
    _wake(change, campaign, set(versions))
    return versions


def pupils_in_force(rows: Sequence[KeyedObjection]) -> int:
    """How many pupils these objections are about; one that was named twice is one."""
    seen: set[bytes | str] = set()
    pupils = 0
    for row in rows:
        if row.in_force:
            pupils += seen.isdisjoint(row.known_by)
            seen |= row.known_by
    return pupils


def _keep(session: Session, register_id: int, rows: Sequence[KeyedObjection]) -> None:
    kept = [
        Objection(
            register_id=register_id,
            bsn_mac=row.bsn_mac,
            onderwijsnummer_mac=row.onderwijsnummer_mac,
            filed_on=row.filed_on,
            withdrawn_on=row.withdrawn_on,
        )
        for row in rows
    ]
    session.add_all(kept)
    session.flush()
    for made, row in zip(kept, rows, strict=True):
        assert made.id is not None
        session.add_all(ObjectionPerson(objection_id=made.id, person=person) for person in sorted(row.persons) if row.in_force)


def _wake(change: Change, campaign: str, schools: set[str]) -> None:
    waiting = (
        select(DropSchool.drop)
        .join(Drop, col(Drop.id) == DropSchool.drop)
        .where(Drop.campaign == campaign, Drop.state == State.ACCEPTED, col(DropSchool.school).in_(schools))
    )
    for drop in sorted(set(change.session.exec(waiting))):
        change.ask(drop, Effect.LINK)


def newest_registers(
    session: Session, campaign: str, schools: Collection[str] | None = None, to_change: bool = False
) -> dict[str, ObjectionRegister]:
    """The register that counts, by school (of `schools`; None: all); a school without one, or whose newest was lost, is not in it.

    `to_change`: nobody else hands in a register of this campaign until the change ends, so that what is made of these replaces no
    newer one (SQLite has one change at a time anyway).
    """
    return {school: row for school, row in _newest(session, campaign, schools, to_change).items() if row.source != LOST}


def check_not_lost(session: Session, campaign: str, school: str) -> None:
    """Refused (`register-lost`) when a register of this school was lost: what is added to it would count as the whole of it."""
    newest = _newest(session, campaign, [school], to_change=False).get(school)
    if newest is not None and newest.source == LOST:
        raise Refused("register-lost", "This school's register was lost.", "The school hands in all of it again: `sluis objection import`.")


def _newest(session: Session, campaign: str, schools: Collection[str] | None, to_change: bool) -> dict[str, ObjectionRegister]:
    if to_change:
        lock_objections(session)
    statement = select(ObjectionRegister).where(ObjectionRegister.campaign == campaign).order_by(col(ObjectionRegister.version))
    if schools is not None:
        statement = statement.where(col(ObjectionRegister.school).in_(sorted(schools)))
    rows = session.exec(statement)
    return {row.school: row for row in rows}


def objections_in_force(session: Session, campaign: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """(id, MAC of BSN, MAC of onderwijsnummer) of every objection that counts now."""
    newest = (
        select(ObjectionRegister.school, func.max(ObjectionRegister.version).label("version"))
        .where(ObjectionRegister.campaign == campaign)
        .group_by(ObjectionRegister.school)
        .subquery()
    )
    rows = session.exec(
        select(Objection.id, Objection.bsn_mac, Objection.onderwijsnummer_mac)
        .join(ObjectionRegister, col(ObjectionRegister.id) == Objection.register_id)
        .join(newest, (newest.c.school == ObjectionRegister.school) & (newest.c.version == ObjectionRegister.version))
        .where(ObjectionRegister.campaign == campaign, col(Objection.withdrawn_on).is_(None))
    )
    return [(number, bsn, ond) for number, bsn, ond in rows if number is not None]


def forget_objections(session: Session, campaign: str) -> int:
    """Nothing tells any more who objected in a campaign: MACs and persons are gone; which versions there were, and of how many objections,
    stays. Answers how many objections there were. Needs `lock_objections`."""
    registers = select(ObjectionRegister.id).where(ObjectionRegister.campaign == campaign)
    objections = select(Objection.id).where(col(Objection.register_id).in_(registers))
    session.execute(delete(ObjectionPerson).where(col(ObjectionPerson.objection_id).in_(objections)))
    gone = session.execute(delete(Objection).where(col(Objection.register_id).in_(registers)))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def keyed_objections(session: Session, register: ObjectionRegister) -> list[KeyedObjection]:
    """What a version holds, for the next version that adds to it or withdraws from it."""
    rows = session.exec(select(Objection).where(Objection.register_id == register.id).order_by(col(Objection.id)))
    persons: dict[int | None, set[str]] = defaultdict(set)
    about = select(ObjectionPerson).join(Objection, col(Objection.id) == ObjectionPerson.objection_id)
    for found in session.exec(about.where(Objection.register_id == register.id)):
        persons[found.objection_id].add(found.person)
    return [
        KeyedObjection(row.bsn_mac, row.onderwijsnummer_mac, row.filed_on, row.withdrawn_on, frozenset(persons[row.id])) for row in rows
    ]
