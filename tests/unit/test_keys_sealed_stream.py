"""Files that are sealed while they are written: whole and unchanged, or nothing of them counts."""

import errno
import io
import threading

import pyrage
import pytest

from keys.sealed_stream import sealing, unsealing
from keys.sealing import new_identity
from keys.secret import Secret
from policies.errors import Refused, Unsound

IDENTITY, RECIPIENT = new_identity()
OTHER, OTHER_RECIPIENT = new_identity()
TEXT = bytes(range(256)) * 4000  # 15 chunks of age and a part


def sealed(data: bytes = TEXT, *recipients: str) -> bytes:
    target = io.BytesIO()
    with sealing(target, recipients or [RECIPIENT]) as plain:
        for start in range(0, len(data), 10_000):
            plain.write(data[start : start + 10_000])
    return target.getvalue()


def opened(data: bytes, *identities: Secret) -> bytes:
    with unsealing(io.BytesIO(data), identities or [IDENTITY]) as plain:
        return plain.read()


@pytest.mark.parametrize("identity", [IDENTITY, OTHER])
def test_every_recipient_reads_it_and_age_itself_does(identity: Secret) -> None:
    data = sealed(TEXT, RECIPIENT, OTHER_RECIPIENT)
    assert opened(data, identity) == TEXT
    assert pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(identity.reveal().decode())]) == TEXT


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
def test_any_size(size: int) -> None:
    assert opened(sealed(bytes(size))) == bytes(size)


@pytest.mark.parametrize("recipients", [[], ["age1nonsense"], ["ssh-ed25519 AAAA"]])
def test_only_age_keys_are_sealed_to(recipients: list[str]) -> None:
    with pytest.raises(Refused, match="age X25519 public key"), sealing(io.BytesIO(), recipients):
        raise AssertionError("the block began")


def test_another_key_is_refused_and_one_that_is_none_too() -> None:
    with pytest.raises(Refused) as refused:
        opened(sealed(), OTHER)
    assert refused.value.code == "wrong-identity"
    with pytest.raises(Refused) as refused:
        opened(sealed(), Secret(b"AGE-SECRET-KEY-1NO"))
    assert refused.value.code == "bad-identity"


@pytest.mark.parametrize("damage", ["cut in a chunk", "cut between chunks", "one bit early", "one bit late", "none", "other", "longer"])
def test_damage_is_told_even_when_nobody_reads_that_far(damage: str) -> None:
    data = bytearray(sealed())
    if damage == "cut in a chunk":
        del data[-10:]
    elif damage == "cut between chunks":
        del data[-(len(TEXT) % 65536 + 16) :]
    elif damage.startswith("one bit"):
        data[-5 if damage.endswith("late") else 5000] ^= 1
    elif damage == "longer":
        data += b"x"
    else:
        data[:] = b"" if damage == "none" else b"something else" * 100
    with pytest.raises(Unsound) as unsound, unsealing(io.BytesIO(data), [IDENTITY]) as plain:
        plain.read(10)
    assert unsound.value.code == "sealed-damaged"


def test_what_the_reader_makes_of_a_cut_file_is_not_what_is_told() -> None:
    with pytest.raises(Unsound), unsealing(io.BytesIO(sealed()[:-10]), [IDENTITY]) as plain:
        assert len(plain.read()) < len(TEXT)
        raise ValueError("it ends too early")


def test_a_block_that_raises_is_heard_and_no_thread_is_left() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="mine"), unsealing(io.BytesIO(sealed()), [IDENTITY]) as plain:
        plain.read(10)
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"), sealing(io.BytesIO(), [RECIPIENT]) as plain:
        plain.write(TEXT)
        raise ValueError("mine")
    assert threading.active_count() == before


class Full(io.BytesIO):
    """A disk with room for two chunks."""

    def write(self, data: object) -> int:
        if self.tell() > 150_000:
            raise OSError(errno.ENOSPC, "full")
        return super().write(data)  # type: ignore[arg-type]


def test_a_full_disk_is_an_error_of_the_disk() -> None:
    with pytest.raises(OSError) as error, sealing(Full(), [RECIPIENT]) as plain:
        for _ in range(100):
            plain.write(TEXT)
    assert not isinstance(error.value, BrokenPipeError)
