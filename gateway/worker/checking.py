"""Reading a drop for the first time: its state after that, or the objection register that is kept of it."""

from dataclasses import replace

from gateway.checks.check import Checked, Outcome
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.objections import read_objection_register
from gateway.drop.lifecycle import Event, State
from gateway.store.campaigns import campaign_for
from gateway.store.drops import same_bytes
from gateway.store.ledger import Change, drop_of
from gateway.store.models import Campaign, Drop, DropSchool
from gateway.store.objections import hand_in, newest_registers
from gateway.worker.objections import keyed
from gateway.worker.reading import Work, clean, context_of, opened
from policies.calendar import day_of

#: findings kept in ledger and receipt; the total is kept beside them
KEPT_FINDINGS = 1_000


def check(work: Work, drop_id: str) -> None:
    """Read the drop once, keep nothing of it, and say what it is: accepted, rejected, incomplete, or a register that was kept."""
    home = work.home
    with home.ledger.view() as session:
        drop = drop_of(session, drop_id)
        if drop.state != State.RECEIVED:
            return
        campaign = campaign_for(session, day_of(drop.received_at))
        earlier = same_bytes(session, drop)
    try:
        if earlier is not None:
            raise DropRefused(finding("duplicate-drop"))
        if campaign is None:
            raise DropRefused(finding("no-campaign"))
        if drop.folder == "bezwaren":
            outcome = _keep_objections(work, drop, campaign)
            if outcome is None:
                return
        else:
            outcome = _check_delivery(work, drop, campaign)
    except DropRefused as refusal:
        outcome = refused_outcome(refusal)
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        if not outcome.refused and same_bytes(change.session, drop) is not None:  # both were being read at once
            outcome = refused_outcome(DropRefused(finding("duplicate-drop")))
        state_outcome(change, drop, campaign, outcome)


def _check_delivery(work: Work, drop: Drop, campaign: Campaign) -> Outcome:
    with opened(work, drop) as (plain, told), clean(work, drop, plain) as (stream, require_clean):
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
    _keep_findings(drop, outcome.findings, outcome.findings_total)
    drop.counts = dict(outcome.counts)
    event = Event.TRUNCATED if outcome.truncated else Event.CHECKS_FAILED if outcome.refused else Event.CHECKS_PASSED
    if event is Event.CHECKS_PASSED:
        versions = newest_registers(change.session, campaign.name, outcome.schools) if campaign else {}
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


def _keep_findings(drop: Drop, findings: list[Finding], total: int) -> None:
    drop.findings = [found.as_dict() for found in findings[:KEPT_FINDINGS]]
    drop.findings_total = total


def _keep_objections(work: Work, drop: Drop, campaign: Campaign) -> Outcome | None:
    """Keep the register in this drop; None when that is done, else why not."""
    with work.home.ledger.view() as session:
        known = work.known.schools(session, campaign, day_of(drop.received_at))
    may_speak_for = {code for code, standing in known.items() if standing.vendor == drop.vendor}
    with opened(work, drop) as (plain, told), clean(work, drop, plain) as (stream, require_clean):
        register = read_objection_register(stream, may_speak_for)
        if not register.refused:
            require_clean()
    findings, total = [*told, *register.findings], len(told) + register.findings_total
    if register.refused:
        return Outcome(True, register.truncated, register.counts, findings, total)
    rows = keyed(work.home.objection_key(campaign.name), register.schools)
    with work.home.ledger.change("worker", origin=drop.vendor) as change:
        fresh = drop_of(change.session, drop.id)
        fresh.campaign = campaign.name
        _keep_findings(fresh, findings, total)
        fresh.counts = register.counts
        versions = hand_in(change, campaign.name, rows, source=drop.id)
        change.session.flush()
        for school, version in versions.items():
            change.session.merge(
                DropSchool(drop=drop.id, school=school, rows=len(rows[school]), pupils=len(rows[school]), objection_register=version)
            )
        change.advance(fresh, Event.OBJECTIONS_KEPT, schools=len(versions))
    return None
