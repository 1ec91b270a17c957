"""Passwords that go on paper and come back by hand, and their hashes.

Passwords are made here and never chosen by people, so their strength doesn't rest on the hash: 20 characters of 22 are 89 bits.
The alphabet leaves out vowels (no words by accident) and one or both of what looks alike on paper (0 o, 1 l i, 2 z, 5 s, 8 b,
9 q, u v).
"""

import math
import secrets
import unicodedata
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

ALPHABET: Final = "23456789cdfghjkmnprtwx"
GROUPS: Final = 5
GROUP_CHARACTERS: Final = 4
STRENGTH_BITS: Final = GROUPS * GROUP_CHARACTERS * math.log2(len(ALPHABET))

#: Argon2id (RFC 9106) at 19 MiB and two passes on one lane, OWASP's second setting. More would buy nothing for random passwords,
#: and let strangers spend the portal's memory; the caller bounds how many run at once.
MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16

#: The hash of a random password that nobody kept, made with the settings above: checking against it makes an unknown board take
#: as long to refuse as a known one.
DUMMY_HASH: Final = "$argon2id$v=19$m=19456,t=2,p=1$UU/yDU9Zr7j9kiOsl5X1vw$RWXNt9onHoP1dSrxzNkCmBODB8y1qPM0J7q5wNX66xQ"

#: What looks like nothing or a dash and has another Unicode category: minus sign, hyphen bullet, Hangul fillers, Braille blank.
_ALSO_DROPPED: Final = frozenset("\u2212\u2043\u115f\u1160\u3164\uffa0\u2800")
_DROPPED_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Pd"})


def generate() -> str:
    """A new random password of STRENGTH_BITS, such as `7kfw-r3xd-9cmg-h2tp-n64j`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARACTERS)) for _ in range(GROUPS))
    return "-".join(groups)


def normalise(text: str) -> str:
    """`text` without what copying and typing add: white space and invisible characters of every kind, dashes, capitals."""
    kept = (c for c in text if c not in _ALSO_DROPPED and unicodedata.category(c) not in _DROPPED_CATEGORIES)
    return "".join(kept).casefold()


def hash_password(text: str) -> str:
    """The Argon2id hash of the normalised password as a PHC string, with a salt of its own."""
    return _argon2id().derive_phc_encoded(_bytes(text))


def verify(text: str, phc: str) -> bool:
    """Whether `text`, normalised, is the password of the hash; also False for a string that is no Argon2id hash.

    Takes MEMORY_KIB of memory and some 40 ms: keep it off the event loop.
    """
    try:
        Argon2id.verify_phc_encoded(_bytes(text), phc)
    except (InvalidKey, ValueError):  # the second of a hash with numbers that Argon2id does not take
        return False
    return True


def _bytes(text: str) -> bytes:
    return normalise(text).encode("utf-8", "surrogatepass")  # a form may carry half a character: wrong, but no error


def _argon2id() -> Argon2id:
    return Argon2id(salt=secrets.token_bytes(SALT_BYTES), length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
