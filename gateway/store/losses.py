"""What a restored home has not, although its ledger tells of it: each such thing ends here in the open, and whoever has to act is told.

No drop is in a backup, nor the register of persons, nor a bundle; objections are, and can be read only with a key that is not. So drops
that were held are erased, bundles are withdrawn, and registers of objections that can't be read, or are not the newest, count for nothing.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, date

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from gateway.drop.lifecycle import MAY_ERASE, Effect, Event, Raw, RawEvent, State
from gateway.drop.receipt import RESTORED
from gateway.store.campaigns import objection_key_ended
from gateway.store.ledger import Change
from gateway.store.models import (
    AuditRow,
    Bundle,
    Campaign,
    Drop,
    Objection,
    ObjectionPerson,
    ObjectionRegister,
    Part,
    RegisterVersion,
)
from gateway.store.objections import LOST
from gateway.store.publication import KEY_DESTROYED, forgotten, withdraw
from gateway.store.replay import Replay
from gateway.store.replay_objections import RemoveRows, register_told, remove_again
from gateway.store.takeover import OBJECTIONS
from keys.secret import Secret
from policies.calendar import day_of
from policies.objections import registers_end_from

#: how the log says that there was nothing to destroy
METHOD = "not in the backup: neither its key nor its ciphertext came into this home"
#: the same of the key of a day
NOT_IN_BACKUP = "not in the backup"


@dataclass
class Losses:
    """Counts, and what can be named."""

    #: drops that the vendor is to deliver again, by vendor
    deliver_again: dict[str, list[str]] = field(default_factory=dict)
    #: schools that are to hand in their register again, by campaign
    registers: dict[str, list[str]] = field(default_factory=dict)
    #: campaigns of which bundles were withdrawn because their keys are gone
    publish_again: set[str] = field(default_factory=set)
    erased: int = 0
    bundles: int = 0
    persons: int = 0
    #: of objections that came after the backup: taken out of its results once more
    rows_withdrawn: int = 0


def begin(replay: Replay, log_is_whole: bool, remove_rows: RemoveRows) -> Losses:
    """Say of everything that is lost that it is; what is erased is begun. Unless `log_is_whole`, any register may have been replaced."""
    losses = Losses()
    losses.rows_withdrawn = remove_again(replay.home, replay.change, replay.removed, remove_rows)
    sources = _registers(replay, losses, log_is_whole)
    _drops(replay, losses, sources)
    _bundles(replay, losses)
    for version in replay.change.session.exec(select(RegisterVersion).where(col(RegisterVersion.live), RegisterVersion.key_name != "")):
        version.live = False
        losses.persons += 1
    return losses


def complete(change: Change) -> list[str]:
    """Verify the erasures that were begun, and end the days that are over: their keys are not here. Answers the days.

    Whoever calls this has made sure that there is no key and no ciphertext of a drop.
    """
    for drop in change.session.exec(select(Drop).where(Drop.raw == Raw.MAYBE_ERASED).order_by(col(Drop.id))):
        change.advance_raw(drop, RawEvent.ERASURE_VERIFIED, verified="drop key and ciphertext are absent")
        change.ask(drop.id, Effect.RECEIPT)
    begun = change.session.exec(select(AuditRow.object).where(AuditRow.action == "epoch.destruction-begun")).all()
    ended = change.session.exec(select(AuditRow.object).where(AuditRow.action == "epoch.destroyed")).all()
    days = {*begun, *(day.isoformat() for day in change.session.exec(select(col(Drop.epoch))))} - set(ended)
    over = sorted(day for day in days if date.fromisoformat(day) < change.now.astimezone(UTC).date())
    for day in over:  # a day that is not over has a new key by now, which ends as any other
        change.audit("epoch.destroyed", day, reason=NOT_IN_BACKUP)
    return over


def _registers(replay: Replay, losses: Losses, log_is_whole: bool) -> set[str]:
    """Registers that can't be read, or that a newer one replaced which was lost, count for nothing; answers the drops they came in."""
    session, sources, today = replay.change.session, set(), day_of(replay.change.now)
    for campaign in session.exec(select(Campaign).order_by(col(Campaign.name))).all():
        lost = {school: register_told(told) for (name, school), told in replay.registers.items() if name == campaign.name}
        if campaign.objections_ended_at is not None:  # nothing is held against them any more: they are facts, and the log has those
            session.add_all(lost.values())
            continue
        readable = replay.home.mortal.exists(OBJECTIONS, campaign.name)
        if not readable and not objection_key_ended(session, campaign.name):
            # named as lost, so that a copy of the old key that turns up later is not taken for this one
            replay.change.audit("key.lost", f"{OBJECTIONS}/{campaign.name}")
            replay.home.mortal.create(OBJECTIONS, campaign.name, Secret(os.urandom(32)))
        rows = session.exec(
            select(ObjectionRegister).where(ObjectionRegister.campaign == campaign.name).order_by(col(ObjectionRegister.version))
        )
        newest = {row.school: row for row in rows} | lost
        gone = sorted(lost if readable and log_is_whole else newest)
        for school in gone:
            sources.add(newest[school].source)
            newest[school].source = LOST
            session.add(newest[school])
        _blank(session, campaign.name, gone)
        # the others' end comes by itself, as soon as the worker runs
        if again := gone if today < registers_end_from(campaign.deliver_until, campaign.objections_until) else sorted(lost):
            losses.registers[campaign.name] = again
    return sources


def _blank(session: Session, campaign: str, schools: list[str]) -> None:
    """The registers of these schools name no number any more. Whom they are known to be about stays, so that nobody of them is linked
    before the school has handed in its register again."""
    lists = select(col(ObjectionRegister.id)).where(ObjectionRegister.campaign == campaign, col(ObjectionRegister.school).in_(schools))
    known = select(ObjectionPerson.objection_id)
    these = col(Objection.register_id).in_(lists)
    session.execute(delete(Objection).where(these, col(Objection.id).not_in(known)))
    session.execute(update(Objection).where(these).values(bsn_mac=None, onderwijsnummer_mac=None))


def _drops(replay: Replay, losses: Losses, sources: set[str]) -> None:
    """A drop that was held is erased; one of which nothing came, or what came of it is lost, is to be delivered again."""
    change = replay.change
    linked = set(change.session.exec(select(Part.drop)))
    for drop in change.session.exec(select(Drop).order_by(col(Drop.id))).all():
        state = State(drop.state)
        came_to_nothing = (
            state not in MAY_ERASE
            or (state is State.LINKED and drop.id not in linked)
            # a register; what a withdrawal did is told by the log
            or (state is State.REGISTERED and drop.folder == "bezwaren" and (drop.id in sources or drop.id in replay.drops))
        )
        if came_to_nothing:
            change.advance(drop, Event.LOST)
            drop.notices = [*drop.notices, RESTORED]
            losses.deliver_again.setdefault(drop.vendor, []).append(drop.id)
        if drop.raw != Raw.ERASED:
            change.advance_raw(drop, RawEvent.ERASURE_BEGUN, method=METHOD)
            losses.erased += 1
        if drop.id in replay.drops:
            change.ask(drop.id, Effect.RECEIPT)


def _bundles(replay: Replay, losses: Losses) -> None:
    """Every bundle is withdrawn: neither its key nor its file is here."""
    change = replay.change
    known = {row.detail["bundle"] for row in change.session.exec(select(AuditRow).where(AuditRow.action == KEY_DESTROYED))}
    for bundle in change.session.exec(select(Bundle).order_by(col(Bundle.id))).all():
        if bundle.withdrawn_at is None:
            withdraw(change, bundle.id, "lost before a restore")
            losses.publish_again.add(bundle.campaign)
            losses.bundles += 1
        if bundle.id not in known:
            forgotten(change, bundle)
