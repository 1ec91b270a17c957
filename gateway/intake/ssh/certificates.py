"""Whether a signature is one that counts here. asyncssh does the mathematics; which algorithms and flags are good enough is said here.

asyncssh takes any algorithm that it knows for a key: for an RSA key SHA-1 too, whatever the server announced. And it does not
know that some security keys must have verified their user.
"""

from base64 import b64encode

import asyncssh

from gateway.store.ssh_offers import Offer
from gateway.store.ssh_wire import Fields, Malformed

#: kind of a key → what it may sign a login with (RFC 8332, RFC 8709, RFC 5656, PROTOCOL.u2f); no webauthn, no SHA-1
ALGORITHMS = {
    "ssh-ed25519": {"ssh-ed25519"},
    "ecdsa-sha2-nistp256": {"ecdsa-sha2-nistp256"},
    "ecdsa-sha2-nistp384": {"ecdsa-sha2-nistp384"},
    "ecdsa-sha2-nistp521": {"ecdsa-sha2-nistp521"},
    "sk-ssh-ed25519@openssh.com": {"sk-ssh-ed25519@openssh.com"},
    "sk-ecdsa-sha2-nistp256@openssh.com": {"sk-ecdsa-sha2-nistp256@openssh.com"},
    "ssh-rsa": {"rsa-sha2-256", "rsa-sha2-512"},
}
#: flags in a security key's signature (PROTOCOL.u2f): its user touched it; its user was verified by PIN or finger
TOUCHED, VERIFIED = 0x01, 0x04


class NotCertified(Exception):
    """The CA did not sign what the certificate says."""


def certified(data: bytes, offer: Offer) -> bytes:
    """The key that the certificate `data` is about, once its CA's signature is checked. NotCertified when that is not so.

    Whether the CA is one of the vendor's, and the certificate good for it, was decided on `offer` (gateway/store/entrance.py);
    it is about the same key, or about none.
    """
    kind = Fields(data).string()
    try:
        certificate = asyncssh.import_certificate(kind + b" " + b64encode(data))
    except ValueError:  # asyncssh.KeyImportError is one
        raise NotCertified from None
    if certificate.key.public_data != offer.blob:
        raise NotCertified
    return offer.blob


def signature_counts(kind: str, signature: bytes, verify_required: bool) -> bool:
    """Whether the form of a signature is good enough for a key of that kind; that it is right is for the key to say."""
    try:
        fields = Fields(signature)
        if fields.text() not in ALGORITHMS[kind]:
            return False
        fields.string()
        if kind.startswith("sk-"):
            flags = fields.uint8()
            fields.uint32()  # how often the key has signed: clones of a key are its vendor's to notice
            if not flags & TOUCHED or (verify_required and not flags & VERIFIED):
                return False
        fields.end()
    except Malformed:
        return False
    return True
