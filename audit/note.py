"""Signed notes (C2SP signed-note) with Ed25519: a text that people can read, and under it who signed it.

The same form signs the log's checkpoints, receipts and certificates. A public key is handed out as one line,
`name+key id+base64` (the "vkey" of Go's sumdb/note), which those tools take unchanged.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.errors import Unsound, WrongUsage

#: The signature type "Ed25519" of C2SP signed-note.
ED25519 = b"\x01"

#: A note larger than this is none of ours [bytes].
LARGEST = 1_000_000

#: A verifier must take 16; witnesses add some.
MOST_SIGNATURES = 100

_ID = 4
_KEY = 32


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """As it stands under a note, without the end of the line."""
        return f"\u2014 {self.name} {base64.b64encode(self.key_id + self.value).decode()}"


class Verifier:
    """A public key under a name."""

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        if not _is_name(name):
            raise WrongUsage("bad-key-name", "A key's name may hold no space, no plus sign and no control character.")
        self.name = name
        self._key = key
        self.raw = key.public_bytes_raw()
        self.key_id = sha256(name.encode() + b"\n" + ED25519 + self.raw).digest()[:_ID]

    @classmethod
    def parse(cls, vkey: str) -> "Verifier":
        """A key from its one line (surrounding white space is dropped); WrongUsage (`bad-public-key`) when it is none."""
        name, _, rest = vkey.strip().partition("+")
        key_id, _, text = rest.partition("+")
        raw = strict_base64(text)
        if raw is not None and len(raw) == 1 + _KEY and raw[:1] == ED25519 and _is_name(name):
            verifier = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
            if verifier.key_id.hex() == key_id:
                return verifier
        raise WrongUsage("bad-public-key", "This is not a public key of a log.", "It is one line: name, plus, 8 digits, plus, base64.")

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.raw).decode()}"

    def knows(self, signature: Signature) -> bool:
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def verifies(self, text: str, signature: Signature) -> bool:
        try:
            self._key.verify(signature.value, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key under a name. It shows neither in a representation nor in an error."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.verifier = Verifier(name, key.public_key())
        self._key = key

    @property
    def name(self) -> str:
        return self.verifier.name

    def signature(self, text: str) -> Signature:
        """Over `text`, which ends with the end of a line; WrongUsage (`bad-note-text`) when no note may hold it."""
        if not _is_text(text):
            raise WrongUsage("bad-note-text", "A note's text ends with a new line and holds no control character but that.")
        return Signature(self.name, self.verifier.key_id, self._key.sign(text.encode()))

    def sign(self, text: str) -> bytes:
        """The whole note."""
        return f"{text}\n{self.signature(text).line}\n".encode()


def split(note: bytes) -> tuple[str, list[Signature]]:
    """Text and signatures, neither trusted yet; Unsound (`note-malformed`) when `note` is none."""
    bad = Unsound("note-malformed", "This is not a signed note.", "It was changed, or cut short.")
    if len(note) > LARGEST:
        raise bad
    try:
        text, blank, tail = note.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise bad from None
    text += "\n"
    if not blank or not _is_text(text) or not _is_text(tail) or tail.count("\n") > MOST_SIGNATURES:
        raise bad
    signatures = [parse_signature(line) for line in tail[:-1].split("\n")]
    if any(signature is None for signature in signatures):
        raise bad
    return text, [signature for signature in signatures if signature is not None]


def parse_signature(line: str) -> Signature | None:
    """A signature from its line; None when it is none."""
    match line.split(" "):
        case ["\u2014", name, text] if _is_name(name):
            raw = strict_base64(text)
            if raw is not None and len(raw) > _ID:
                return Signature(name, raw[:_ID], raw[_ID:])
    return None


def check(text: str, signatures: Sequence[Signature], verifiers: Sequence[Verifier]) -> Verifier:
    """Who of `verifiers` signed `text`.

    Signatures of others are ignored, as the format demands. Raises Unsound: `note-forged` when one under a known key is
    wrong, `note-unsigned` when there is none of a known key.
    """
    found: Verifier | None = None
    for signature in signatures:
        for verifier in verifiers:
            if verifier.knows(signature):
                if not verifier.verifies(text, signature):
                    raise Unsound("note-forged", "The signature is not that of this text.", "The text or the signature was changed.")
                found = found or verifier
    if found is None:
        raise Unsound("note-unsigned", "No key that is trusted here signed this.", "Is it the right public key?")
    return found


def read(note: bytes, verifiers: Sequence[Verifier]) -> str:
    """The text of a note that one of `verifiers` signed; Unsound as `split` and `check`."""
    text, signatures = split(note)
    check(text, signatures, verifiers)
    return text


def strict_base64(text: str) -> bytes | None:
    """Decodes standard base64 that has exactly one spelling: otherwise a changed byte could pass for the same signature."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def _is_text(text: str) -> bool:
    return text.endswith("\n") and not any(c < " " and c != "\n" for c in text)
