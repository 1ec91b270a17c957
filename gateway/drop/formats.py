"""How a file begins that its vendor encrypted: age (age-encryption.org/v1), or OpenPGP (RFC 9580)."""

import base64
import re

AGE = b"age-encryption.org/v1\n"
AGE_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"
PGP_ARMOUR = b"-----BEGIN PGP "
#: The first octet of an OpenPGP message: a session key packet (tag 1 or 3), new format or old (RFC 9580, section 4.2).
PGP_FIRST = frozenset({0xC1, 0xC3, *range(0x84, 0x88), *range(0x8C, 0x90)})

#: which versions such a packet may have, by its tag: those of RFC 9580, sections 5.1 and 5.3, with the 2 of old PGP and the 5 of LibrePGP
_VERSIONS = {1: b"\2\3\6", 3: b"\4\5\6"}

#: of messages in armour this may be an encrypted one, or one that is only compressed or signed: its first packet tells
_PGP_MESSAGE = PGP_ARMOUR + b"MESSAGE-----"
_END_OF_HEADERS = re.compile(rb"\r?\n[ \t]*\r?\n")
#: enough to tell, with the headers of an armour [bytes]
HEAD = 1024


def is_openpgp(head: bytes) -> bool:
    """Whether a file that begins so is one of OpenPGP, encrypted or not."""
    return head.startswith(PGP_ARMOUR) or _begins_with_session_key(head)


def is_encrypted(head: bytes) -> bool:
    """Whether a file whose first HEAD bytes these are is what a vendor's encryption makes: random to whoever has no key."""
    return head.startswith((AGE, AGE_ARMOUR)) or _is_session_key(_unarmoured(head))


def _begins_with_session_key(head: bytes) -> bool:
    return head != b"" and head[0] in PGP_FIRST


def _is_session_key(head: bytes) -> bool:
    """Whether what begins so is a session key packet by its version, too: a text that begins with É has the first octet of one. A head that
    ends before the version may be one."""
    if not _begins_with_session_key(head):
        return False
    if head[0] & 0x40:
        tag, length = head[0] & 63, next((size for most, size in ((191, 1), (223, 2), (254, 0)) if head[1:2] <= bytes([most])), 5)
        if not length:
            return False  # only packets of data come in parts (RFC 9580, section 4.2.1.4)
    else:
        tag, length = head[0] >> 2 & 15, (1, 2, 4, 0)[head[0] & 3]
    return head[1 + length : 2 + length] in _VERSIONS[tag]


def _unarmoured(head: bytes) -> bytes:
    """The first bytes of a message in armour (RFC 9580, section 6.2): behind its headers and an empty line; b"" when it is none."""
    if not head.startswith(_PGP_MESSAGE):
        return head
    parts = _END_OF_HEADERS.split(head, maxsplit=1)
    line = parts[1].split(maxsplit=1)[:1] if len(parts) == 2 else []
    try:
        return base64.b64decode(b"".join(line)[:12], validate=True)
    except ValueError:
        return b""
