"""A sealed key opens with the other half only, and not after it was touched."""

import pytest

from keys.sealing import new_identity, public_half, seal, unseal
from keys.secret import Secret
from policies.errors import Refused

PLAIN = Secret(b"k" * 32)


def test_the_other_half_opens_it() -> None:
    identity, public = new_identity()
    assert public.startswith("age1")
    assert public_half(identity) == public
    sealed = seal(PLAIN, f"{public}\n")
    assert sealed.startswith(b"age-encryption.org/v1\n")
    assert PLAIN.reveal() not in sealed
    assert unseal(sealed, identity) == PLAIN


def test_another_identity_is_refused() -> None:
    sealed = seal(PLAIN, new_identity()[1])
    with pytest.raises(Refused) as refusal:
        unseal(sealed, new_identity()[0])
    assert refusal.value.code == "cannot-unseal"


def test_every_touched_or_missing_byte_is_refused() -> None:
    identity, public = new_identity()
    sealed = seal(PLAIN, public)
    for at in range(len(sealed)):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        for damaged in (flipped, sealed[:at]):
            with pytest.raises(Refused) as refusal:
                unseal(damaged, identity)
            assert refusal.value.code == "cannot-unseal"


@pytest.mark.parametrize("public", ["", "age1", "AGE-SECRET-KEY-1", "ssh-ed25519 AAAA", "age1" + "q" * 58])
def test_what_is_no_public_key_is_refused(public: str) -> None:
    with pytest.raises(Refused) as refusal:
        seal(PLAIN, public)
    assert refusal.value.code == "bad-public-key"


@pytest.mark.parametrize("identity", [b"", b"AGE-SECRET-KEY-1", b"\xff\xfe", b"age1qqq"])
def test_what_is_no_identity_is_refused_and_not_shown(identity: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        unseal(seal(PLAIN, new_identity()[1]), Secret(identity))
    assert refusal.value.code == "bad-identity"
    assert refusal.value.__cause__ is None
