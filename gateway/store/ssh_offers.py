"""What a client shows to come in: a public key, or an OpenSSH user certificate (PROTOCOL.certkeys); read, and not believed yet.

Signatures are not checked here, and nothing here decides: gateway/store/entrance.py asks the ledger, gateway/intake/ssh/certificates.py
has the signatures checked.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.store.ssh_keys import KINDS, MIN_RSA_BITS, fingerprint
from gateway.store.ssh_wire import Fields, Malformed, string

#: how many fields the public half of each kind has, after its name
PARTS = {
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
    "ssh-rsa": 2,
}
_CERTIFICATE = "-cert-v01@openssh.com"
USER = 1
#: a certificate that is longer is not looked at [bytes]
MAX_CERTIFICATE_BYTES = 16 << 10
#: 2^64-1 means for ever in a certificate; what lies beyond datetime's years means the same here
_LAST_SECOND = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Certificate:
    """What a certificate says. Its `fingerprint` is that of the key it certifies."""

    ca: str  # fingerprint of the key that signed it
    ca_blob: bytes
    signed_by: str  # the signature's algorithm
    type: int
    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime  # exclusive
    critical: dict[str, bytes]

    @property
    def sources(self) -> list[str]:
        """The networks of its `source-address`; Malformed when they are none. Empty: it has no such option."""
        if "source-address" not in self.critical:
            return []
        fields = Fields(self.critical["source-address"])
        networks = fields.text().split(",")
        fields.end()
        try:
            return [str(ipaddress.ip_network(network, strict=False)) for network in networks]
        except ValueError:
            raise Malformed("source-address is no network") from None


@dataclass(frozen=True)
class Offer:
    """A key with which somebody wants to come in."""

    kind: str
    blob: bytes  # of the key itself, also when it came in a certificate
    certificate: Certificate | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.blob)


def sha256(blob: bytes) -> str:
    """A key's digest as KRLs have it, in hex."""
    return hashlib.sha256(blob).hexdigest()


def sha1(blob: bytes) -> str:
    """The same in SHA-1: OpenSSH's revocation lists still have it, to name a key and not to trust one."""
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest()


def read_offer(data: bytes) -> Offer:
    """The key or certificate in a public key blob (RFC 4253 §6.6). Malformed for every kind that is not listed in KINDS."""
    fields = Fields(data)
    name = fields.text()
    kind = name.removesuffix(_CERTIFICATE) if name.endswith(_CERTIFICATE) else name
    if name.endswith("@openssh.com" + _CERTIFICATE):
        raise Malformed("an unknown kind of key")
    if name.endswith(_CERTIFICATE) and kind.startswith("sk-"):
        kind += "@openssh.com"  # sk-ssh-ed25519-cert-v01@openssh.com certifies sk-ssh-ed25519@openssh.com
    if kind not in KINDS:
        raise Malformed("an unknown kind of key")
    if name == kind:
        blob = data
        _parts(kind, fields)
        fields.end()
        return Offer(kind, blob)
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise Malformed("a certificate is too long")
    fields.string()  # nonce
    blob = string(kind.encode()) + _parts(kind, fields)
    return Offer(kind, blob, _certificate(fields))


def _parts(kind: str, fields: Fields) -> bytes:
    parts = [fields.string() for _ in range(PARTS[kind])]
    if kind == "ssh-rsa" and int.from_bytes(parts[1], "big").bit_length() < MIN_RSA_BITS:
        raise Malformed("an RSA key is too short")
    return b"".join(map(string, parts))


def _certificate(fields: Fields) -> Certificate:
    serial, type_, key_id = fields.uint64(), fields.uint32(), fields.text()
    principals = Fields(fields.string())
    names = []
    while principals:
        names.append(principals.text())
    valid_from, valid_until = _moment(fields.uint64()), _moment(fields.uint64())
    critical = _options(fields.string())
    _options(fields.string())  # extensions: whatever they permit, nothing but sftp is to be had here
    fields.string()  # reserved
    ca_blob = fields.string()
    signature = Fields(fields.string())
    fields.end()
    return Certificate(
        ca=fingerprint(ca_blob),
        ca_blob=ca_blob,
        signed_by=signature.text(),
        type=type_,
        serial=serial,
        key_id=key_id,
        principals=tuple(names),
        valid_from=valid_from,
        valid_until=valid_until,
        critical=critical,
    )


def _options(data: bytes) -> dict[str, bytes]:
    fields, found = Fields(data), {}
    while fields:
        name, value = fields.text(), fields.string()
        if name in found:
            raise Malformed("an option stands twice")
        found[name] = value
    return found


def _moment(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=min(seconds, _LAST_SECOND))
