"""Vendors, their SSH keys and certificate authorities. A vendor that is removed stays in the ledger, since its drops do; it just can't
come in any more. Who may come in at a given moment is gateway/store/entrance.py's to say."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import Vendor, VendorCa, VendorKey, VendorSigningKey
from gateway.store.revocations import Entry, revoke
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


def vendor_cas(session: Session, name: str, removed: bool = False) -> list[VendorCa]:
    """A vendor's certificate authorities, oldest first; `removed`: also those that no longer count."""
    statement = select(VendorCa).where(VendorCa.vendor == name).order_by(col(VendorCa.added_at), col(VendorCa.id))
    if not removed:
        statement = statement.where(col(VendorCa.revoked_at).is_(None))
    return list(session.exec(statement))


def check_sources(sources: Sequence[str]) -> list[str]:
    """Networks in their usual spelling; Refused (`bad-network`) when one is none."""
    try:
        return sorted({str(ipaddress.ip_network(source.strip(), strict=False)) for source in sources})
    except ValueError:
        raise Refused("bad-network", "That is not a network.", "Write it as 192.0.2.0/24 or 2001:db8::/32.") from None


@dataclass(frozen=True)
class Terms:
    """From where and when a key or CA counts."""

    sources: Sequence[str] = ()  # networks; empty: any
    valid_from: datetime | None = None  # None: at once
    valid_until: datetime | None = None  # exclusive; None: for ever
    verify_required: bool = False  # of a security key: its user was verified by PIN or finger

    def checked(self, now: datetime) -> "Terms":
        """The same with networks in their usual spelling. Refused: `bad-network`, `bad-validity`."""
        start = max(now, self.valid_from or now)
        if self.valid_until is not None and self.valid_until <= start:
            raise Refused("bad-validity", "It would end before it begins.", "The end is exclusive, and lies in the future.")
        return replace(self, sources=check_sources(self.sources))


def add_vendor(change: Change, name: str, keys: Sequence[PublicKey], sources: Sequence[str] = (), terms: Terms | None = None) -> Vendor:
    """A new vendor, or further keys for one there is; one that was removed comes back. Refused: `bad-vendor-name`, `key-in-use`,
    and what `Terms` says no to.

    `sources` are the networks its new keys may come from (empty: any); `terms` instead of it says more.
    """
    if not NAME.fullmatch(name):
        raise Refused(
            "bad-vendor-name", "A vendor's name has lower case letters, digits and hyphens, at most 32.", "It is its SFTP login too."
        )
    terms = (terms or Terms(sources)).checked(change.now)
    vendor = change.session.get(Vendor, name)
    if vendor is None:
        vendor = Vendor(name=name, created_at=change.now)
    vendor.removed_at = None
    change.session.add(vendor)
    change.session.flush()
    for key in keys:
        _add_key(change, name, key, terms)
    change.audit("vendor.added", f"vendor:{name}", keys=[key.fingerprint for key in keys], **_told(terms))
    return vendor


def add_keys(change: Change, name: str, keys: Sequence[PublicKey], terms: Terms) -> None:
    """Further keys for a vendor there is. NotFound; Refused as in `add_vendor`, and `not-a-security-key`."""
    vendor_of(change.session, name)
    terms = terms.checked(change.now)
    for key in keys:
        _add_key(change, name, key, terms)
    change.audit("vendor.key-added", f"vendor:{name}", keys=[key.fingerprint for key in keys], **_told(terms))


def _add_key(change: Change, name: str, key: PublicKey, terms: Terms) -> None:
    if terms.verify_required and not key.text.startswith("sk-"):
        raise Refused("not-a-security-key", "Only a security key can verify its user.", "Its public key begins with sk-.")
    _check_free(change.session, key.fingerprint)
    change.session.add(
        VendorKey(
            vendor=name,
            fingerprint=key.fingerprint,
            public_key=key.text,
            sources=list(terms.sources),
            verify_required=terms.verify_required,
            added_at=change.now,
            valid_from=terms.valid_from,
            valid_until=terms.valid_until,
        )
    )
    change.session.flush()  # so that the same key twice in one file is noticed


def _check_free(session: Session, fingerprint: str) -> None:
    """Refused (`key-in-use`) when a vendor has that key already, as a key or as a CA: it would not be clear whose deliveries they are."""
    for table in (VendorKey, VendorCa):
        holder = session.exec(select(table.vendor).where(table.fingerprint == fingerprint, col(table.revoked_at).is_(None))).first()
        if holder is not None:
            raise Refused("key-in-use", "That key belongs to a vendor already.", f"Vendor {holder} has it.")


def _told(terms: Terms) -> dict[str, Any]:
    """What the audit log says of terms."""
    told: dict[str, Any] = {"sources": list(terms.sources)}
    for word, moment in (("valid_from", terms.valid_from), ("valid_until", terms.valid_until)):
        if moment is not None:
            told[word] = moment.isoformat()
    return told


def remove_vendor(change: Change, name: str) -> None:
    """The vendor, its keys, its CAs and its signing keys no longer count, at once. NotFound when there is none."""
    vendor = vendor_of(change.session, name)
    signing = change.session.exec(
        select(VendorSigningKey).where(VendorSigningKey.vendor == name, col(VendorSigningKey.revoked_at).is_(None))
    )
    for key in (*vendor_keys(change.session, name), *vendor_cas(change.session, name), *signing):
        key.revoked_at = change.now
        change.session.add(key)
    vendor.removed_at = change.now
    change.session.add(vendor)
    change.audit("vendor.removed", f"vendor:{name}")


def revoke_key(change: Change, name: str, fingerprint: str) -> None:
    """One key of a vendor no longer counts, at once (certificates for it: `revoke_entries`). NotFound (`no-such-key`)."""
    key = _key(change.session, name, fingerprint)
    key.revoked_at = change.now
    change.session.add(key)
    change.audit("vendor.key-revoked", f"vendor:{name}", key=fingerprint)


def extend_key(change: Change, name: str, fingerprint: str, valid_until: datetime | None) -> None:
    """Another end for a key; None: none. An expired key counts again. NotFound (`no-such-key`), Refused (`bad-validity`)."""
    key = _key(change.session, name, fingerprint)
    Terms(valid_from=key.valid_from, valid_until=valid_until).checked(change.now)
    key.valid_until = valid_until
    change.session.add(key)
    change.audit(
        "vendor.key-extended", f"vendor:{name}", key=fingerprint, valid_until="" if valid_until is None else valid_until.isoformat()
    )


def _key(session: Session, name: str, fingerprint: str) -> VendorKey:
    vendor_of(session, name)
    for key in vendor_keys(session, name):
        if key.fingerprint == fingerprint:
            return key
    raise NotFound("no-such-key", "The vendor has no such key.", f"`sluis vendor show {name}` lists its keys.")


# ---------------------------------------------------------------- certificates


def add_ca(change: Change, name: str, key: PublicKey, principals: Sequence[str], terms: Terms) -> VendorCa:
    """A key whose user certificates open the vendor's account, when they name one of `principals` (none given: the vendor's name).

    NotFound; Refused: `key-in-use`, `bad-principal`, `bad-network`, `bad-validity`.
    """
    vendor_of(change.session, name)
    terms = terms.checked(change.now)
    if any(not principal or len(principal) > 255 or not principal.isprintable() for principal in principals):
        raise Refused("bad-principal", "A principal is a name as it stands in a certificate.", "`ssh-keygen -L -f CERTIFICATE` shows it.")
    _check_free(change.session, key.fingerprint)
    ca = VendorCa(
        vendor=name,
        fingerprint=key.fingerprint,
        public_key=key.text,
        principals=sorted(set(principals)) or [name],
        sources=list(terms.sources),
        added_at=change.now,
        valid_from=terms.valid_from,
        valid_until=terms.valid_until,
    )
    change.session.add(ca)
    change.audit("vendor.ca-added", f"vendor:{name}", ca=key.fingerprint, **_told(terms))
    return ca


def ca_of(session: Session, name: str, fingerprint: str) -> VendorCa:
    """One CA of a vendor; NotFound (`no-such-ca`)."""
    vendor_of(session, name)
    for ca in vendor_cas(session, name):
        if ca.fingerprint == fingerprint:
            return ca
    raise NotFound("no-such-ca", "The vendor has no such CA.", f"`sluis vendor show {name}` lists its CAs.")


def remove_ca(change: Change, name: str, fingerprint: str) -> None:
    """No certificate of that CA counts any more, at once. NotFound (`no-such-ca`)."""
    ca = ca_of(change.session, name, fingerprint)
    ca.revoked_at = change.now
    change.session.add(ca)
    change.audit("vendor.ca-removed", f"vendor:{name}", ca=fingerprint)


def revoke_entries(change: Change, name: str, entries: Sequence[Entry]) -> int:
    """Withdraw keys and certificates of a vendor, at once; answers how many entries are new. NotFound when there is no such vendor."""
    vendor_of(change.session, name)
    new = revoke(change, name, entries)
    change.audit("vendor.revoked", f"vendor:{name}", entries=len(entries), new=new)
    return new
