"""Vendors and their SSH keys. A vendor that is removed stays in the ledger, since its drops do; it just can't come in any more."""

import ipaddress
import re
from collections.abc import Sequence

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import Vendor, VendorKey
from gateway.store.ssh_keys import PublicKey
from policies.errors import NotFound, Refused

#: a vendor's name is a login and a folder's name
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def all_vendors(session: Session, removed: bool = False) -> list[Vendor]:
    """The vendors by name; `removed`: also those that were removed."""
    statement = select(Vendor).order_by(col(Vendor.name))
    if not removed:
        statement = statement.where(col(Vendor.removed_at).is_(None))
    return list(session.exec(statement))


def vendor_of(session: Session, name: str) -> Vendor:
    """The vendor; NotFound (`no-such-vendor`) also when it was removed."""
    vendor = session.get(Vendor, name)
    if vendor is None or vendor.removed_at is not None:
        raise NotFound("no-such-vendor", "There is no vendor of that name.", "`sluis vendor list` shows the ones there are.")
    return vendor


def vendor_keys(session: Session, name: str, revoked: bool = False) -> list[VendorKey]:
    """A vendor's keys, oldest first; `revoked`: also those that no longer count."""
    statement = select(VendorKey).where(VendorKey.vendor == name).order_by(col(VendorKey.added_at), col(VendorKey.id))
    if not revoked:
        statement = statement.where(col(VendorKey.revoked_at).is_(None))
    return list(session.exec(statement))


def check_sources(sources: Sequence[str]) -> list[str]:
    """Networks in their usual spelling; Refused (`bad-network`) when one is none."""
    try:
        return sorted({str(ipaddress.ip_network(source.strip(), strict=False)) for source in sources})
    except ValueError:
        raise Refused("bad-network", "That is not a network.", "Write it as 192.0.2.0/24 or 2001:db8::/32.") from None


def add_vendor(change: Change, name: str, keys: Sequence[PublicKey], sources: Sequence[str] = ()) -> Vendor:
    """A new vendor, or further keys for one there is; one that was removed comes back. Refused: `bad-vendor-name`, `key-in-use`.

    `sources` are the networks its new keys may come from; empty: any.
    """
    if not NAME.fullmatch(name):
        raise Refused(
            "bad-vendor-name", "A vendor's name has lower case letters, digits and hyphens, at most 32.", "It is its SFTP login too."
        )
    networks = check_sources(sources)
    vendor = change.session.get(Vendor, name)
    if vendor is None:
        vendor = Vendor(name=name, created_at=change.now)
    vendor.removed_at = None
    change.session.add(vendor)
    change.session.flush()
    for key in keys:
        holder = change.session.exec(
            select(VendorKey).where(VendorKey.fingerprint == key.fingerprint, col(VendorKey.revoked_at).is_(None))
        ).first()
        if holder is not None:
            raise Refused("key-in-use", "That key belongs to a vendor already.", f"Vendor {holder.vendor} has it.")
        change.session.add(VendorKey(vendor=name, fingerprint=key.fingerprint, public_key=key.text, sources=networks, added_at=change.now))
    change.audit("vendor.added", f"vendor:{name}", keys=[key.fingerprint for key in keys], sources=networks)
    return vendor


def remove_vendor(change: Change, name: str) -> None:
    """The vendor and all its keys no longer count, at once. NotFound when there is none."""
    vendor = vendor_of(change.session, name)
    for key in vendor_keys(change.session, name):
        _revoke(change, key)
    vendor.removed_at = change.now
    change.session.add(vendor)
    change.audit("vendor.removed", f"vendor:{name}")


def revoke_key(change: Change, name: str, fingerprint: str) -> None:
    """One key of a vendor no longer counts, at once. NotFound (`no-such-key`)."""
    vendor_of(change.session, name)
    found = [key for key in vendor_keys(change.session, name) if key.fingerprint == fingerprint]
    if not found:
        raise NotFound("no-such-key", "The vendor has no such key.", f"`sluis vendor show {name}` lists its keys.")
    for key in found:
        _revoke(change, key)
    change.audit("vendor.key-revoked", f"vendor:{name}", key=fingerprint)


def _revoke(change: Change, key: VendorKey) -> None:
    key.revoked_at = change.now
    change.session.add(key)


def may_enter(session: Session, name: str, fingerprint: str, address: str) -> bool:
    """Whether that key opens that vendor's account from that IP address, now."""
    vendor = session.get(Vendor, name)
    if vendor is None or vendor.removed_at is not None:
        return False
    return any(key.fingerprint == fingerprint and _allowed(key.sources, address) for key in vendor_keys(session, name))


def _allowed(sources: Sequence[str], address: str) -> bool:
    if not sources:
        return True
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return any(given in ipaddress.ip_network(source) for source in sources)
