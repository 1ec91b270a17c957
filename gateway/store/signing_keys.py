"""Vendors' signing keys (OpenPGP): with one in force, what its vendor delivers has to be signed by it."""

from datetime import datetime

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import VendorSigningKey
from gateway.store.vendors import vendor_of
from keys.signing_keys import SigningKey
from policies.errors import NotFound, Refused


def signing_keys(session: Session, name: str, at: datetime | None = None) -> list[VendorSigningKey]:
    """A vendor's signing keys, oldest first: those in force now, or those that were at a moment."""
    statement = select(VendorSigningKey).where(VendorSigningKey.vendor == name)
    revoked_at = col(VendorSigningKey.revoked_at)
    if at is None:
        statement = statement.where(revoked_at.is_(None))
    else:
        statement = statement.where(col(VendorSigningKey.added_at) <= at, revoked_at.is_(None) | (revoked_at > at))
    return list(session.exec(statement.order_by(col(VendorSigningKey.added_at), col(VendorSigningKey.id))))


def add_signing_key(change: Change, name: str, key: SigningKey) -> None:
    """What comes in from now on has to be signed by this key, or by another of the vendor's. One that it has already takes its new form (a
    later end, another subkey). NotFound (`no-such-vendor`); Refused (`key-in-use`)."""
    vendor_of(change.session, name)
    since = change.now
    same = (VendorSigningKey.fingerprint == key.fingerprint, col(VendorSigningKey.revoked_at).is_(None))
    for known in change.session.exec(select(VendorSigningKey).where(*same)):
        if known.vendor != name:
            raise Refused("key-in-use", "That key belongs to a vendor already.", f"Vendor {known.vendor} has it.")
        if not known.public_key:  # it was lost: what came meanwhile has to be signed by it, too
            since = known.added_at
        known.revoked_at = since
        change.session.add(known)
    change.session.add(
        VendorSigningKey(vendor=name, fingerprint=key.fingerprint, public_key=key.armoured, valid_until=key.valid_until, added_at=since)
    )
    change.audit("vendor.signing-key-added", f"vendor:{name}", key=key.fingerprint)


def remove_signing_key(change: Change, name: str, fingerprint: str) -> int:
    """What comes in from now on is not signed by this key; how many are left. What was received before is still judged by it. NotFound:
    `no-such-vendor`, `no-such-key`."""
    vendor_of(change.session, name)
    known = signing_keys(change.session, name)
    key = next((key for key in known if key.fingerprint == fingerprint.replace(" ", "").upper()), None)
    if key is None:
        raise NotFound("no-such-key", "The vendor has no such signing key.", f"`sluis vendor signing-key list {name}` shows them.")
    key.revoked_at = change.now if key.public_key else key.added_at  # one that was lost judges nothing
    change.session.add(key)
    change.audit("vendor.signing-key-removed", f"vendor:{name}", key=key.fingerprint)
    return len(known) - 1
