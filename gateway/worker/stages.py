"""What a drop's effects do: check, link, erase, receipt. Each reads the ledger, calls a stage, writes the ledger; each may be
repeated, and finds out from the ledger that it was done already.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import BinaryIO

import structlog

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.objections import read_objection_register
from gateway.checks.recipients import about_key
from gateway.checks.stream import Limits, open_delivery
from gateway.drop.lifecycle import Effect, Event, State
from gateway.linker.drop import LinkOutcome, link_drop
from gateway.linker.results import write_part
from gateway.store.campaigns import campaign_for
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.drops import drop_schools, live_register, same_bytes
from gateway.store.durable import make_folder
from gateway.store.home import Home
from gateway.store.ledger import Change, drop_of
from gateway.store.models import Campaign, Drop, DropSchool, ObjectionRegister, Part
from gateway.store.objections import hand_in, newest_registers
from gateway.worker.erasure import erase
from gateway.worker.known import Known
from gateway.worker.objections import keyed
from gateway.worker.receipts import write_receipt
from gateway.worker.recipient_keys import delivery_keys
from gateway.worker.register import PersonRegister
from gateway.worker.scanner import Scanning, scanned
from keys.sealing import unseal
from policies.calendar import day_of, end_of_day
from policies.objections import may_link
from policies.retention import last_call
from policies.rules import Rules

log = structlog.get_logger()

#: findings kept in ledger and receipt; the total is kept beside them
KEPT_FINDINGS = 1_000
#: a drop that waits for something without a date is looked at again after this
RETRY = timedelta(minutes=5)


@dataclass(frozen=True)
class Work:
    """What the stages need: the home, the rules, and what is kept in memory between drops."""

    home: Home
    rules: Rules
    persons: PersonRegister
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", Known(self.home))


def carry_out(work: Work, effect: Effect, drop_id: str) -> None:
    """Do one effect of one drop."""
    effects: dict[Effect, Callable[[Work, str], None]] = {
        Effect.CHECK: check,
        Effect.LINK: link,
        Effect.ERASE: lambda work, drop_id: erase(work.home, drop_id),
        Effect.RECEIPT: lambda work, drop_id: write_receipt(work.home, drop_id),
    }
    effects[effect](work, drop_id)


# ---------------------------------------------------------------- check


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
        outcome = _refused(refusal)
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        if not outcome.refused and same_bytes(change.session, drop) is not None:  # both were being read at once
            outcome = _refused(DropRefused(finding("duplicate-drop")))
        _state_outcome(change, drop, campaign, outcome)


def _check_delivery(work: Work, drop: Drop, campaign: Campaign) -> Outcome:
    with _delivery(work, drop) as (plain, told), _scanned(work, drop, plain) as (stream, require_clean):
        checked = Checked(stream, _context(work, drop, campaign), work.rules)
        for _batch in checked.batches():
            pass  # nothing is kept: linking reads the drop once more
        outcome = checked.outcome
        if not outcome.refused:
            require_clean()
    return replace(outcome, findings=[*told, *outcome.findings], findings_total=len(told) + outcome.findings_total)


def _refused(refusal: DropRefused) -> Outcome:
    truncated = any(found.rule == "truncated" for found in refusal.findings)
    return Outcome(refused=True, truncated=truncated, counts={}, findings=list(refusal.findings), findings_total=len(refusal.findings))


def _state_outcome(change: Change, drop: Drop, campaign: Campaign | None, outcome: Outcome) -> None:
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


@contextmanager
def _delivery(work: Work, drop: Drop) -> Iterator[tuple[BinaryIO, list[Finding]]]:
    """The decrypted stream of a drop, and what to tell of the key that it was encrypted to; nothing of it touches a disk."""
    home = work.home
    key = unseal(sealed_key_of(home.mortal.read(DROP_KEYS, drop.id)), home.epochs.identity(drop.epoch))
    keys = delivery_keys(home, drop.received_at)
    limits = Limits(max_plain_bytes=home.config.worker.max_expanded_bytes)
    with home.blob(drop.id).open("rb") as blob:
        told = about_key(blob, key, keys)
        taken = [one for one in keys if one.taken]
        openpgp = [one.openpgp for one in taken if one.openpgp is not None]
        with open_delivery(blob, key, [one.identity for one in taken], limits, openpgp) as stream:
            yield stream, told


@contextmanager
def _scanned(work: Work, drop: Drop, plain: BinaryIO) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """The delivery past the malware scanner, and what to call before anything of it counts: DropRefused (`malware`) unless it is clean."""
    with scanned(work.home.config.scan, plain) as scanning:
        if scanning is None:
            yield plain, lambda: None
        else:
            yield scanning.stream, lambda: _require_clean(work, drop, scanning)


def _require_clean(work: Work, drop: Drop, scanning: Scanning) -> None:
    signature = scanning.verdict()
    with work.home.ledger.change("worker", origin=drop.vendor) as change:
        change.audit("drop.scanned", drop.id, result="refused" if signature else "ok", signature=signature)
    if signature:
        raise DropRefused(finding("malware", topic=signature))


def _context(work: Work, drop: Drop, campaign: Campaign) -> CheckContext:
    day = day_of(drop.received_at)
    with work.home.ledger.view() as session:
        return CheckContext(
            vendor=drop.vendor,
            today=day,
            deliver_until=campaign.deliver_until,
            schools=work.known.schools(session, campaign, day),
            objections=work.known.objections(session, campaign.name),
        )


def _keep_objections(work: Work, drop: Drop, campaign: Campaign) -> Outcome | None:
    """Keep the register in this drop; None when that is done, else why not."""
    with work.home.ledger.view() as session:
        known = work.known.schools(session, campaign, day_of(drop.received_at))
    may_speak_for = {code for code, standing in known.items() if standing.vendor == drop.vendor}
    with _delivery(work, drop) as (plain, told), _scanned(work, drop, plain) as (stream, require_clean):
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


# ---------------------------------------------------------------- link


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
        with _delivery(work, drop) as (stream, _):
            checked = Checked(stream, _context(work, drop, campaign), work.rules)
            register, key = work.persons.load(persons)
            outcome = link_drop(
                checked.batches(), register, key, set(decision.linkable), None, home.pseudonyms("person"), home.pseudonyms("school")
            )
        if checked.outcome.refused:
            raise DropRefused(*checked.outcome.findings)
    except DropRefused as refusal:  # a school left, a consent ended, since the drop was accepted
        with home.ledger.change("worker") as change:
            _state_outcome(change, drop_of(change.session, drop_id), campaign, _refused(refusal))
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
