"""Late objections: a person's results are taken out of the store after they were linked.

Whoever hands in an objection only notes the persons (gateway/store/objecting_persons.py). Here all of them go at once: each part that holds
one is written anew under another name, durably; then one transaction makes the new parts count, says so in the log and ends the notes; then
the old files go. A crash before that transaction leaves files that nobody counts, after it files that are replaced: the next time removes
both. Nobody who is noted comes back by a linking: gateway/worker/linking.py reads again what was linked while objections changed.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlmodel import Session, col, select

from gateway.drop.row_ranges import texts_of
from gateway.linker.results import Removal, remove_persons
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import Drop, DropSchool, Part
from gateway.store.objecting_persons import carried_out, lock_objections, pending_withdrawals, withdrawal_is_pending
from gateway.store.parts import next_file, remove_replaced, rewriting_parts
from gateway.store.touched import touch_reports
from gateway.store.withdrawn import forget_bundles

log = structlog.get_logger()

#: what the log says, of a school in a campaign
ACTION = "results.withdrawn"
#: and of a part
ROWS = "results.rows-withdrawn"


@dataclass(frozen=True)
class Withdrawal:
    """What was taken out: `complete` unless somebody was reading the results just then, so that it is still to be done."""

    complete: bool = True
    rows: int = 0
    parts: int = 0
    reports: int = 0  # that held some of them


@dataclass(frozen=True)
class _Rewritten:
    """A part, and what it is to be replaced by."""

    part: Part
    file: str
    removal: Removal


def withdraw_persons(home: Home, actor: str = "worker") -> Withdrawal:
    """Take the results of everybody whose withdrawal is pending out of all parts, of all campaigns. May be repeated at any time.

    Unsound (`results-part`) when a part can't be read: then nothing is taken out and all of it stays noted.
    """
    with home.ledger.view() as session:
        if not withdrawal_is_pending(session):
            return Withdrawal()
    with rewriting_parts(home) as alone:
        if not alone:
            return Withdrawal(complete=False)
        while (done := _withdraw(home, actor)) is None:
            log.info("objections changed while results were withdrawn")
        remove_replaced(home)
    if done.reports:
        forget_bundles(home, actor)
    if done.rows:
        log.info("results withdrawn", rows=done.rows, parts=done.parts, reports=done.reports)
    return done


def _withdraw(home: Home, actor: str) -> Withdrawal | None:
    """None when what it rests on changed meanwhile."""
    with home.ledger.view() as session:
        pending = pending_withdrawals(session)
        parts = session.exec(select(Part).order_by(col(Part.drop))).all()
    rewritten = []
    for part in parts:
        file = next_file(part.file)
        if (removal := remove_persons(home.results / part.file, pending.keys(), home.results / file)) is not None:
            rewritten.append(_Rewritten(part, file, removal))
    with home.ledger.change(actor) as change:
        lock_objections(change.session)
        if not _still(change.session, pending, rewritten):
            return None
        told = _tell(home, change, rewritten)
        now = {row.drop: row for row in change.session.exec(select(Part))}
        for one in rewritten:
            row = now[one.part.drop]
            for rows in texts_of(one.removal.rows):  # so that the same can go out of a backup's part
                change.audit(ROWS, one.part.drop, campaign=row.campaign, was=row.sha256, now=one.removal.facts.sha256, rows=rows)
            row.file, row.rows, row.sha256 = one.file, one.removal.facts.rows, one.removal.facts.sha256
            change.session.add(row)
        touched = touch_reports(change, told)
        carried_out(change.session, pending)
    return Withdrawal(True, sum(len(one.removal.rows) for one in rewritten), len(rewritten), len(touched))


def _still(session: Session, pending: Mapping[str, datetime], rewritten: list[_Rewritten]) -> bool:
    """Whether each of these is still to go, asked for when it was, and each part is the one that was read. An objection withdrawn and made
    again in between may have let results through that nobody has looked at."""
    now = pending_withdrawals(session)
    files = dict(session.exec(select(Part.drop, Part.file).order_by(Part.drop).with_for_update()).all())
    return all(now.get(person) == asked for person, asked in pending.items()) and all(
        files.get(one.part.drop) == one.part.file for one in rewritten
    )


def _tell(home: Home, change: Change, rewritten: list[_Rewritten]) -> dict[str, datetime]:
    """An entry per campaign and school; answers the schools' codes, and when the first drop was linked that their results came with."""
    # of all parts at once: one by one it takes the ledger many seconds, when a country's objections come late
    drops = change.session.exec(select(Drop.id, Drop.linked_at, Drop.received_at).join(Part, col(Part.drop) == Drop.id))
    linked = {drop: linked_at or received_at for drop, linked_at, received_at in drops}
    codes = change.session.exec(select(DropSchool.school).join(Part, col(Part.drop) == DropSchool.drop).distinct()).all()
    code_of = dict(zip(home.pseudonyms("school").many(codes), codes, strict=True))
    since: dict[str, datetime] = {}
    rows: defaultdict[tuple[str, str], int] = defaultdict(int)
    persons: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for one in rewritten:
        linked_at = linked[one.part.drop]
        for (person, school), count in one.removal.persons.items():
            place = one.part.campaign, code_of[school]
            rows[place] += count
            persons[place].add(person)
            since[code_of[school]] = min(linked_at, since.get(code_of[school], linked_at))
    for (campaign, code), count in sorted(rows.items()):
        change.audit(ACTION, code, campaign=campaign, rows=count, persons=len(persons[campaign, code]))
    return since
