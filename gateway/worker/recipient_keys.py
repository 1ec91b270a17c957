"""The keys that vendors encrypt to, as the worker keeps them: which may open a delivery, and the end of those that open nothing more."""

from datetime import datetime, timedelta

import structlog

from gateway.checks.recipients import DeliveryKey
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.store.recipient_keys import (
    OBJECT,
    due_recipients,
    is_past_its_end,
    life_of,
    prepare_recipients,
    recipient_keys,
    state_destroyed,
)
from gateway.worker.ended import Ended
from policies.calendar import day_of
from policies.errors import code_of
from policies.recipients import Standing, standing

log = structlog.get_logger()

#: why a key ends by itself, as the audit log says it
REASON = "nothing is left that it opens"


def keep_recipients(home: Home) -> None:
    """What time asks for: the keys that have nothing left to open are gone, and the right one is handed out."""
    ended = end_recipients(home)
    for complaint in ended.complaints():
        log.error("retention incomplete", problem=complaint)
    if ended.gone:
        log.info("recipient keys", destroyed=ended.gone)
    try:
        prepare_recipients(home)
    except Exception as error:  # what came in already goes on
        log.error("recipient keys not prepared", error=code_of(error), exc_info=True)


def end_recipients(home: Home, actor: str = "worker") -> Ended:
    """Destroy every key that has nothing left to open. The intent is in the log before, the outcome after; what fails is tried again."""
    ended = Ended()
    for name in due_recipients(home):
        try:
            with home.ledger.change(actor) as change:
                change.audit("key.destruction-begun", OBJECT.format(name), reason=REASON)
            try:
                sequence(home)
            except Exception:
                if not is_past_its_end(home, name):
                    raise
                # at the window's end the promise outranks the record: the intent is in the ledger
                log.error("audit log behind", key=name, exc_info=True)
            home.recipients.destroy(name)
            with home.ledger.change(actor) as change:
                state_destroyed(change.session, name, change.now)
                change.audit("key.destroyed", OBJECT.format(name), reason=REASON)
        except Exception as error:  # whatever it is, the other keys have to end too
            log.error("recipient key not destroyed", key=name, exc_info=True)
            ended.failed[name] = code_of(error)
        else:
            ended.gone.append(name)
    return ended


def delivery_keys(home: Home, received_at: datetime) -> list[DeliveryKey]:
    """The keys that may have been used for what was received then, newest first, as each counts for it."""
    identities, openpgp = home.recipients.identities(), home.recipients.openpgp_keys()
    with home.ledger.view() as session:
        known = recipient_keys(session)
    found = []
    for key in reversed(known):
        if (identity := identities.get(key.name)) is None:
            continue
        counts = standing(life_of(key), received_at)
        if counts is Standing.CURRENT or key.retired_at is None or key.taken_until is None:
            found.append(DeliveryKey(identity, openpgp=openpgp.get(key.name)))
            continue
        last_day = day_of(key.taken_until - timedelta(microseconds=1)) if counts is Standing.OVERLAPPING else None
        found.append(DeliveryKey(identity, day_of(key.retired_at), last_day, openpgp.get(key.name)))
    return found
