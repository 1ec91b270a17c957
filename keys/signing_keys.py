"""Vendors' signing keys (OpenPGP): what is handed in is checked by gpg, and kept with no more than it takes to verify a signature."""

from dataclasses import dataclass
from datetime import UTC, datetime

from keys.openpgp import GpgHome, gpg_home
from policies.errors import Refused, Unsound

#: [bytes] a key with the signatures of many others; of a file that holds more nothing is read
MAX_KEY_BYTES = 1 << 20
#: [bits] shorter RSA keys are refused, as among SSH keys
MIN_RSA_BITS = 3072
_RSA = ("1", "3")
_CURVES = ("19", "22")  # ECDSA and EdDSA (RFC 9580, section 9.1)
#: how gpg marks what does not count: invalid, disabled, revoked, expired (GnuPG, doc/DETAILS, field 2)
_DEAD = {
    "r": ("revoked-openpgp-key", "That key was revoked.", "Ask the vendor for the one in its place."),
    "e": ("expired-openpgp-key", "That key's time is over.", "Ask the vendor to give it another end, or for a new one."),
    "i": ("unusable-openpgp-key", "gpg does not take that key as valid.", "Is it whole, not bound by SHA-1, and not made in the future?"),
    "d": ("unusable-openpgp-key", "gpg does not take that key as valid.", "Ask the vendor for another one."),
}


@dataclass(frozen=True)
class SigningKey:
    """A public key with which a vendor signs, by its primary key or by a subkey."""

    fingerprint: str  # of the primary key, hexadecimal
    armoured: str  # with its own signatures only
    valid_until: datetime | None  # nothing that it signs counts afterwards; None: it has no end


@dataclass(frozen=True)
class _Part:
    """The primary key or a subkey, as gpg lists it."""

    state: str
    bits: int
    algorithm: str
    ends: datetime | None
    signs: bool

    @property
    def strong(self) -> bool:
        return self.algorithm in _CURVES or (self.algorithm in _RSA and self.bits >= MIN_RSA_BITS)


def read_signing_key(data: bytes, at: datetime) -> SigningKey:
    """The signing key in a file, armoured or not, as it counts at `at`. Refused: `bad-openpgp-key`, `private-openpgp-key`,
    `one-openpgp-key`, `revoked-openpgp-key`, `expired-openpgp-key`, `unusable-openpgp-key`, `no-signing-key`, `weak-openpgp-key`; errors
    as in `gpg_home`."""
    if b"PRIVATE KEY" in data[:MAX_KEY_BYTES]:
        raise _private()
    if len(data) > MAX_KEY_BYTES:
        raise _bad()
    with gpg_home() as home:
        listed = _listed(home, data, at)
        kinds = [words[0] for words in listed]
        if "sec" in kinds or "ssb" in kinds:
            raise _private()
        if "pub" not in kinds:
            raise _bad()
        if kinds.count("pub") > 1:
            raise Refused("one-openpgp-key", "The file holds several keys.", "Export one alone: gpg --armor --export FINGERPRINT.")
        fingerprint = next(words[9] for words in listed if words[0] == "fpr")
        valid_until = _checked([_part(words) for words in listed if words[0] in ("pub", "sub")])
        home.run("--import", given=data)
        exported = home.run("--armor", "--export-options=export-minimal,no-export-attributes", "--export", fingerprint)
    return SigningKey(fingerprint, exported.decode("ascii"), valid_until)


def _listed(home: GpgHome, data: bytes, at: datetime) -> list[list[str]]:
    show = ("--with-colons", "--import-options=show-only", "--import")
    try:  # another model of trust: with `always` gpg 2.2 ends where a key does not count and there is no database of trust
        told = home.run("--trust-model=direct", as_of(at), *show, given=data)
    except Unsound:
        raise _bad() from None
    return [line.split(":") for line in told.decode("utf-8", "replace").splitlines()]


def as_of(at: datetime) -> str:
    """The option with which gpg judges as it would have at that moment."""
    return f"--faked-system-time={int(at.timestamp())}!"


def _part(words: list[str]) -> _Part:
    ends = datetime.fromtimestamp(int(words[6]), UTC) if words[6] else None
    return _Part(words[1], int(words[2]), words[3], ends, "s" in words[11])


def _checked(parts: list[_Part]) -> datetime | None:
    """Until when one of the parts can sign, the primary key first of them; Refused when none can, or one is too weak."""
    primary = parts[0]
    if primary.state in _DEAD:
        raise Refused(*_DEAD[primary.state])
    signing = [part for part in parts if part.signs and part.state not in _DEAD]
    if not signing:
        raise Refused("no-signing-key", "No part of that key can sign now.", "Ask the vendor for one that can: gpg --quick-add-key … sign.")
    if not all(part.strong for part in (primary, *signing)):
        raise Refused("weak-openpgp-key", f"A signing key is of EdDSA, ECDSA, or RSA of {MIN_RSA_BITS} bits.", "Better: Ed25519.")
    ends = [min((end for end in (primary.ends, part.ends) if end is not None), default=None) for part in signing]
    return None if None in ends else max(end for end in ends if end is not None)


def _private() -> Refused:
    hint = "Ask the vendor for the public half (gpg --armor --export), and for a new key: this one is no secret any more."
    return Refused("private-openpgp-key", "That file holds a private key.", hint)


def _bad() -> Refused:
    return Refused(
        "bad-openpgp-key", "That is not an OpenPGP public key.", "The vendor makes the file by gpg --armor --export FINGERPRINT."
    )
