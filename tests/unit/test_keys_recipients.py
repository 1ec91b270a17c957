"""The keys vendors encrypt to: made, handed out when that is asked for, opened, destroyed."""

import fcntl
import os
from pathlib import Path

import pyrage
import pytest

from keys.keystore import Keystore
from keys.recipients import Recipients
from keys.sealing import public_half
from policies.errors import NotFound, Refused


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys")


@pytest.fixture
def recipients(store: Keystore, public_folder: Path) -> Recipients:
    return Recipients(store, public_folder / "sluis.age.txt")


@pytest.fixture
def public_folder(tmp_path: Path) -> Path:
    (tmp_path / "public").mkdir()
    return tmp_path / "public"


def test_what_a_vendor_encrypts_is_opened(recipients: Recipients, public_folder: Path) -> None:
    recipients.make("najaar-2026")
    recipients.publish("najaar-2026")
    (line,) = (public_folder / "sluis.age.txt").read_text().splitlines()
    assert line == recipients.public()
    sealed = pyrage.encrypt(b"levering", [pyrage.x25519.Recipient.from_str(line)])
    identity = recipients.identities()["najaar-2026"]
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity.reveal().decode())]) == b"levering"


def test_a_key_is_never_made_over_another(recipients: Recipients) -> None:
    recipients.make("a")
    before = recipients.identities()
    with pytest.raises(Refused) as refusal:
        recipients.make("a")
    assert refusal.value.code == "key-exists" and recipients.identities() == before


def test_a_new_key_is_handed_out_when_it_is_published(recipients: Recipients) -> None:
    with pytest.raises(NotFound) as refusal:
        recipients.public()
    assert refusal.value.code == "no-recipient-key"
    for name in ("a", "b"):
        recipients.make(name)
    recipients.publish("a")
    assert recipients.public() == public_half(recipients.identities()["a"])
    recipients.publish("b")
    assert recipients.public() == public_half(recipients.identities()["b"])


def test_keys_are_told_in_the_order_of_their_making(recipients: Recipients, store: Keystore) -> None:
    for name, second in (("b", 1), ("a", 3), ("d", 2), ("c", 2)):
        recipients.make(name)
        os.utime(store.folder / "recipients" / name, (second, second))
    assert recipients.names() == ["b", "c", "d", "a"]
    at = recipients.made_at("a")
    assert at is not None and at.timestamp() == 3
    assert recipients.made_at("never") is None


def test_a_destroyed_key_opens_nothing_and_what_is_handed_out_stays(recipients: Recipients) -> None:
    for name in ("a", "b"):
        recipients.make(name)
    recipients.publish("b")
    public = recipients.public()
    recipients.destroy("a")
    recipients.destroy("a")
    assert recipients.names() == ["b"] and set(recipients.identities()) == {"b"} and recipients.public() == public
    with pytest.raises(NotFound):
        recipients.publish("a")
    assert recipients.public() == public


def test_where_nothing_ever_was_nothing_is_found(tmp_path: Path) -> None:
    recipients = Recipients(Keystore(tmp_path / "no" / "keys"), tmp_path / "no" / "sluis.age.txt")
    recipients.destroy("a")
    assert recipients.names() == [] and recipients.identities() == {}


def test_a_key_that_is_destroyed_while_all_are_read_is_left_out(tmp_path: Path, public_folder: Path) -> None:
    class Late(Keystore):
        """Lists a key that another process destroys before it is read."""

        def names(self, kind: str) -> list[str]:
            return [*super().names(kind), "gone"]

    recipients = Recipients(Late(tmp_path / "keys"), public_folder / "sluis.age.txt")
    recipients.make("a")
    assert recipients.names() == ["a"] and set(recipients.identities()) == {"a"}


def test_what_a_crash_left_of_making_a_key_is_destroyed(recipients: Recipients, store: Keystore) -> None:
    recipients.make("a")
    (store.folder / "recipients" / ".new.b.0011223344556677").write_bytes(b"AGE-SECRET-KEY-1")
    recipients.clean()
    assert os.listdir(store.folder / "recipients") == ["a"]


def test_only_one_at_a_time_changes_them(recipients: Recipients, store: Keystore) -> None:
    recipients.make("a")
    another = os.open(store.folder / "recipients", os.O_RDONLY)
    with recipients.alone(), pytest.raises(BlockingIOError):
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(another)
