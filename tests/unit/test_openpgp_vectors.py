"""Messages of the newer OpenPGP programs, as they wrote them: gpg 2.4 in its old and its newer mode (OCB), Sequoia and rPGP."""

import base64

import pytest

from gateway.checks.findings import DropRefused
from gateway.checks.openpgp import Statuses, rule_of
from gateway.checks.stream import open_delivery
from keys.openpgp import new_openpgp_key
from keys.secret import Secret
from tests.support.deliveries import DROP_KEY, IDENTITY, blob
from tests.support.golden import GOLDEN
from tests.support.vectors import load_vectors

VECTORS = load_vectors("openpgp_messages")
KEY = Secret(base64.b64decode(VECTORS["key"]))
PLAIN = (GOLDEN / "csv" / "good.csv").read_bytes()
MESSAGES = [(f"{one['program']} {one['options']}", base64.b64decode(one["message"])) for one in VECTORS["messages"]]
#: by their packets (tag 20 follows the packet for the recipient)
OCB = [(made, message) for made, message in MESSAGES if "--force-ocb" in made]


def opened(message: bytes, *more: Secret) -> bytes:
    with open_delivery(blob(message), DROP_KEY, [IDENTITY], openpgp=[*more, KEY]) as stream:
        return stream.read()


def refusal(message: bytes) -> str:
    with pytest.raises(DropRefused) as refused:
        opened(message)
    (found,) = refused.value.findings
    return found.rule


@pytest.mark.parametrize(("made", "message"), MESSAGES, ids=[made for made, _ in MESSAGES])
def test_what_they_wrote_is_read(made: str, message: bytes) -> None:
    assert opened(message) == PLAIN


def test_the_newer_mode_is_among_them() -> None:
    binary = [message for made, message in OCB if "--armor" not in made]
    assert len(binary) == 4
    for message in binary:
        assert message[:1] == b"\x84" and message[2 + message[1]] == 0xC0 | 20


@pytest.mark.parametrize(("made", "message"), OCB, ids=[made for made, _ in OCB])
def test_of_the_newer_mode_nothing_cut_or_changed_is_taken(made: str, message: bytes) -> None:
    assert refusal(message[: len(message) // 2]) == "truncated"
    if "--armor" in made:
        return
    for place in (len(message) // 2, len(message) - 20, len(message) - 3):
        changed = message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]
        assert refusal(changed) in ("damaged", "truncated"), place


def test_the_right_one_of_several_keys_opens_the_newer_mode() -> None:
    other, _ = new_openpgp_key("Sluis")
    assert {opened(message, other) for _, message in OCB} == {PLAIN}


def test_what_gpg_2_4_says_of_a_message_that_ends_within_its_first_buffer() -> None:
    """gpg 2.4.7 names the recipient, and does not come to the keys; gpg 2.2 does."""
    statuses = Statuses()
    statuses.take(b"[GNUPG:] ENC_TO 56995AD7E423ED7E 18 0\n[GNUPG:] NODATA 3\n[GNUPG:] FAILURE gpg-exit 33554433\n")
    assert rule_of(statuses, 2, cut=True) == "truncated"
    statuses.take(b"[GNUPG:] NO_SECKEY 56995AD7E423ED7E\n")
    assert rule_of(statuses, 2, cut=True) == "wrong-recipient"
