"""Who may come in, now: one vendor's account, opened by one of its keys or by a certificate that one of its CAs signed.

The same questions go to the database in the same order whether the account, the key and the CA exist or not: neither the answer nor its
time tells which accounts there are.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import Vendor, VendorCa, VendorKey, VendorLogin
from gateway.store.revocations import is_revoked
from gateway.store.ssh_offers import USER, Certificate, Offer
from gateway.store.ssh_wire import Malformed

#: critical options of a certificate that are honoured (PROTOCOL.certkeys); any other makes it worthless here, force-command above all
HONOURED = {"source-address"}

#: what signs a vendor's certificates
CA_ALGORITHMS = frozenset({
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
})  # fmt: skip


@dataclass(frozen=True)
class Admission:
    """Whether a key opens an account, and until when."""

    reason: str = ""  # why not, for the log and never for the client; empty: it does
    fingerprint: str = ""  # of the key, or of the CA that signed
    until: datetime | None = None  # exclusive; None: until somebody changes it
    verify_required: bool = False  # only a security key's signature that says its user was verified

    @property
    def granted(self) -> bool:
        return not self.reason


def admit(session: Session, vendor: str, offer: Offer | None, address: str, now: datetime) -> Admission:
    """Whether `offer` opens the account of `vendor` from that IP address. `offer` None: what came could not be read."""
    account = session.get(Vendor, vendor)
    key = session.exec(
        select(VendorKey).where(
            VendorKey.vendor == vendor,
            VendorKey.fingerprint == ("" if offer is None or offer.certificate else offer.fingerprint),
            col(VendorKey.revoked_at).is_(None),
        )
    ).first()
    ca = session.exec(
        select(VendorCa).where(
            VendorCa.vendor == vendor,
            VendorCa.fingerprint == ("" if offer is None or offer.certificate is None else offer.certificate.ca),
            col(VendorCa.revoked_at).is_(None),
        )
    ).first()
    revoked = is_revoked(session, vendor, offer)
    if offer is None:
        return Admission("offer-unreadable")
    if account is None or account.removed_at is not None:
        return Admission("account-unknown")
    holder = key or ca
    if holder is None:
        return Admission("ca-unknown" if offer.certificate else "key-unknown")
    if revoked:
        return Admission("revoked")
    if not within(address, holder.sources):
        return Admission("source-not-allowed")
    if holder.valid_from is not None and now < holder.valid_from:
        return Admission("not-yet-valid")
    if holder.valid_until is not None and now >= holder.valid_until:
        return Admission("expired")
    certificate = offer.certificate
    if isinstance(holder, VendorCa) and certificate is not None and (why := _refused(certificate, holder, address, now)):
        return Admission(why)
    return Admission(
        fingerprint=holder.fingerprint,
        until=_first(holder.valid_until, None if certificate is None else certificate.valid_until),
        verify_required=isinstance(holder, VendorKey) and holder.verify_required,
    )


def _refused(certificate: Certificate, ca: VendorCa, address: str, now: datetime) -> str:
    """Why a certificate is worth nothing here; empty when it is good."""
    if certificate.type != USER:
        return "certificate-not-a-users"
    if certificate.signed_by not in CA_ALGORITHMS:
        return "certificate-algorithm"
    if not set(certificate.critical) <= HONOURED:
        return "certificate-option"
    if set(certificate.principals).isdisjoint(ca.principals):  # one that names nobody would be good for everybody: it is not
        return "certificate-principal"
    if now < certificate.valid_from:
        return "certificate-not-yet-valid"
    if now >= certificate.valid_until:
        return "certificate-expired"
    try:
        return "" if within(address, certificate.sources) else "certificate-source"
    except Malformed:
        return "certificate-option"


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def within(address: str, networks: Sequence[str]) -> bool:
    """Whether an IP address lies in one of these networks; in any case when there are none."""
    if not networks:
        return True
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return any(given in ipaddress.ip_network(network) for network in networks)


# ---------------------------------------------------------------- what happened


@dataclass(frozen=True)
class Login:
    """Somebody came in."""

    vendor: str
    fingerprint: str
    origin: str
    at: datetime


def note_logins(change: Change, logins: Sequence[Login]) -> None:
    """Remember the last login of each key and CA. The audit log hears of the first one a day (UTC) from an address, not of each poll;
    its origin is that address."""
    for login in sorted(logins, key=lambda login: (login.vendor, login.fingerprint, login.at)):  # one order for all: no deadlock
        row = change.session.get(VendorLogin, (login.vendor, login.fingerprint), with_for_update=True)
        if row is None:
            row = VendorLogin(vendor=login.vendor, fingerprint=login.fingerprint, last_at=login.at, origin="", logins=0)
        if row.origin != login.origin or row.last_at.date() != login.at.date():
            change.origin = login.origin
            change.audit("login", f"vendor:{login.vendor}", key=login.fingerprint)
        row.last_at, row.origin, row.logins = max(row.last_at, login.at), login.origin, row.logins + 1
        change.session.add(row)
        change.session.flush()


def last_logins(session: Session, vendor: str) -> dict[str, VendorLogin]:
    """By the fingerprint of the key or CA."""
    return {row.fingerprint: row for row in session.exec(select(VendorLogin).where(VendorLogin.vendor == vendor))}
