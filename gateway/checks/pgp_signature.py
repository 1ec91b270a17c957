"""Whether an OpenPGP message is signed by whom it has to be, from what gpg said of it.

It is when gpg told of one signature, on the one content of the message, that is good and of a registered key which counted when the
delivery was received: of its primary key, or of a subkey bound to that. Whatever else gpg has to say of signatures refuses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: what gpg says of the message, and all that it says of signatures (GnuPG, doc/DETAILS)
_MESSAGE = frozenset({"BEGIN_DECRYPTION", "PLAINTEXT", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"})
WRONG = frozenset({"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY"})
_SIGNATURE = WRONG | {"NEWSIG", "GOODSIG", "VALIDSIG"}
_RIGHT = ["BEGIN_DECRYPTION", "PLAINTEXT", "NEWSIG", "GOODSIG", "VALIDSIG", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"]
#: SHA-256, SHA-384, SHA-512, SHA-224, SHA3-256, SHA3-512 (RFC 9580, section 9.5); gpg is told to refuse weaker ones, too
_DIGESTS = frozenset({"8", "9", "10", "11", "12", "14"})
#: of a document, as it is or as text (RFC 9580, section 5.2.1)
_CLASSES = frozenset({"00", "01"})
#: how far the clock of the vendor's machine may be ahead
_AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Signers:
    """Whose signature a delivery needs that was received at `at`. `keys`: armoured public keys by the primary key's fingerprint."""

    keys: Mapping[str, str]
    at: datetime


def signature_rule(said: Sequence[Sequence[str]], signers: Signers) -> str | None:
    """The rule (`unsigned`, `wrong-signature`) by which a message is refused of which gpg said this; None: it is signed as it has to be."""
    words = [line[0] for line in said if line[0] in _MESSAGE | _SIGNATURE]
    if not _SIGNATURE.intersection(words):
        return "unsigned"
    if words != _RIGHT:
        return "wrong-signature"
    fields = next(line[1:] for line in said if line[0] == "VALIDSIG")
    # the signing key's fingerprint, day, second, end, version, -, algorithm, digest, class, the primary key's fingerprint
    if len(fields) < 10 or not fields[2].isdecimal():
        return "wrong-signature"
    right = fields[9] in signers.keys and fields[7] in _DIGESTS and fields[8] in _CLASSES
    return None if right and int(fields[2]) <= (signers.at + _AHEAD).timestamp() else "wrong-signature"
