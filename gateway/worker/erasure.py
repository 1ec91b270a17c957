"""Erasure: what ends an identifier is the end of a key; the file goes after it.

Each step may be repeated, and a crash or an error between two of them leaves "maybe erased", which is done again; it never reads as
success (the intent is in the audit log before, the outcome after). What ends a day's key stands in gateway.worker.epochs.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlmodel import Session, col, select

from gateway.drop.lifecycle import MAY_ERASE, Effect, Event, Raw, RawEvent, State
from gateway.store.auditing import entry_now, log_directly, sequence
from gateway.store.drop_keys import DROP_KEYS, held_keys
from gateway.store.drops import holding
from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow, Drop
from gateway.store.parts import drop_of_file, rewriting_parts
from gateway.worker.ended import Ended
from policies.errors import Refused, Unsound, code_of
from policies.retention import erase_before, is_due

log = structlog.get_logger()

#: how the certificate names what is done (NIST SP 800-88r1, 2.5: cryptographic erase of data that was never stored in plaintext)
METHOD = "cryptographic erase: drop key overwritten and unlinked, then the ciphertext unlinked"

FAILED = "drop.erasure-failed"
#: a failure that lasts is told to the audit log so often, of each drop
TELL_FAILURE = timedelta(days=1)


def erase(home: Home, drop_id: str, actor: str = "worker") -> None:
    """End what is left of the delivered bytes of a drop whose state allows it, and of results that are nobody's. Does nothing when it is
    done already.

    Any error leaves it as it was, or "maybe erased": to be done again.
    """
    drop = erase_bytes(home, drop_id, actor)
    if drop.state != State.LINKED and drop.campaign is not None and not _remove_loose_results(home, drop.campaign, drop_id):
        raise Refused("results-read", "The results store is being read: what was taken back goes after that.", "It is tried again.")


def erase_bytes(home: Home, drop_id: str, actor: str) -> Drop:
    """The same of the bytes alone, for who sees no results (systemd/sluis-retention.service): what asked for the erasure of the drop goes
    on asking the worker for the rest."""
    with home.ledger.change(actor) as change:
        drop = drop_of(change.session, drop_id)
        if drop.raw == Raw.ERASED:
            return drop
        change.advance_raw(drop, RawEvent.ERASURE_BEGUN, method=METHOD)
    try:
        sequence(home)  # the intent stands in the log before anything irreversible happens
    except Exception:
        if not is_due(drop.erase_before, home.clock()):
            raise
        # at the window's end the promise outranks the record: the intent is in the ledger, and the log is told when it can be
        log.error("audit log behind", drop=drop_id, exc_info=True)
    home.mortal.destroy(DROP_KEYS, drop_id)
    unlink_durably(home.blob(drop_id))
    verify_gone(home, drop_id)
    with home.ledger.change(actor) as change:
        drop = drop_of(change.session, drop_id)
        if drop.raw != Raw.ERASED:
            change.advance_raw(drop, RawEvent.ERASURE_VERIFIED, verified="drop key and ciphertext are absent")
            change.ask(drop_id, Effect.RECEIPT)
    return drop


def _remove_loose_results(home: Home, campaign: str, drop_id: str) -> bool:
    """A worker that was killed while it linked may have left results that never became the ledger's, and those of a drop that was taken
    back are nobody's any more. False: somebody reads the results just now."""
    folder = home.results / campaign
    loose = [path for path in folder.iterdir() if drop_of_file(path.name) == drop_id] if folder.is_dir() else []
    if not loose:
        return True
    with rewriting_parts(home) as alone:
        for path in loose if alone else ():
            unlink_durably(path)
    return alone


def verify_gone(home: Home, drop_id: str) -> None:
    """Unsound when the key or the ciphertext can still be found."""
    if home.mortal.exists(DROP_KEYS, drop_id) or home.blob(drop_id).exists():
        raise Unsound(
            "erasure-incomplete", "A drop's key or its bytes are still there after erasure.", "Run `sluis doctor`; erasure is tried again."
        )


def end_window(home: Home, actor: str = "retention", half_done: bool = False) -> Ended:
    """Expire and erase every drop whose window has ended, linked or not, and with `half_done` complete every erasure that was begun.

    One that fails holds up no other. It is logged each time, and told to the audit log once in a while (`drop.erasure-failed`).
    """
    now = home.clock()
    with home.ledger.view() as session:
        due = [drop.id for drop in holding(session) if is_due(drop.erase_before, now) or (half_done and drop.raw == Raw.MAYBE_ERASED)]
    ended = Ended()
    for drop_id in due:
        try:
            with home.ledger.change(actor) as change:
                drop = drop_of(change.session, drop_id)
                if State(drop.state) not in MAY_ERASE:
                    change.advance(drop, Event.WINDOW_ENDED, erase_before=drop.erase_before.isoformat(), was=drop.state)
            erase_bytes(home, drop_id, actor)
            ended.gone.append(drop_id)
        except Exception as error:  # whatever it is, the other drops have to end too
            ended.failed[drop_id] = code_of(error)
            log.error("erasure failed", drop=drop_id, error=code_of(error), exc_info=True)
            with suppress(Exception):  # the ledger may be what failed
                _tell_failure(home, drop_id, actor, code_of(error))
    return ended


def complete_keys(home: Home) -> Ended:
    """End the drop keys that a crash left on their way out: whose they were only the ledger could tell, while it is there."""
    try:
        home.mortal.finish(DROP_KEYS)
    except Exception as error:  # whatever it is, other keys have to end
        log.error("drop keys half destroyed", error=code_of(error), exc_info=True)
        return Ended(failed={"drop keys on their way out": code_of(error)})
    return Ended()


def end_overdue_keys(home: Home, actor: str = "retention") -> Ended:
    """Destroy the keys of the drops whose window has ended, by files alone: for while the ledger is away. Their bytes are noise then;
    `end_window` removes them, and tells what became of the drops, once the ledger is back."""
    now, window = home.clock(), home.config.retention.window_days
    ended = Ended()
    for key in held_keys(home.mortal):
        if not is_due(erase_before(key.received_at, window), now):
            continue
        with suppress(Exception):  # at the window's end the promise outranks the record
            log_directly(home, [entry_now(home, actor, "drop.key-destruction-begun", key.drop, reason="window ended")])
        try:
            home.mortal.destroy(DROP_KEYS, key.drop)
        except Exception as error:  # whatever it is, the other keys have to end too
            ended.failed[key.drop] = code_of(error)
            log.error("drop key not destroyed", drop=key.drop, error=code_of(error), exc_info=True)
            continue
        ended.gone.append(key.drop)
        try:
            log_directly(home, [entry_now(home, actor, "drop.key-destroyed", key.drop)])
        except Exception as error:
            ended.untold[key.drop] = code_of(error)
            log.error("drop key destroyed, not recorded", drop=key.drop, error=code_of(error), exc_info=True)
    return ended


def _tell_failure(home: Home, drop_id: str, actor: str, code: str) -> None:
    with home.ledger.change(actor) as change:
        drop_of(change.session, drop_id)  # locked: two processes that fail at once tell it once
        said = select(AuditRow.id).where(
            AuditRow.object == drop_id, AuditRow.action == FAILED, col(AuditRow.time) > change.now - TELL_FAILURE
        )
        if change.session.exec(said).first() is None:
            change.audit(FAILED, drop_id, result="failed", error=code)


def failures_of_erasure(session: Session, drops: Collection[str]) -> set[str]:
    """With which errors the erasure of any of these drops was told to have failed."""
    rows = session.exec(select(AuditRow.object, AuditRow.detail).where(AuditRow.action == FAILED))
    return {str(detail["error"]) for drop, detail in rows if drop in drops}
