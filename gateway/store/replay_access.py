"""What a restore makes of who may come in: doors that were shut since the backup are shut, and what opened one is not in the log."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import update
from sqlmodel import col, select

from audit.entry import Entry
from gateway.store.host_keys import host_key_names
from gateway.store.models import Campaign, Credential, RecipientKey, Vendor, VendorCa, VendorKey, VendorSigningKey
from gateway.store.recipient_keys import recipient_name, state_destroyed
from gateway.store.signing_keys import signing_keys

if TYPE_CHECKING:
    from gateway.store.replay import Player, Replay


def vendor_told(replay: "Replay", name: str, entry: Entry) -> Vendor:
    """The vendor; one that the backup does not know is closed: its keys are not in the log."""
    vendor = replay.change.session.get(Vendor, name)
    if vendor is None:
        vendor = Vendor(name=name, created_at=entry.time, removed_at=entry.time)
        replay.change.session.add(vendor)
        replay.change.session.flush()
    return vendor


def _named(entry: Entry) -> str:
    return entry.object.removeprefix("vendor:")


def vendor_added(replay: "Replay", entry: Entry) -> bool:
    vendor_told(replay, _named(entry), entry)
    return False


def vendor_closed(replay: "Replay", entry: Entry) -> bool:
    """Nothing that this vendor had opens its account. Also when it withdrew keys or certificates, since the log says only how many."""
    vendor = vendor_told(replay, _named(entry), entry)
    vendor.removed_at = entry.time
    signing = (VendorSigningKey,) if entry.action == "vendor.removed" else ()  # else what it delivers has to be signed as before
    for table in (VendorKey, VendorCa, *signing):
        unrevoked = (col(table.vendor) == vendor.name) & col(table.revoked_at).is_(None)
        replay.change.session.execute(update(table).where(unrevoked).values(revoked_at=entry.time))
    return entry.action == "vendor.removed"


def signing_key_added(replay: "Replay", entry: Entry) -> bool:
    """What had to be signed still has to be, by a key that is not in the log: nothing of its vendor is read until it is added again."""
    vendor, fingerprint = vendor_told(replay, _named(entry), entry), str(entry.detail["key"])
    if not any(key.fingerprint == fingerprint for key in signing_keys(replay.change.session, vendor.name)):
        lost = VendorSigningKey(vendor=vendor.name, fingerprint=fingerprint, public_key="", added_at=entry.time)
        replay.change.session.add(lost)
        replay.change.session.flush()
    return False


def revoked(table: type[VendorKey] | type[VendorCa] | type[VendorSigningKey], name: str) -> "Player":
    def play(replay: "Replay", entry: Entry) -> bool:
        this = (col(table.vendor) == _named(entry)) & (col(table.fingerprint) == entry.detail[name])
        replay.change.session.execute(update(table).where(this, col(table.revoked_at).is_(None)).values(revoked_at=entry.time))
        return True

    return play


def key_extended(replay: "Replay", entry: Entry) -> bool:
    until = str(entry.detail["valid_until"])
    this = (col(VendorKey.vendor) == _named(entry)) & (col(VendorKey.fingerprint) == entry.detail["key"])
    changed = update(VendorKey).where(this).values(valid_until=datetime.fromisoformat(until) if until else None)
    replay.change.session.execute(changed)
    return True


def credential_ended(replay: "Replay", entry: Entry) -> bool:
    """A new credential ended the one before, too; what it is, only the letter says."""
    living = (col(Credential.board) == entry.object) & col(Credential.revoked_at).is_(None)
    replay.change.session.execute(update(Credential).where(living).values(revoked_at=entry.time))
    return entry.action == "credential.revoked"


def host_key_retired(replay: "Replay", entry: Entry) -> bool:
    kind, _, name = entry.object.partition("/")
    if [name] == host_key_names(replay.home)[:1] and len(host_key_names(replay.home)) == 1:
        return False  # its successor was made after the backup: the endpoint has no other
    replay.home.keystore.destroy(kind, name)
    return True


def recipient_made(replay: "Replay", entry: Entry) -> bool:
    """A key for vendors that the backup does not know, and the end of the one before: one that leaked is not taken again."""
    session, told = replay.change.session, entry.detail
    for before in session.exec(select(RecipientKey).where(col(RecipientKey.retired_at).is_(None))):
        before.retired_at = entry.time
        before.taken_until = datetime.fromisoformat(str(told["taken_until"])) if "taken_until" in told else entry.time
    campaign = told.get("campaign")
    known = isinstance(campaign, str) and session.get(Campaign, campaign) is not None
    made = RecipientKey(name=recipient_name(entry.object), campaign=str(campaign) if known else None, made_at=entry.time)
    session.merge(made)
    return True


def recipient_gone(replay: "Replay", entry: Entry) -> bool:
    state_destroyed(replay.change.session, recipient_name(entry.object), entry.time)
    return True
