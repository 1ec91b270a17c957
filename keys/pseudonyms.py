"""Fictitious numbers that only the authority's key reverses: AES-256-SIV (RFC 5297) once per person or school and domain.

A pseudonym is `p1-` (person, version 1; `s1-` a school), 52 base32 characters of the 32 bytes SIV gives, and a check character
(ISO 7064 MOD 37,36, over everything but the dash). It never looks like a BSN, a slip of the pen shows without the key, and a forged or
foreign one is refused with it. Each domain, kind and version has a key of its own (HKDF), so two domains' pseudonyms of one person
have nothing in common.

SIV of a single block needs two AES blocks for each value once the associated data is worked out, so `many` does whole columns at
once; `pseudonym` takes the library's AES-SIV, and the tests hold the two together.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from numpy.typing import NDArray

from keys.blocks import BLOCK_BYTES, double, encrypt_blocks
from keys.derivation import derive
from keys.mac import cmac_blocks
from keys.secret import Secret
from policies.errors import Refused, WrongUsage

KIND_LETTERS: Final = {"person": "p", "school": "s"}
DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY_BYTES = 64  # SIV takes two AES-256 keys
BODY_CHARACTERS = 52

_CHECK_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_CHECK_VALUE = {character: value for value, character in enumerate(_CHECK_ALPHABET)}
_BASE32 = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)
_BASE32_CHECK_VALUES = np.array([_CHECK_VALUE[chr(c)] for c in _BASE32.tolist()], dtype=np.uint8)
#: SIV clears these two bits of the counter block (RFC 5297 section 2.6).
_COUNTER_MASK = np.frombuffer(b"\xff" * 8 + b"\x7f\xff\xff\xff\x7f\xff\xff\xff", dtype=np.uint8)


class PseudonymDomain:
    """The pseudonyms of one kind ("person", "school") in one domain ("store", or a research project)."""

    def __init__(self, root: Secret, domain: str, kind: str, version: int = 1) -> None:
        """WrongUsage (`pseudonym-domain`) for a domain, kind or version that can't be one."""
        if not DOMAIN.fullmatch(domain) or kind not in KIND_LETTERS or version < 1:
            raise WrongUsage(
                "pseudonym-domain",
                "A pseudonym domain has a name of letters, digits, dots and dashes, a kind (person, school) and a version from 1.",
            )
        key = derive(root, f"sluis pseudonym/{domain}/{kind}/{version}", KEY_BYTES)
        self.prefix = f"{KIND_LETTERS[kind]}{version}-"
        self._associated = [domain.encode(), kind.encode(), str(version).encode()]
        self._siv = AESSIV(key.reveal())
        self._mac_key = Secret(key.reveal()[:32])
        self._counter_key = Secret(key.reveal()[32:])
        self._mask = self._associated_mask()

    def pseudonym(self, value: str) -> str:
        """The pseudonym of `value`, which has 1 to 16 bytes of UTF-8 and no NUL; Refused (`value-too-long`) otherwise."""
        sealed = self._siv.encrypt(_padded(value), self._associated)
        body = base64.b32encode(sealed).decode().rstrip("=").lower()
        return f"{self.prefix}{body}{check_character(self.prefix[:-1] + body)}"

    def many(self, values: Sequence[str]) -> list[str]:
        """`pseudonym` of each value, in their order, for whole columns."""
        plain = np.frombuffer(b"".join(map(_padded, values)), dtype=np.uint8).reshape(-1, BLOCK_BYTES)
        tags = cmac_blocks(self._mac_key, plain ^ self._mask)
        hidden = plain ^ encrypt_blocks(self._counter_key.reveal(), tags & _COUNTER_MASK)
        return self._texts(np.hstack([tags, hidden]))

    def reveal(self, pseudonym: str) -> str:
        """The value behind a pseudonym of this domain; Refused (`not-a-pseudonym`) for anything else.

        Whoever calls this has asked two officers and written it down first: the rule stands in policies, not here.
        """
        body = pseudonym[len(self.prefix) : -1]
        try:
            sealed = base64.b32decode(body.upper() + "====")
            value = self._siv.decrypt(sealed, self._associated).rstrip(b"\0").decode()
        except (ValueError, InvalidTag):
            raise _not_a_pseudonym() from None
        if self.pseudonym(value) != pseudonym:  # another way to write the same bytes: capitals, check character, spare bits
            raise _not_a_pseudonym()
        return value

    def _associated_mask(self) -> NDArray[np.uint8]:
        """What S2V (RFC 5297 section 2.4) makes of the associated data, before the value itself comes in."""
        mask = _cmac(self._mac_key, bytes(BLOCK_BYTES))
        for part in self._associated:
            doubled, mac = double(mask), _cmac(self._mac_key, part)
            mask = bytes(a ^ b for a, b in zip(doubled, mac, strict=True))
        return np.frombuffer(mask, dtype=np.uint8)

    def _texts(self, sealed: NDArray[np.uint8]) -> list[str]:
        """Rows of 32 bytes as pseudonyms: base32 and check character of whole columns."""
        count = len(sealed)
        bits = np.unpackbits(sealed, axis=1)
        fives = np.zeros((count, BODY_CHARACTERS * 5), dtype=np.uint8)
        fives[:, : bits.shape[1]] = bits
        digits = fives.reshape(count, BODY_CHARACTERS, 5) @ np.array([16, 8, 4, 2, 1], dtype=np.uint8)
        checks = np.full(count, _running_check(self.prefix[:-1]), dtype=np.uint8)
        for column in range(BODY_CHARACTERS):
            checks = _CHECK_STEP[checks, _BASE32_CHECK_VALUES[digits[:, column]]]
        text = np.empty((count, len(self.prefix) + BODY_CHARACTERS + 1), dtype=np.uint8)
        text[:, : len(self.prefix)] = np.frombuffer(self.prefix.encode(), dtype=np.uint8)
        text[:, len(self.prefix) : -1] = _BASE32[digits]
        text[:, -1] = np.frombuffer(_CHECK_ALPHABET.encode(), dtype=np.uint8)[(37 - checks.astype(np.int64)) % 36]
        width = text.shape[1]
        whole = text.tobytes().decode("ascii")
        return [whole[at : at + width] for at in range(0, len(whole), width)]


def check_character(text: str) -> str:
    """The ISO 7064 MOD 37,36 check character of `text`, which holds digits and lower-case letters only (KeyError)."""
    return _CHECK_ALPHABET[(37 - _running_check(text)) % 36]


def _running_check(text: str) -> int:
    running = 36
    for character in text:
        running = int(_CHECK_STEP[running, _CHECK_VALUE[character]])
    return running


def _check_step_table() -> NDArray[np.uint8]:
    """One step of the hybrid system, for each running value (1 to 36) and each character value (0 to 35)."""
    table = np.zeros((37, 36), dtype=np.uint8)
    for running in range(1, 37):
        for value in range(36):
            table[running, value] = ((running + value) % 36 or 36) * 2 % 37
    return table


_CHECK_STEP = _check_step_table()


def _padded(value: str) -> bytes:
    plain = value.encode()
    if not 1 <= len(plain) <= BLOCK_BYTES or b"\0" in plain:
        raise Refused("value-too-long", f"A value to make a pseudonym of has 1 to {BLOCK_BYTES} bytes and no NUL.")
    return plain.ljust(BLOCK_BYTES, b"\0")


def _cmac(key: Secret, message: bytes) -> bytes:
    mac = CMAC(AES(key.reveal()))
    mac.update(message)
    return mac.finalize()


def _not_a_pseudonym() -> Refused:
    return Refused("not-a-pseudonym", "That is not a pseudonym of this domain.", "Look at the domain, the version and the typing.")
