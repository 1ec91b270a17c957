"""Public SSH keys of vendors: read from an OpenSSH public key file (sshd(8), AUTHORIZED_KEYS without options), named by fingerprint."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from policies.errors import Refused

KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
#: shorter RSA keys are refused [bits]
MIN_RSA_BITS = 3072


@dataclass(frozen=True)
class PublicKey:
    """A key as the ledger keeps it: `text` is kind and base64, without the comment (it often names a person)."""

    text: str
    fingerprint: str

    @property
    def blob(self) -> bytes:
        """The key in the form in which it travels (RFC 4253 §6.6)."""
        return base64.b64decode(self.text.split()[1])


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_public_keys(text: str) -> list[PublicKey]:
    """The keys in a `.pub` file, one per line. Refused: `bad-ssh-key`, `private-ssh-key`, `weak-ssh-key`."""
    if "PRIVATE KEY" in text:
        raise Refused("private-ssh-key", "That is a private key.", "Ask the vendor for the file that ends in .pub, and for a new key pair.")
    lines = [line.strip() for line in text.splitlines()]
    keys = [_read(line) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise _bad()
    return keys


def _read(line: str) -> PublicKey:
    kind, _, rest = line.partition(" ")
    if any(f" {known} " in f" {line}" for known in KINDS) and kind not in KINDS:
        raise Refused(
            "ssh-key-options",
            "Options stand before the key, as in authorized_keys.",
            "Give the .pub file alone; networks, ends and verify-required are options of the command, the rest is never allowed here.",
        )
    encoded = rest.split(" ", 1)[0]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise _bad() from None
    named = len(kind).to_bytes(4, "big") + kind.encode()
    if kind not in KINDS or not blob.startswith(named):
        raise _bad()
    if not kind.startswith("sk-"):  # a security key's signature is checked by the SSH server; its blob is opaque here
        try:
            key = load_ssh_public_key(f"{kind} {encoded}".encode())
        except (ValueError, UnsupportedAlgorithm):
            raise _bad() from None
        if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
            raise Refused("weak-ssh-key", f"An RSA key needs {MIN_RSA_BITS} bits.", "Better: ssh-keygen -t ed25519.")
    return PublicKey(f"{kind} {encoded}", fingerprint(blob))


def _bad() -> Refused:
    return Refused(
        "bad-ssh-key", "That is not an SSH public key that is accepted here.", f"A line of a .pub file, of kind {', '.join(KINDS)}."
    )
