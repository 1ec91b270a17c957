"""From a stored blob to plain bytes: what is taken, and each way in which a delivery can't be read."""

import gzip
import io
import os
import threading
from typing import BinaryIO

import pyrage
import pytest

from gateway.checks.findings import DropRefused
from gateway.checks.stream import Limits, open_delivery
from keys.sealing import new_identity
from tests.support.deliveries import DROP_KEY, IDENTITY, RECIPIENT, age, blob

TEXT = os.urandom(300_000).hex().encode()  # some age chunks, and not compressible to nothing


def read(delivered: bytes, limits: Limits | None = None) -> bytes:
    with open_delivery(blob(delivered), DROP_KEY, [IDENTITY], limits) as stream:
        pieces = []
        while data := stream.read(100_000):
            pieces.append(data)
        return b"".join(pieces)


def refusal(delivered: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(DropRefused) as error:
        read(delivered, limits)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    return str(error.value)


def test_age_is_read() -> None:
    assert read(age(TEXT)) == TEXT


def test_age_in_armour_is_read() -> None:
    assert read(pyrage.encrypt(TEXT, [pyrage.x25519.Recipient.from_str(RECIPIENT)], armored=True)) == TEXT


def test_any_of_the_identities_opens() -> None:
    other, recipient = new_identity()
    with open_delivery(blob(age(TEXT, recipient)), DROP_KEY, [IDENTITY, other]) as stream:
        assert stream.read() == TEXT


@pytest.mark.parametrize(
    "delivered", [gzip.compress(TEXT), gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), gzip.compress(TEXT) + bytes(512)]
)
def test_gzip_is_told_by_content(delivered: bytes) -> None:
    assert read(age(delivered)) == TEXT


def test_an_empty_content_is_read_as_such() -> None:
    assert read(age(b"")) == b""
    assert read(age(gzip.compress(b""))) == b""


@pytest.mark.parametrize(
    ("delivered", "rule"),
    [
        (b"", "empty-file"),
        (b"brin_vestiging;bsn\n", "not-age"),
        (gzip.compress(TEXT), "not-age"),
        (b"age-encryption.org/v2\n" + bytes(200), "not-age"),
        (b"\xc1\xc0" + bytes(100), "format-not-yet-openpgp"),
        (b"\x85\x01" + bytes(100), "format-not-yet-openpgp"),
        (b"-----BEGIN PGP MESSAGE-----\n\n", "format-not-yet-openpgp"),
        (b"age-encryption", "truncated"),
        (pyrage.passphrase.encrypt(TEXT, "x"), "wrong-recipient"),
        (age(gzip.compress(TEXT)[:-4]), "gzip-damaged"),
        (age(gzip.compress(TEXT)[:5000]), "gzip-damaged"),
        (age(gzip.compress(TEXT) + b"more"), "gzip-damaged"),
        (age(b"\x1f\x8b" + bytes(1000)), "gzip-damaged"),
    ],
)
def test_what_can_not_be_read_is_named(delivered: bytes, rule: str) -> None:
    assert refusal(delivered) == rule


def test_another_recipient_is_told_from_damage() -> None:
    assert refusal(age(TEXT, new_identity()[1])) == "wrong-recipient"


def test_every_cut_is_a_truncation() -> None:
    whole = age(TEXT)
    header = whole.index(b"\n--- ") + 49
    for cut in (10, 22, 23, 60, header - 1, header, header + 8, header + 16, header + 17, header + 16 + 65552, 300_000, len(whole) - 1):
        assert refusal(whole[:cut]) == "truncated", cut


def test_damage_is_told_from_truncation() -> None:
    whole = age(TEXT)
    header = whole.index(b"\n--- ") + 49
    for position in (header - 10, header + 100, header + 70_000):
        changed = bytearray(whole)
        changed[position] ^= 1
        assert refusal(bytes(changed)) == "damaged", position
    assert refusal(whole[:header] + os.urandom(300_000)) == "damaged"  # garbage after the header
    assert refusal(whole + os.urandom(300_000)) == "damaged"


def test_a_little_garbage_at_the_end_is_not_taken() -> None:
    # a file that ends in the wrong way at its very end can't be told from a cut one
    assert refusal(age(TEXT) + b"x") == "truncated"


def test_nothing_after_the_damage_is_given_out() -> None:
    whole = bytearray(age(TEXT))
    whole[-5] ^= 1
    given = bytearray()
    with pytest.raises(DropRefused), open_delivery(blob(bytes(whole)), DROP_KEY, [IDENTITY]) as stream:
        while data := stream.read(1000):
            given += data
    assert 0 < len(given) < len(TEXT)
    assert TEXT.startswith(bytes(given))


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with open_delivery(blob(age(TEXT * 60)), DROP_KEY, [IDENTITY]) as stream:  # more than it works ahead
        assert stream.read(10) == TEXT[:10]
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with open_delivery(blob(b"anything"), DROP_KEY, [IDENTITY]):
        pass  # entering reads nothing and refuses nothing


class FailingDisk(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 200_000:
            raise OSError(5, "Input/output error")
        return super().read(100_000)


@pytest.mark.parametrize("working", [150_000, 250_000])
def test_a_failing_disk_is_not_the_vendors_fault(working: int) -> None:
    disk: BinaryIO = FailingDisk(blob(age(TEXT)).getvalue())
    with pytest.raises(OSError, match="Input/output"), open_delivery(disk, DROP_KEY, [IDENTITY]) as stream:
        while stream.read(10_000):
            pass


def test_an_unusable_identity_is_ours_to_mend() -> None:
    from keys.secret import Secret

    with pytest.raises(pyrage.IdentityError), open_delivery(blob(age(TEXT)), DROP_KEY, [Secret(b"AGE-SECRET-KEY-1NO")]) as stream:
        stream.read()


def test_plain_content_has_a_limit() -> None:
    assert refusal(age(TEXT), Limits(max_plain_bytes=len(TEXT) - 1)) == "expansion"
    assert read(age(TEXT), Limits(max_plain_bytes=len(TEXT))) == TEXT


def test_gzip_has_a_limit_of_its_ratio_beyond_the_grace() -> None:
    packed = age(gzip.compress(bytes(1 << 20)))
    assert refusal(packed, Limits(max_ratio=100, ratio_grace_bytes=1 << 19)) == "expansion"
    assert read(packed, Limits(max_ratio=100, ratio_grace_bytes=1 << 20)) == bytes(1 << 20)


def test_a_swarm_of_empty_members_is_refused() -> None:
    assert refusal(age(gzip.compress(b"") * 3000)) == "gzip-damaged"
