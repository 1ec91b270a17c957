"""How a file begins that its vendor encrypted: age (age-encryption.org/v1), or OpenPGP (RFC 9580)."""

AGE = b"age-encryption.org/v1\n"
AGE_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"
PGP_ARMOUR = b"-----BEGIN PGP "
#: The first octet of an OpenPGP message: a session key packet (tag 1 or 3), new format or old (RFC 9580, section 4.2).
PGP_FIRST = frozenset({0xC1, 0xC3, *range(0x84, 0x88), *range(0x8C, 0x90)})

#: of messages in armour the one that is encrypted: others are only signed
_PGP_MESSAGE = PGP_ARMOUR + b"MESSAGE-----"
#: enough to tell [bytes]
HEAD = 64


def is_openpgp(head: bytes) -> bool:
    """Whether a file that begins so is one of OpenPGP, encrypted or not."""
    return head.startswith(PGP_ARMOUR) or (head != b"" and head[0] in PGP_FIRST)


def is_encrypted(head: bytes) -> bool:
    """Whether a file whose first HEAD bytes these are is what a vendor's encryption makes: random to whoever has no key."""
    return head.startswith((AGE, AGE_ARMOUR, _PGP_MESSAGE)) or (head != b"" and head[0] in PGP_FIRST)
