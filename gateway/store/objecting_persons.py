"""Whom the objections in force are about, as far as the population register knows their numbers; and whose results are still to go.

`ObjectionPerson` has rows of objections in force alone: those of a school's newest register. What a restore knows to be lost stays in force
by its persons until the school hands its register in again. An objection holds in every round as long as its register lives: a parent who
objected in one round is not to be found again in the next because that one's register came later.

A person stays in `PendingWithdrawal` until gateway/worker/withdrawals.py has taken the results out of the store. That nobody slips through
between a hand-in and a linking rests on one lock: whoever changes objections holds it alone, whoever commits results shares it, and looks
again at what it read of them (`newest_objections`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Select, delete
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, func, select

from gateway.store.ledger import Change
from gateway.store.models import Campaign, Objection, ObjectionPerson, ObjectionRegister, Part, PendingWithdrawal

T = TypeVar("T")
#: values in one question to the database: SQLite takes 32,766, PostgreSQL 65,535
AT_ONCE = 10_000


def lock_objections(session: Session, to_change: bool = True) -> None:
    """Until the change ends nobody else changes an objection; with `to_change` False others may hold the same lock, and only changes wait.

    On PostgreSQL these are locks on the campaigns' rows, in the order of their names. SQLite has one change at a time anyway.
    """
    names = select(Campaign.name).order_by(Campaign.name)
    session.exec(names.with_for_update(key_share=True) if to_change else names.with_for_update(read=True)).all()


def newest_objections(session: Session) -> int:
    """Grows with each register that names pupils, of whatever school and round: what was read at another number has to be read again."""
    return session.exec(select(func.max(ObjectionRegister.id)).where(ObjectionRegister.objections > 0)).one() or 0


def persons_in_force(session: Session) -> set[str]:
    """Pseudonyms of everybody about whom an objection is in force."""
    return set(session.exec(select(ObjectionPerson.person).distinct()))


def persons_of(session: Session, campaign: str, schools: Collection[str]) -> set[str]:
    """The same of the registers of these schools alone."""
    return {
        person
        for some in _in_pieces(sorted(schools))
        for person in session.exec(select(ObjectionPerson.person).where(col(ObjectionPerson.objection_id).in_(_objections(campaign, some))))
    }


def forget_persons(session: Session, campaign: str, schools: Collection[str]) -> None:
    """The registers of these schools are in force no more: another version of each is."""
    for some in _in_pieces(sorted(schools)):
        session.execute(delete(ObjectionPerson).where(col(ObjectionPerson.objection_id).in_(_objections(campaign, some))))


def add_persons(change: Change, campaign: str, persons: Mapping[int, Set[str]]) -> int:
    """What the population register in use says of objections in force: id → pseudonyms; answers how many are new to the ledger.

    Whom a register once knew an objection to be about stays: its next version may lack the number, and the pupil come by address.
    """
    session = change.session
    known = {
        pair
        for some in _in_pieces(sorted(persons))
        for pair in session.exec(
            select(ObjectionPerson.objection_id, ObjectionPerson.person).where(col(ObjectionPerson.objection_id).in_(some))
        )
    }
    new = [(number, person) for number, found in sorted(persons.items()) for person in sorted(found) if (number, person) not in known]
    session.add_all(ObjectionPerson(objection_id=number, person=person) for number, person in new)
    ask_withdrawal(change, campaign, {person for _, person in new})
    return len(new)


def ask_withdrawal(change: Change, campaign: str, persons: Set[str]) -> None:
    """Have the results of these persons taken out of the store. Without any result there is nothing to ask: what is linked from now on
    leaves them out. Needs `lock_objections`."""
    session = change.session
    if not persons or session.exec(select(Part.drop).limit(1)).first() is None:
        return
    asked = {
        person
        for some in _in_pieces(sorted(persons))
        for person in session.exec(select(PendingWithdrawal.person).where(col(PendingWithdrawal.person).in_(some)))
    }
    session.add_all(PendingWithdrawal(person=person, campaign=campaign, asked_at=change.now) for person in sorted(persons - asked))


def call_off(change: Change, persons: Set[str]) -> None:
    """These objections were withdrawn: whose results are still there keeps them, unless another objection is about the same person."""
    for some in _in_pieces(sorted(persons)):
        in_force = set(change.session.exec(select(ObjectionPerson.person).where(col(ObjectionPerson.person).in_(some))))
        change.session.execute(delete(PendingWithdrawal).where(col(PendingWithdrawal.person).in_(set(some) - in_force)))


def pending_withdrawals(session: Session) -> dict[str, datetime]:
    """Whose results are still to go, and since when."""
    return dict(session.exec(select(PendingWithdrawal.person, PendingWithdrawal.asked_at)).all())


def withdrawal_is_pending(session: Session) -> bool:
    return session.exec(select(PendingWithdrawal.person).limit(1)).first() is not None


def carried_out(session: Session, persons: Collection[str]) -> None:
    """The results of these persons are out of the store."""
    for some in _in_pieces(sorted(persons)):
        session.execute(delete(PendingWithdrawal).where(col(PendingWithdrawal.person).in_(some)))


def _objections(campaign: str, schools: list[str]) -> Select[Any]:
    registers = select(ObjectionRegister.id).where(ObjectionRegister.campaign == campaign, col(ObjectionRegister.school).in_(schools))
    return sa_select(col(Objection.id)).where(col(Objection.register_id).in_(registers))


def _in_pieces(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while piece := list(islice(rest, AT_ONCE)):
        yield piece
