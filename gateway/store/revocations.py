"""What a vendor withdrew: keys, certificates by serial or key id, and its CA's whole OpenSSH revocation list (KRL, PROTOCOL.krl).

A list is taken in once and adds to what is revoked already: nothing that was revoked comes back because a newer list has it no more.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import BindParameter, ColumnElement, String, and_, bindparam, exists, or_
from sqlmodel import Session, SQLModel, func, select

from gateway.store.ledger import Change
from gateway.store.models import Revocation
from gateway.store.ssh_keys import fingerprint
from gateway.store.ssh_offers import Offer, sha1, sha256
from gateway.store.ssh_wire import Fields, Malformed
from policies.errors import Refused

_MAGIC, _FORMAT = 0x5353484B524C0A00, 1
_CERTIFICATES, _KEYS, _SHA1, _SIGNATURE, _SHA256, _EXTENSION = 1, 2, 3, 4, 5, 255
_SERIALS, _RANGE, _BITMAP, _KEY_IDS, _CERTIFICATES_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39
#: one list may revoke so many things; a range is one thing
MAX_ENTRIES = 100_000


@dataclass(frozen=True, order=True)
class Entry:
    """One thing that is revoked; the fields are those of `Revocation`."""

    kind: str
    value: str
    ca: str = ""
    last: str = ""


def of_serials(first: int, last: int, ca: str = "") -> Entry:
    """Certificates with these serials, both ends included. Refused (`bad-serial`) when they are no 64-bit numbers."""
    if not 0 <= first <= last < 1 << 64:
        raise Refused("bad-serial", "A serial is a number from 0 to 18446744073709551615.", "A range is written FIRST-LAST.")
    return Entry("serial", _serial(first), ca, _serial(last))


def of_key_id(key_id: str, ca: str = "") -> Entry:
    """Certificates with this key id."""
    return Entry("key-id", key_id, ca)


def of_key(blob: bytes) -> Entry:
    """A key, alone or in a certificate, or as the CA that signed one."""
    return Entry("sha256", sha256(blob))


def _serial(number: int) -> str:
    return f"{number:016x}"  # as text: compares as numbers do, and 64 bits fit in no database's integer


def read_krl(data: bytes) -> list[Entry]:
    """The entries of a revocation list as `ssh-keygen -k` writes it. Refused: `bad-krl`, `krl-too-long`."""
    try:
        entries: set[Entry] = set()
        for entry in _entries(Fields(data)):
            entries.add(entry)
            if len(entries) > MAX_ENTRIES:
                raise Refused("krl-too-long", f"The list revokes more than {MAX_ENTRIES} things.", "Ask the vendor for a new CA.")
        return sorted(entries)
    except Malformed as why:
        raise Refused("bad-krl", f"That is not an OpenSSH revocation list: {why}.", "`ssh-keygen -k -f FILE …` makes one.") from None


def _entries(fields: Fields) -> Iterator[Entry]:
    if fields.uint64() != _MAGIC or fields.uint32() != _FORMAT:
        raise Malformed("it does not begin like one")
    fields.raw(24)  # version, date and flags
    fields.string()
    fields.string()  # reserved, comment
    while fields:
        kind, section = fields.uint8(), Fields(fields.string())
        if kind == _SIGNATURE:  # who hands us the list is known; OpenSSH makes none
            fields.string()
            continue
        yield from _section(kind, section)


def _section(kind: int, section: Fields) -> Iterator[Entry]:
    if kind == _CERTIFICATES:
        yield from _certificates(section)
    elif kind == _KEYS:
        while section:
            yield of_key(section.string())
    elif kind in (_SHA1, _SHA256):
        name, size = ("sha1", 20) if kind == _SHA1 else ("sha256", 32)
        while section:
            digest = section.string()
            if len(digest) != size:
                raise Malformed("a digest has another length")
            yield Entry(name, digest.hex())
    elif kind == _EXTENSION:
        _extension(section)
    else:
        raise Malformed("it has a part of an unknown kind")


def _extension(section: Fields) -> None:
    section.text()
    if section.uint8():
        raise Malformed("it has an extension that must be understood and is not")


def _certificates(section: Fields) -> Iterator[Entry]:
    blob = section.string()
    section.string()  # reserved
    ca = fingerprint(blob) if blob else ""
    while section:
        kind, part = section.uint8(), Fields(section.string())
        if kind == _SERIALS:
            while part:
                yield of_serials(number := part.uint64(), number, ca)
        elif kind == _RANGE:
            first, last = part.uint64(), part.uint64()
            if first > last:
                raise Malformed("a range ends before it begins")
            yield of_serials(first, last, ca)
        elif kind == _BITMAP:
            yield from _bitmap(part.uint64(), part.natural(), ca)
        elif kind == _KEY_IDS:
            while part:
                yield of_key_id(part.text(), ca)
        elif kind == _CERTIFICATES_EXTENSION:
            _extension(part)
        else:
            raise Malformed("it has a part of an unknown kind")


def _bitmap(offset: int, bits: int, ca: str) -> Iterator[Entry]:
    """The runs of ones in a bitmap, as ranges of serials."""
    if offset + bits.bit_length() > 1 << 64:
        raise Malformed("a serial has more than 64 bits")
    for run in re.finditer("1+", f"{bits:b}"[::-1]):
        yield of_serials(offset + run.start(), offset + run.end() - 1, ca)


def revoke(change: Change, vendor: str, entries: Sequence[Entry]) -> int:
    """Add to what is revoked for a vendor; answers how many entries are new. They count at once."""
    there = {
        Entry(row.kind, row.value, row.ca, row.last) for row in change.session.exec(select(Revocation).where(Revocation.vendor == vendor))
    }
    new = sorted(set(entries) - there)
    change.session.add_all(
        Revocation(vendor=vendor, kind=entry.kind, value=entry.value, ca=entry.ca, last=entry.last, added_at=change.now) for entry in new
    )
    return len(new)


def revocations(session: Session, vendor: str) -> int:
    """How many entries a vendor's revocations have."""
    return session.exec(select(func.count()).select_from(Revocation).where(Revocation.vendor == vendor)).one()


# ---------------------------------------------------------------- asking

_REVOKED = SQLModel.metadata.tables["revocation"]


def _asked(name: str) -> BindParameter[str]:
    return bindparam(f"revoked_{name}", type_=String())


def _of_ca() -> ColumnElement[bool]:
    return or_(_REVOKED.c.ca == _asked("any_ca"), _REVOKED.c.ca == _asked("ca"))


def _kind(kind: str, *also: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(_REVOKED.c.kind == kind, *also)


#: whether anything that `what_is_asked` names is revoked; built once, since building costs more than asking
IS_REVOKED: ColumnElement[bool] = exists(
    sqlalchemy.select(_REVOKED.c.id).where(
        _REVOKED.c.vendor == _asked("vendor"),
        or_(
            *(
                _kind(digest, or_(_REVOKED.c.value == _asked(f"key_{digest}"), _REVOKED.c.value == _asked(f"ca_{digest}")))
                for digest in ("sha256", "sha1")
            ),
            _kind("key-id", _REVOKED.c.value == _asked("key_id"), _of_ca()),
            _kind("serial", _REVOKED.c.value <= _asked("serial"), _REVOKED.c.last >= _asked("serial"), _of_ca()),
        ),
    )
)


def what_is_asked(vendor: str, offer: Offer | None) -> dict[str, str]:
    """The values of IS_REVOKED for a key, its certificate and the CA that signed it."""
    key, ca = b"" if offer is None else offer.blob, b""
    named = {"any_ca": "-", "ca": "-", "key_id": "", "serial": ""}  # without a certificate no CA's entries are meant
    if offer is not None and offer.certificate is not None:
        certificate = offer.certificate
        ca = certificate.ca_blob
        named = {"any_ca": "", "ca": certificate.ca, "key_id": certificate.key_id, "serial": _serial(certificate.serial)}
    digests = {"key_sha256": sha256(key), "key_sha1": sha1(key), "ca_sha256": sha256(ca), "ca_sha1": sha1(ca)}
    return {f"revoked_{name}": value for name, value in {"vendor": vendor, **named, **digests}.items()}


def is_revoked(session: Session, vendor: str, offer: Offer | None) -> bool:
    """Whether the key, its certificate or the CA that signed it was withdrawn by that vendor."""
    return bool(session.connection().execute(sqlalchemy.select(IS_REVOKED), what_is_asked(vendor, offer)).scalar_one())
