"""To which key a delivery was encrypted, and what its vendor is told of that."""

import gzip
from datetime import date

import pyrage
import pytest

from gateway.checks.findings import DropRefused
from gateway.checks.recipients import DeliveryKey, about_key
from gateway.checks.stream import open_delivery
from keys.sealing import new_identity
from keys.secret import Secret
from tests.support.deliveries import DROP_KEY, age, blob

(CURRENT, TO_CURRENT), (OLDER, TO_OLDER), (OLDEST, TO_OLDEST) = (new_identity() for _ in range(3))
KEYS = [DeliveryKey(CURRENT), DeliveryKey(OLDER, date(2026, 3, 20), date(2026, 4, 3)), DeliveryKey(OLDEST, date(2026, 1, 9))]
TEXT = gzip.compress(b"") + bytes(200_000)


def to_both(*recipients: str) -> bytes:
    encrypted: bytes = pyrage.encrypt(TEXT, [pyrage.x25519.Recipient.from_str(one) for one in recipients])
    return encrypted


def test_of_the_current_key_nothing_is_told() -> None:
    assert about_key(blob(age(TEXT, TO_CURRENT)), DROP_KEY, KEYS) == []


@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_a_replaced_key_is_told_with_its_last_day(size: int) -> None:
    (told,) = about_key(blob(age(TEXT[:size], TO_OLDER)), DROP_KEY, KEYS)
    assert told.rule == "replaced-key" and told.row is told.column is None
    assert "20-03-2026" in told.message and "03-04-2026" in told.message and "sleutels/sluis.age.txt" in told.message


def test_a_replaced_key_is_told_in_armour_too() -> None:
    armoured = pyrage.encrypt(TEXT, [pyrage.x25519.Recipient.from_str(TO_OLDER)], armored=True)
    assert [told.rule for told in about_key(blob(armoured), DROP_KEY, KEYS)] == ["replaced-key"]


def test_a_retired_key_refuses_the_drop_and_says_what_to_do() -> None:
    with pytest.raises(DropRefused) as refusal:
        about_key(blob(age(TEXT, TO_OLDEST)), DROP_KEY, KEYS)
    (told,) = refusal.value.findings
    assert told.rule == "retired-key"
    assert "09-01-2026" in told.message and "sleutels/sluis.age.txt" in told.message and "lever het opnieuw" in told.message


def test_of_several_keys_the_one_counts_that_tells_best() -> None:
    assert about_key(blob(to_both(TO_OLDEST, TO_CURRENT)), DROP_KEY, KEYS) == []
    assert [told.rule for told in about_key(blob(to_both(TO_OLDEST, TO_OLDER)), DROP_KEY, KEYS)] == ["replaced-key"]


@pytest.mark.parametrize(
    "delivered",
    [b"", b"brin_vestiging;bsn\n", age(TEXT, new_identity()[1]), age(TEXT, TO_OLDEST)[:90], pyrage.passphrase.encrypt(TEXT, "x")],
    ids=["empty", "not age", "somebody else's", "cut in its header", "by password"],
)
def test_what_no_key_opens_is_left_to_whoever_reads_it(delivered: bytes) -> None:
    stored = blob(delivered)
    assert about_key(stored, DROP_KEY, KEYS) == []
    with pytest.raises(DropRefused), open_delivery(stored, DROP_KEY, [key.identity for key in KEYS if key.taken]) as stream:
        stream.read()


def test_the_delivery_is_read_from_its_start_afterwards() -> None:
    stored = blob(age(b"levering", TO_OLDER))
    stored.read(7)
    about_key(stored, DROP_KEY, KEYS)
    with open_delivery(stored, DROP_KEY, [key.identity for key in KEYS if key.taken]) as stream:
        assert stream.read() == b"levering"


def test_only_keys_that_count_are_taken() -> None:
    assert [key.taken for key in KEYS] == [True, True, False]


def test_an_unusable_key_of_ours_is_ours_to_mend() -> None:
    with pytest.raises(pyrage.IdentityError):
        about_key(blob(age(TEXT)), DROP_KEY, [DeliveryKey(Secret(b"AGE-SECRET-KEY-1NO"))])
