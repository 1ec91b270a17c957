"""Linking a drop: read once more, joined to the register of persons, and kept under pseudonyms."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from gateway.checks.check import Checked, Outcome
from gateway.checks.findings import DropRefused, finding
from gateway.checks.tally import SchoolCount
from gateway.drop.lifecycle import Effect, Event, State
from gateway.linker.drop import LinkOutcome, link_drop
from gateway.linker.results import write_part
from gateway.store.counting import hold_schools, rivals_of, state_replaced
from gateway.store.drops import drop_schools, live_register
from gateway.store.durable import make_folder, move_durably
from gateway.store.ledger import Change, drop_of
from gateway.store.models import Campaign, Drop, Part
from gateway.store.objecting_persons import lock_objections, newest_objections, persons_in_force
from gateway.store.objections import newest_registers
from gateway.store.parts import attempt_file
from gateway.worker.checking import refused_outcome, state_outcome
from gateway.worker.kept_findings import say_now
from gateway.worker.reading import Work, context_of, opened
from gateway.worker.replacing import counted_rivals
from policies.calendar import day_of, end_of_day
from policies.objections import may_link
from policies.retention import last_call
from policies.rules import ObjectingPupils

log = structlog.get_logger()

#: a drop that waits for something without a date is looked at again after this
RETRY = timedelta(minutes=5)
#: the finding that tells of rows which were left out because a parent objected
OBJECTING = "objecting-pupils"
#: the findings that tell of results which stood in the drop twice, and what the linker counts them as
REPEATED = {"repeated-results": "repeated_results", "contradictory-results": "contradictory_results"}


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
        rests_on = _read(session, campaign.name, schools)
        objected = persons_in_force(session)
        persons = live_register(session, "persons")
    now = home.clock()
    closing = end_of_day(campaign.objections_until)
    call = last_call(drop.erase_before)
    decision = may_link(now >= closing, {school: school in rests_on.registers for school in schools}, now >= call)
    if not decision.may_begin or persons is None:
        reasons = [*decision.waiting_for, *([] if persons else ["person-register"])]
        _wait(work, drop_id, reasons, closing if now < closing else call if persons else now)
        return
    incident: dict[str, SchoolCount] = {}
    # a parent who objected since the drop was accepted made no fault of it: that pupil is left out, whatever the policy
    rules = replace(work.rules, objecting_pupils=ObjectingPupils.STRIP)
    try:
        with opened(work, drop) as (stream, _):
            checked = Checked(stream, context_of(work, drop, campaign), rules)
            register, key = work.persons.load(persons)
            outcome = link_drop(
                checked.batches(),
                register,
                key,
                set(decision.linkable),
                objected,
                home.pseudonyms("person"),
                home.pseudonyms("school"),
                work.rules.schooljaren_of_leavers(day_of(drop.received_at)),
            )
        if checked.outcome.refused:
            raise DropRefused(*checked.outcome.findings)
        if outcome.objected_rows and work.rules.objecting_pupils is ObjectingPupils.REJECT:
            incident = {school: SchoolCount(0, 0, pupils) for school, pupils in outcome.objected.items()}
            raise DropRefused(finding("objecting-pupils-refused", count=outcome.objected_rows))
    except DropRefused as refusal:  # a school left, a consent ended, since the drop was accepted
        with home.ledger.change("worker") as change:
            fresh = drop_of(change.session, drop_id)
            if fresh.state == State.ACCEPTED:
                state_outcome(change, fresh, campaign, replace(refused_outcome(refusal), schools=incident))
        return
    make_folder(home.results / campaign.name)
    file = f"{campaign.name}/{drop_id}.parquet"
    attempt = attempt_file(file)
    try:
        facts = write_part(outcome.results, home.results / attempt)
        rivals = counted_rivals(home, drop, attempt)
        with home.ledger.change("worker") as change:
            lock_objections(change.session, to_change=False)
            hold_schools(change.session, [drop_id])
            fresh = drop_of(change.session, drop_id)
            if fresh.state != State.ACCEPTED:  # another worker linked it, or its window ended, meanwhile: this one changes nothing
                return
            # a parent objected, or another drop of these schools was linked or taken back, while this was read: it is read again
            if _read(change.session, campaign.name, schools) != rests_on or rivals_of(change.session, fresh) != list(rivals):
                change.ask(drop_id, Effect.LINK)
                return
            change.session.merge(Part(drop=drop_id, campaign=campaign.name, file=file, rows=facts.rows, sha256=facts.sha256))
            _state_linked(change, fresh, checked.outcome, outcome, rests_on.registers)
            state_replaced(change, fresh, rivals)
            move_durably(home.results / attempt, home.results / file)
    finally:
        (home.results / attempt).unlink(missing_ok=True)


@dataclass(frozen=True)
class _RestsOn:
    """What a linking was made of. It may say more than it has to: an objection elsewhere makes it look again, and find the same."""

    registers: dict[str, int]  # version of each of the drop's schools
    objections: int
    persons: int | None  # version of the population register


def _read(session: Session, campaign: str, schools: list[str]) -> _RestsOn:
    """Read before the objections themselves: they are never older than this says."""
    objections = newest_objections(session)
    versions = {school: register.version for school, register in newest_registers(session, campaign, schools).items()}
    persons = live_register(session, "persons")
    return _RestsOn(versions, objections, persons.id if persons else None)


def _state_linked(change: Change, drop: Drop, checked: Outcome, linked: LinkOutcome, versions: dict[str, int]) -> None:
    drop.linked_at = change.now
    drop.counts = {**checked.counts, **{f"linking_{name}": count for name, count in linked.counts.items()}}
    drop.counts["objected_pupils"] += linked.counts["objected"]
    say_now(drop, OBJECTING, checked.by_rule.get(OBJECTING, 0) + linked.objected_rows)
    for rule, counted in REPEATED.items():
        say_now(drop, rule, linked.counts[counted])
    for row in drop_schools(change.session, drop.id):
        if (count := checked.schools.get(row.school)) is not None:
            row.rows, row.pupils, row.objected_pupils = count.rows, count.pupils, count.objected_pupils
        row.objected_pupils += linked.objected.get(row.school, 0)
        row.objection_register = versions.get(row.school)
        row.linked_pupils = linked.schools.get(row.school, 0)
        change.session.add(row)
    change.advance(drop, Event.PERSONS_FOUND, campaign=drop.campaign, **linked.counts)


def _wait(work: Work, drop_id: str, reasons: list[str], until: datetime) -> None:
    """Note what a drop waits for and come back at `until` at the latest; a register that comes in wakes it earlier."""
    with work.home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        if drop.state != State.ACCEPTED:  # it was taken back, or its window ended: it waits for nothing
            return
        if drop.waiting_for != reasons:
            drop.waiting_for = reasons
            change.audit("drop.waiting", drop_id, reasons=reasons)
            change.ask(drop_id, Effect.RECEIPT)
        change.session.add(drop)
        change.ask(drop_id, Effect.LINK, after=until - change.now if until > change.now else RETRY)
    log.info("drop waits", drop=drop_id, reasons=reasons)
