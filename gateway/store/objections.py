"""Objection registers as keyed MACs, a version per hand-in; the newest version of a school counts whole."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, func, select

from gateway.drop.lifecycle import Effect, State
from gateway.store.ledger import Change
from gateway.store.models import Campaign, Drop, DropSchool, Objection, ObjectionRegister
from policies.errors import Refused

#: the source of a register of which a restore knows that there was one, and not what it held
LOST = "lost"


@dataclass(frozen=True)
class KeyedObjection:
    """One objecting pupil, as it may be kept: AES-CMACs under the campaign's objection key."""

    bsn_mac: bytes | None
    onderwijsnummer_mac: bytes | None
    filed_on: date
    withdrawn_on: date | None = None


def hand_in(change: Change, campaign: str, registers: Mapping[str, Sequence[KeyedObjection]], source: str) -> dict[str, int]:
    """New versions of the registers of these schools (an empty one counts); answers each school's version.

    Drops that wait for one of them are looked at again.
    """
    versions = {}
    before = _newest(change.session, campaign, None, to_change=True)
    for school, rows in sorted(registers.items()):
        newest = before.get(school)
        version = (newest.version if newest else 0) + 1
        made = ObjectionRegister(
            campaign=campaign,
            school=school,
            version=version,
            source=source,
            received_at=change.now,
            objections=sum(row.withdrawn_on is None for row in rows),
        )
        change.session.add(made)
        change.session.flush()
        assert made.id is not None
        for row in rows:
            change.session.add(
                Objection(
                    register_id=made.id,
                    bsn_mac=row.bsn_mac,
                    onderwijsnummer_mac=row.onderwijsnummer_mac,
                    filed_on=row.filed_on,
                    withdrawn_on=row.withdrawn_on,
                )
            )
        versions[school] = version
        change.audit("objections.handed-in", school, campaign=campaign, version=version, objections=made.objections, source=source)
    _wake(change, campaign, set(versions))
    return versions


def _wake(change: Change, campaign: str, schools: set[str]) -> None:
    waiting = change.session.exec(
        select(DropSchool.drop, DropSchool.school)
        .join(Drop, col(Drop.id) == DropSchool.drop)
        .where(Drop.campaign == campaign, Drop.state == State.ACCEPTED)
    ).all()
    for drop in sorted({drop for drop, school in waiting if school in schools}):
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
        session.exec(select(Campaign.name).where(Campaign.name == campaign).with_for_update(key_share=True)).first()
    statement = select(ObjectionRegister).where(ObjectionRegister.campaign == campaign).order_by(col(ObjectionRegister.version))
    if schools is not None:
        statement = statement.where(col(ObjectionRegister.school).in_(sorted(schools)))
    rows = session.exec(statement)
    return {row.school: row for row in rows}


def objections_in_force(session: Session, campaign: str) -> list[tuple[str, bytes | None, bytes | None]]:
    """(school, MAC of BSN, MAC of onderwijsnummer) of every objection that counts now."""
    newest = (
        select(ObjectionRegister.school, func.max(ObjectionRegister.version).label("version"))
        .where(ObjectionRegister.campaign == campaign)
        .group_by(ObjectionRegister.school)
        .subquery()
    )
    rows = session.exec(
        select(ObjectionRegister.school, Objection.bsn_mac, Objection.onderwijsnummer_mac)
        .join(Objection, col(Objection.register_id) == ObjectionRegister.id)
        .join(newest, (newest.c.school == ObjectionRegister.school) & (newest.c.version == ObjectionRegister.version))
        .where(ObjectionRegister.campaign == campaign, col(Objection.withdrawn_on).is_(None))
    )
    return [(school, bsn, number) for school, bsn, number in rows]


def keyed_objections(session: Session, register: ObjectionRegister) -> list[KeyedObjection]:
    """What a version holds, for the next version that adds to it or withdraws from it."""
    rows = session.exec(select(Objection).where(Objection.register_id == register.id).order_by(col(Objection.id)))
    return [KeyedObjection(row.bsn_mac, row.onderwijsnummer_mac, row.filed_on, row.withdrawn_on) for row in rows]
