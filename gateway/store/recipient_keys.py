"""Which key vendors are given, and which campaign it serves: one is current, the ledger knows since when, and the public file follows.

A key's file is durable before the ledger says that it is there, and published after: whatever a crash leaves between, `prepare_recipients`
completes. So vendors are only given a key that can be opened, and never again one that was replaced.
"""

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from sqlmodel import Session, col, select

from audit import document
from gateway.drop import handed_keys
from gateway.store.campaigns import campaign_for
from gateway.store.drops import holding
from gateway.store.ledger import Change
from gateway.store.models import Campaign, RecipientKey
from keys.public_key import write_public
from keys.recipients import OPENPGP_FILE, Recipients
from policies.calendar import day_of
from policies.errors import NotFound, Unsound, code_of
from policies.recipients import Life, Step, may_destroy, next_step, taken_until

if TYPE_CHECKING:
    from gateway.store.home import Home

log = structlog.get_logger()

#: how the audit log names such a key
OBJECT = "recipients/{}"


def recipient_name(object: str) -> str:
    """The key that an entry of the audit log is about."""
    return object.removeprefix(OBJECT.format(""))


def recipient_keys(session: Session) -> list[RecipientKey]:
    """Every key there ever was, oldest first."""
    return list(session.exec(select(RecipientKey).order_by(col(RecipientKey.made_at), col(RecipientKey.name))))


def current_key(session: Session) -> RecipientKey | None:
    """The key that vendors are given; None only before `prepare_recipients`."""
    return session.exec(select(RecipientKey).where(col(RecipientKey.retired_at).is_(None))).first()


def life_of(key: RecipientKey) -> Life:
    return Life(key.retired_at, key.taken_until)


def handed_out(home: "Home") -> RecipientKey | None:
    """The key whose public half vendors find, if it is the current one and what they encrypt to it can be opened."""
    with home.ledger.view() as session:
        key = current_key(session)
    try:
        return key if key is not None and home.recipients.is_published(key.name) and _is_signed(home) else None
    except NotFound:
        return None


def prepare_recipients(home: "Home", actor: str = "worker") -> str:
    """Exactly one key is current, it serves the campaign that takes deliveries now, and vendors find it, when this returns; its name.

    The first campaign takes over a key that serves none, so nothing changes for vendors; another campaign gets a key of its own. Keys that
    the ledger does not know (of a home before it kept them, or made when a crash came) are entered: the newest counts.
    """
    with home.recipients.alone():
        try:
            home.recipients.clean()
        except (OSError, Unsound) as error:  # tried again each time; one that can't be overwritten holds up no other
            log.error("recipient keys half destroyed", error=code_of(error), exc_info=True)
        with home.ledger.change(actor) as change:
            overlap = home.config.recipients.overlap_days
            current = _known(change, home.recipients, overlap)
            taking = _taking(change, home.config.retention.window_days)
            match next_step(current.campaign, taking, _is_over(change, current)):
                case Step.ADOPT:
                    current.campaign = taking
                    change.session.add(current)
                    change.audit("key.adopted", OBJECT.format(current.name), campaign=taking)
                case Step.REPLACE:
                    current = _replace(change, home.recipients, current, taking, overlap, "another campaign takes deliveries")
                case Step.END:
                    current = _replace(change, home.recipients, current, None, 0, "the campaign is over and its drops are erased")
            if home.recipients.lacks_openpgp(current.name):
                current = _replace(change, home.recipients, current, current.campaign, overlap, "vendors may use OpenPGP too")
        _publish(home, current.name)
    return current.name


def rotate_recipients(home: "Home", actor: str, reason: str, at_once: bool = False) -> tuple[RecipientKey, RecipientKey]:
    """A new key for the same campaign, which vendors find when this returns, and the one that it replaced. That one is taken for the
    overlap, or with `at_once` for nothing that comes in from now on."""
    with home.recipients.alone():
        with home.ledger.change(actor) as change:
            overlap = home.config.recipients.overlap_days
            old = _known(change, home.recipients, overlap)
            made = _replace(change, home.recipients, old, old.campaign, 0 if at_once else overlap, reason)
        _publish(home, made.name)
    return made, old


def hand_out_another(home: "Home", actor: str, name: str, reason: str) -> None:
    """Vendors are not given the key `name` when this returns, and it is taken no more if they were."""
    if prepare_recipients(home, actor) == name:
        rotate_recipients(home, actor, reason, at_once=True)


def due_recipients(home: "Home") -> list[str]:
    """The keys that have nothing left to open, oldest first."""
    now, window = home.clock(), home.config.retention.window_days
    with home.ledger.view() as session:
        held = [drop.received_at for drop in holding(session)]
        return [key.name for key in recipient_keys(session) if not key.destroyed_at and may_destroy(life_of(key), now, held, window)]


def is_past_its_end(home: "Home", name: str) -> bool:
    """Whether the window of all that a key may open has ended, so that it ends whatever else is so."""
    everything = [datetime.min.replace(tzinfo=UTC)]  # as if something were held
    with home.ledger.view() as session:
        key = session.get(RecipientKey, name)
    return key is not None and may_destroy(life_of(key), home.clock(), everything, home.config.retention.window_days)


def state_destroyed(session: Session, name: str, at: datetime) -> None:
    """The key's file is gone since `at`: the ledger says so, if it ever knew the key."""
    if (key := session.get(RecipientKey, name)) is not None:
        key.retired_at = key.retired_at or at
        key.taken_until = min(key.taken_until or at, at)
        key.destroyed_at = key.destroyed_at or at
        session.add(key)


def _publish(home: "Home", name: str) -> None:
    """Vendors find this key, and the gateway's signature over it, when this returns. NotFound (`key-gone`)."""
    home.recipients.publish(name)
    write_public(home.public / handed_keys.FILE, _signed(home))


def _signed(home: "Home") -> str:
    """What vendors find, as a signed document. The same keys give the same text: so Ed25519 signs."""
    public = home.recipients.public_file
    files = {path.name: path.read_bytes() for path in (public, public.with_name(OPENPGP_FILE)) if path.is_file()}
    return document.write(document.sign(handed_keys.compose(home.recipients.public(), files), home.audit_signer())).decode().strip()


def _is_signed(home: "Home") -> bool:
    path = home.public / handed_keys.FILE
    return path.is_file() and path.read_text(encoding="utf-8").strip() == _signed(home)


def _known(change: Change, recipients: Recipients, overlap_days: int) -> RecipientKey:
    """The current key, after the ledger has learnt of the keys in the store; a new one when there is none."""
    names = recipients.names()
    entered = {key.name: key for key in recipient_keys(change.session)}
    living = []
    for key in entered.values():
        if key.retired_at is None and key.name in names:
            living.append(key)
        elif key.retired_at is None:  # the store of keys was lost, and what it opened with it
            state_destroyed(change.session, key.name, change.now)
            change.audit("key.lost", OBJECT.format(key.name))
    for name in names:
        if name not in entered:
            living.append(RecipientKey(name=name, made_at=recipients.made_at(name) or change.now))
            change.session.add(living[-1])
            change.audit("key.entered", OBJECT.format(name))
    if not living:
        living.append(_make(change, recipients, None))
        if entered:  # the first key is part of making the home, as its other keys are
            change.audit("key.made", OBJECT.format(living[0].name))
        return living[0]
    *older, newest = sorted(living, key=lambda key: names.index(key.name))
    for key in older:
        _retire(change, key, overlap_days)
    return newest


def _taking(change: Change, window_days: int) -> str | None:
    """The campaign that takes what is delivered today; None between campaigns."""
    today = day_of(change.now)
    found = campaign_for(change.session, today, window_days)
    return found.name if found is not None and found.deliver_until >= today else None


def _is_over(change: Change, key: RecipientKey) -> bool:
    """Whether the key's campaign takes nothing any more, and nothing that was delivered is held."""
    campaign = change.session.get(Campaign, key.campaign) if key.campaign is not None else None
    return campaign is not None and campaign.deliver_until < day_of(change.now) and not holding(change.session)


def _make(change: Change, recipients: Recipients, campaign: str | None) -> RecipientKey:
    key = RecipientKey(name=f"{change.now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", campaign=campaign, made_at=change.now)
    recipients.make(key.name)
    change.session.add(key)
    return key


def _retire(change: Change, key: RecipientKey, overlap_days: int) -> datetime:
    key.retired_at = change.now
    key.taken_until = taken_until(change.now, overlap_days)
    change.session.add(key)
    return key.taken_until


def _replace(
    change: Change, recipients: Recipients, old: RecipientKey, campaign: str | None, overlap_days: int, reason: str
) -> RecipientKey:
    made = _make(change, recipients, campaign)
    until = _retire(change, old, overlap_days)
    change.audit(
        "key.rotated", OBJECT.format(made.name), campaign=campaign, replaced=old.name, taken_until=until.isoformat(), reason=reason
    )
    return made
