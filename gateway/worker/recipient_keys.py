"""The keys that vendors encrypt to, as the worker keeps them: which may open a delivery, and the end of those that open nothing more."""

from datetime import datetime, timedelta

import structlog

from gateway.checks.recipients import DeliveryKey
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.store.recipient_keys import OBJECT, due_recipients, life_of, prepare_recipients, recipient_keys, state_destroyed
from policies.calendar import day_of
from policies.recipients import Standing, standing

log = structlog.get_logger()


def keep_recipients(home: Home) -> None:
    """What time asks for: the right key is handed out, and those that have nothing left to open are gone."""
    prepare_recipients(home)
    if ended := end_recipients(home):
        log.info("recipient keys", destroyed=ended)


def end_recipients(home: Home, actor: str = "worker") -> list[str]:
    """Destroy every key that has nothing left to open; answers their names. The intent is in the log before, the outcome after."""
    due = due_recipients(home)
    for name in due:
        with home.ledger.change(actor) as change:
            change.audit("key.destruction-begun", OBJECT.format(name), reason="nothing is left that it opens")
        sequence(home)
        home.recipients.destroy(name)
        with home.ledger.change(actor) as change:
            state_destroyed(change.session, name, change.now)
            change.audit("key.destroyed", OBJECT.format(name), reason="nothing is left that it opens")
    return due


def delivery_keys(home: Home, received_at: datetime) -> list[DeliveryKey]:
    """The keys that may have been used for what was received then, newest first, as each counts for it."""
    identities = home.recipients.identities()
    with home.ledger.view() as session:
        known = recipient_keys(session)
    found = []
    for key in reversed(known):
        if (identity := identities.get(key.name)) is None:
            continue
        counts = standing(life_of(key), received_at)
        if counts is Standing.CURRENT or key.retired_at is None or key.taken_until is None:
            found.append(DeliveryKey(identity))
            continue
        last_day = day_of(key.taken_until - timedelta(microseconds=1)) if counts is Standing.OVERLAPPING else None
        found.append(DeliveryKey(identity, day_of(key.retired_at), last_day))
    return found
