"""Linking a drop: read once more, joined to the register of persons, and kept under pseudonyms."""

from datetime import datetime, timedelta

import structlog

from gateway.checks.check import Checked, Outcome
from gateway.checks.findings import DropRefused
from gateway.drop.lifecycle import Effect, Event, State
from gateway.linker.drop import LinkOutcome, link_drop
from gateway.linker.results import write_part
from gateway.store.drops import drop_schools, live_register
from gateway.store.durable import make_folder
from gateway.store.ledger import Change, drop_of
from gateway.store.models import Campaign, Drop, ObjectionRegister, Part
from gateway.store.objections import newest_registers
from gateway.worker.checking import refused_outcome, state_outcome
from gateway.worker.reading import Work, context_of, opened
from policies.calendar import day_of, end_of_day
from policies.objections import may_link
from policies.retention import last_call

log = structlog.get_logger()

#: a drop that waits for something without a date is looked at again after this
RETRY = timedelta(minutes=5)


def link(work: Work, drop_id: str) -> None:
    """Link an accepted drop when it may be linked; otherwise say what it waits for and come back."""
    home = work.home
    with home.ledger.view() as session:
        drop = drop_of(session, drop_id)
        if drop.state != State.ACCEPTED:
            return
        assert drop.campaign is not None
        campaign = session.get(Campaign, drop.campaign)
        assert campaign is not None
        schools = [school.school for school in drop_schools(session, drop_id)]
        registers = newest_registers(session, campaign.name, schools)
        persons = live_register(session, "persons")
    now = home.clock()
    closing = end_of_day(campaign.objections_until)
    call = last_call(drop.erase_before)
    decision = may_link(now >= closing, {school: school in registers for school in schools}, now >= call)
    if not decision.may_begin or persons is None:
        reasons = [*decision.waiting_for, *([] if persons else ["person-register"])]
        _wait(work, drop_id, reasons, closing if now < closing else call if persons else now)
        return
    try:
        with opened(work, drop) as (stream, _):
            checked = Checked(stream, context_of(work, drop, campaign), work.rules)
            register, key = work.persons.load(persons)
            outcome = link_drop(
                checked.batches(),
                register,
                key,
                set(decision.linkable),
                None,
                home.pseudonyms("person"),
                home.pseudonyms("school"),
                work.rules.schooljaren_of_leavers(day_of(drop.received_at)),
            )
        if checked.outcome.refused:
            raise DropRefused(*checked.outcome.findings)
    except DropRefused as refusal:  # a school left, a consent ended, since the drop was accepted
        with home.ledger.change("worker") as change:
            state_outcome(change, drop_of(change.session, drop_id), campaign, refused_outcome(refusal))
        return
    folder = home.results / campaign.name
    make_folder(folder)
    file = f"{campaign.name}/{drop_id}.parquet"
    facts = write_part(outcome.results, home.results / file)
    with home.ledger.change("worker") as change:
        fresh = drop_of(change.session, drop_id)
        if fresh.state != State.ACCEPTED:  # its window ended meanwhile: the erasure removes the part that nobody counts
            return
        counted = newest_registers(change.session, campaign.name, schools)
        if _versions(counted) != _versions(registers):  # a parent objected while this was read: it is read again
            change.ask(drop_id, Effect.LINK)
            return
        change.session.merge(Part(drop=drop_id, campaign=campaign.name, file=file, rows=facts.rows, sha256=facts.sha256))
        _state_linked(change, fresh, checked.outcome, outcome, _versions(registers))


def _versions(registers: dict[str, ObjectionRegister]) -> dict[str, int]:
    return {school: register.version for school, register in registers.items()}


def _state_linked(change: Change, drop: Drop, checked: Outcome, linked: LinkOutcome, versions: dict[str, int]) -> None:
    drop.linked_at = change.now
    drop.counts = {**checked.counts, **{f"linking_{name}": count for name, count in linked.counts.items()}}
    for row in drop_schools(change.session, drop.id):
        if (count := checked.schools.get(row.school)) is not None:
            row.rows, row.pupils, row.objected_pupils = count.rows, count.pupils, count.objected_pupils
        row.objection_register = versions.get(row.school)
        row.linked_pupils = linked.schools.get(row.school, 0)
        change.session.add(row)
    change.advance(drop, Event.PERSONS_FOUND, campaign=drop.campaign, **linked.counts)


def _wait(work: Work, drop_id: str, reasons: list[str], until: datetime) -> None:
    """Note what a drop waits for and come back at `until` at the latest; a register that comes in wakes it earlier."""
    with work.home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        if drop.waiting_for != reasons:
            drop.waiting_for = reasons
            change.audit("drop.waiting", drop_id, reasons=reasons)
            change.ask(drop_id, Effect.RECEIPT)
        change.session.add(drop)
        change.ask(drop_id, Effect.LINK, after=until - change.now if until > change.now else RETRY)
    log.info("drop waits", drop=drop_id, reasons=reasons)
