"""Reading a drop for the first time: its state after that, or the objection register that is kept of it."""

from dataclasses import replace

from sqlmodel import Session

from gateway.checks.check import Checked, Outcome, require_in_time
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.objections import read_objection_register
from gateway.checks.withdrawal import told_apart
from gateway.drop.lifecycle import Event, State
from gateway.store.campaigns import calendars, campaign_for, campaigns_for_objections, days_of
from gateway.store.drops import same_bytes
from gateway.store.ledger import Change, drop_of
from gateway.store.models import Campaign, Drop, DropSchool
from gateway.store.objections import hand_in, newest_registers
from gateway.worker.kept_findings import keep_findings
from gateway.worker.objections import ReadObjections
from gateway.worker.reading import Work, clean, context_of, opened
from gateway.worker.withdrawing import carry_out_withdrawal
from policies.calendar import day_of
from policies.campaign import next_delivery, next_objections

#: the folder in which objection registers come
OBJECTIONS = "bezwaren"


def check(work: Work, drop_id: str) -> None:
    """Read the drop once, keep nothing of it, and say what it is: accepted, rejected, incomplete, a register that was kept, or a
    withdrawal that was carried out."""
    home = work.home
    with home.ledger.view() as session:
        drop = drop_of(session, drop_id)
        if drop.state != State.RECEIVED:
            return
        campaigns = _campaigns(work, session, drop)
        earlier = same_bytes(session, drop)
    try:
        if earlier is not None:
            raise DropRefused(finding("duplicate-drop"))
        if not campaigns:
            raise DropRefused(_before_its_time(work, drop))
        if drop.folder == OBJECTIONS:
            outcome = _keep_objections(work, drop, campaigns)
        else:
            outcome = _check_delivery(work, drop, campaigns[0])
        if outcome is None:
            return
    except DropRefused as refusal:
        outcome = refused_outcome(refusal)
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        if drop.state != State.RECEIVED:  # it was taken back, or its window ended, while it was read
            return
        if not outcome.refused and same_bytes(change.session, drop) is not None:  # both were being read at once
            outcome = refused_outcome(DropRefused(finding("duplicate-drop")))
        state_outcome(change, drop, campaigns[0] if campaigns else None, outcome)


def _campaigns(work: Work, session: Session, drop: Drop) -> list[Campaign]:
    """The rounds for which a drop counts: a delivery for one; an objection register for each that takes objections, and it was in time."""
    day, window = day_of(drop.received_at), work.home.config.retention.window_days
    if drop.folder == OBJECTIONS:
        return campaigns_for_objections(session, day, window)
    found = campaign_for(session, day, window)
    return [] if found is None else [found]


def _before_its_time(work: Work, drop: Drop) -> Finding:
    """Of a drop for which no round has begun: when to come back, if a round is planned."""
    with work.home.ledger.view() as session:
        rounds = calendars(session, work.home.config.retention.window_days)
    day, register = day_of(drop.received_at), drop.folder == OBJECTIONS
    begins = next_objections(day, rounds) if register else next_delivery(day, rounds)
    return finding("no-campaign") if begins is None else finding("objections-too-early" if register else "too-early", day=begins)


def _check_delivery(work: Work, drop: Drop, campaign: Campaign) -> Outcome | None:
    """What the checks say of a delivery; None when it was a withdrawal of others, and they were withdrawn."""
    days = days_of(campaign, work.home.config.retention.window_days)
    with opened(work, drop) as (plain, told), clean(work, drop, plain) as (scanned, require_clean):
        is_withdrawal, stream = told_apart(scanned)
        if is_withdrawal:  # at any time, also when results would come too late
            return carry_out_withdrawal(work.home, drop, campaign, stream, told, require_clean)
        require_in_time(day_of(drop.received_at), days.deliver_from, days.deliver_until)  # once: a round's days may change later
        checked = Checked(stream, context_of(work, drop, campaign), work.rules)
        for _batch in checked.batches():
            pass  # nothing is kept: linking reads the drop once more
        outcome = checked.outcome
        if not outcome.refused:
            require_clean()
    return replace(outcome, findings=[*told, *outcome.findings], findings_total=len(told) + outcome.findings_total)


def refused_outcome(refusal: DropRefused) -> Outcome:
    truncated = any(found.rule == "truncated" for found in refusal.findings)
    return Outcome(refused=True, truncated=truncated, counts={}, findings=list(refusal.findings), findings_total=len(refusal.findings))


def state_outcome(change: Change, drop: Drop, campaign: Campaign | None, outcome: Outcome) -> None:
    drop.campaign = campaign.name if campaign else None
    keep_findings(drop, outcome.findings, outcome.findings_total)
    drop.counts = dict(outcome.counts)
    event = Event.TRUNCATED if outcome.truncated else Event.CHECKS_FAILED if outcome.refused else Event.CHECKS_PASSED
    versions = newest_registers(change.session, campaign.name, outcome.schools) if campaign and outcome.schools else {}
    for code, count in sorted(outcome.schools.items()):
        register = versions.get(code)
        change.session.merge(
            DropSchool(
                drop=drop.id,
                school=code,
                rows=count.rows,
                pupils=count.pupils,
                objected_pupils=count.objected_pupils,
                objection_register=register.version if register else None,
            )
        )
    change.session.flush()
    rules = sorted({found.rule for found in outcome.findings})
    change.advance(drop, event, campaign=drop.campaign, rules=rules, **outcome.counts)


def _keep_objections(work: Work, drop: Drop, campaigns: list[Campaign]) -> Outcome | None:
    """Keep the register in this drop, in each of the rounds in which its schools take part; None when that is done, else why not."""
    day = day_of(drop.received_at)
    with work.home.ledger.view() as session:
        known = {campaign.name: work.known.schools(session, campaign, day) for campaign in campaigns}
    may_speak_for = {
        name: {code for code, standing in schools.items() if standing.enrolled and standing.vendor == drop.vendor}
        for name, schools in known.items()
    }
    with opened(work, drop) as (plain, told), clean(work, drop, plain) as (stream, require_clean):
        register = read_objection_register(stream, set().union(*may_speak_for.values()), day)
        if not register.refused:
            require_clean()
    findings, total = [*told, *register.findings], len(told) + register.findings_total
    if register.refused:
        return Outcome(True, register.truncated, register.counts, findings, total)
    read = ReadObjections(work.home, register.schools)
    with work.home.ledger.change("worker", origin=drop.vendor) as change:
        fresh = drop_of(change.session, drop.id)
        rows = {name: read.keyed(change, name, schools) for name, schools in may_speak_for.items()}
        fresh.campaign = next((name for name in rows if rows[name]), campaigns[0].name)
        keep_findings(fresh, findings, total)
        fresh.counts = register.counts
        versions: dict[str, int] = {}
        for name in rows:
            versions = {**hand_in(change, name, rows[name], source=drop.id), **versions}  # the drop names the version of its first round
        change.session.flush()
        for school, version in versions.items():
            count = len(register.schools[school])
            change.session.merge(DropSchool(drop=drop.id, school=school, rows=count, pupils=count, objection_register=version))
        change.advance(fresh, Event.OBJECTIONS_KEPT, schools=len(versions))
    return None
