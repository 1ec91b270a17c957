"""Who may come in, now: one vendor's account, opened by one of its keys or by a certificate that one of its CAs signed.

The same question goes to the database whether the account, the key and the CA exist or not: neither the answer nor its time tells
which accounts there are.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import String, and_, bindparam, literal
from sqlmodel import Session, SQLModel, select

from gateway.store.ledger import Change
from gateway.store.models import VendorLogin
from gateway.store.revocations import IS_REVOKED, what_is_asked
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


def _question() -> sqlalchemy.Select[Any]:
    """One row, whoever asks: account, key, CA and revocation, or nulls. Built once, since building costs more than asking."""
    account, keys, cas = (SQLModel.metadata.tables[name] for name in ("vendor", "vendor_key", "vendor_ca"))
    vendor, key, ca = (bindparam(name, type_=String()) for name in ("vendor", "key", "ca"))
    nobody = sqlalchemy.select(literal(1).label("one")).subquery()
    found = nobody.outerjoin(account, account.c.name == vendor)
    found = found.outerjoin(keys, and_(keys.c.vendor == vendor, keys.c.fingerprint == key, keys.c.revoked_at.is_(None)))
    found = found.outerjoin(cas, and_(cas.c.vendor == vendor, cas.c.fingerprint == ca, cas.c.revoked_at.is_(None)))
    columns = [account.c.name.label("account"), account.c.removed_at, keys.c.verify_required, cas.c.principals, IS_REVOKED.label("revoked")]
    for table, word in ((keys, "key"), (cas, "ca")):
        columns += [table.c[name].label(f"{word}_{name}") for name in ("fingerprint", "sources", "valid_from", "valid_until")]
    return sqlalchemy.select(*columns).select_from(found)


_QUESTION = _question()


def admit(session: Session, vendor: str, offer: Offer | None, address: str, now: datetime) -> Admission:
    """Whether `offer` opens the account of `vendor` from that IP address. `offer` None: what came could not be read."""
    certificate = None if offer is None else offer.certificate
    asked = {
        "vendor": vendor,
        "key": "" if offer is None or certificate is not None else offer.fingerprint,
        "ca": "" if certificate is None else certificate.ca,
        **what_is_asked(vendor, offer),
    }
    row: Any = session.connection().execute(_QUESTION, asked).first()
    if offer is None:
        return Admission("offer-unreadable")
    if row.account is None or row.removed_at is not None:
        return Admission("account-unknown")
    if row.key_fingerprint is None and row.ca_fingerprint is None:
        return Admission("key-unknown" if certificate is None else "ca-unknown")
    if row.revoked:
        return Admission("revoked")
    fingerprint, sources, begins, ends = row[5:9] if certificate is None else row[9:13]
    if not within(address, sources):
        return Admission("source-not-allowed")
    if begins is not None and now < begins:
        return Admission("not-yet-valid")
    if ends is not None and now >= ends:
        return Admission("expired")
    if certificate is not None and (why := _refused(certificate, row.principals, address, now)):
        return Admission(why)
    return Admission(
        fingerprint=fingerprint,
        until=_first(ends, None if certificate is None else certificate.valid_until),
        verify_required=certificate is None and row.verify_required,
    )


def _refused(certificate: Certificate, principals: Sequence[str], address: str, now: datetime) -> str:
    """Why a certificate is worth nothing here; empty when it is good."""
    if certificate.type != USER:
        return "certificate-not-a-users"
    if certificate.signed_by not in CA_ALGORITHMS:
        return "certificate-algorithm"
    if not set(certificate.critical) <= HONOURED:
        return "certificate-option"
    if set(certificate.principals).isdisjoint(principals):  # one that names nobody would be good for everybody: it is not
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
