"""Handing a key inward: sealed to an age X25519 public key (age-encryption.org/v1), so that the sealer can't open it again."""

import pyrage
from pyrage import x25519

from keys.secret import Secret
from policies.errors import Refused


def new_identity() -> tuple[Secret, str]:
    """A fresh key pair: the private half as the bytes of its `AGE-SECRET-KEY-1…` text, the public half as `age1…`."""
    identity = x25519.Identity.generate()
    return Secret(str(identity).encode()), str(identity.to_public())


def public_half(identity: Secret) -> str:
    """The `age1…` that belongs to a private half; Refused (`bad-identity`) when it is not one."""
    return str(_identity(identity).to_public())


def seal(plain: Secret, public: str) -> bytes:
    """`plain` as a binary age file for `public`; Refused (`bad-public-key`) when that is not an `age1…` key."""
    try:
        recipient = x25519.Recipient.from_str(public.strip())
    except pyrage.RecipientError:
        raise Refused("bad-public-key", "That is not an age X25519 public key.", "It starts with age1.") from None
    sealed: bytes = pyrage.encrypt(plain.reveal(), [recipient])
    return sealed


def unseal(sealed: bytes, identity: Secret) -> Secret:
    """What was sealed; Refused (`cannot-unseal`) when it was sealed to another key or was changed since."""
    try:
        return Secret(pyrage.decrypt(sealed, [_identity(identity)]))
    except (pyrage.DecryptError, OSError):  # damage after the header comes as OSError
        raise Refused("cannot-unseal", "This was sealed to another key, or was changed since.") from None


def _identity(identity: Secret) -> x25519.Identity:
    try:
        return x25519.Identity.from_str(identity.reveal().decode("ascii").strip())
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise Refused("bad-identity", "That is not an age X25519 private key.") from None
