"""The keys vendors encrypt to: the newest is handed out, the older ones still open."""

import os
from pathlib import Path

import pyrage
import pytest

from keys.keystore import Keystore
from keys.recipients import Recipients
from keys.sealing import new_identity, public_half
from policies.errors import NotFound


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys")


@pytest.fixture
def recipients(store: Keystore, tmp_path: Path) -> Recipients:
    return Recipients(store, tmp_path / "public" / "sluis.age.txt")


@pytest.fixture(autouse=True)
def public_folder(tmp_path: Path) -> Path:
    (tmp_path / "public").mkdir()
    return tmp_path / "public"


def test_what_a_vendor_encrypts_is_opened(recipients: Recipients, public_folder: Path) -> None:
    recipients.ensure("najaar-2026")
    (line,) = (public_folder / "sluis.age.txt").read_text().splitlines()
    assert line == recipients.public()
    (identity,) = recipients.identities()
    sealed = pyrage.encrypt(b"levering", [pyrage.x25519.Recipient.from_str(line)])
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity.reveal().decode())]) == b"levering"


def test_ensuring_again_keeps_the_key(recipients: Recipients) -> None:
    recipients.ensure("a")
    public = recipients.public()
    recipients.ensure("a")
    assert recipients.public() == public
    assert len(recipients.identities()) == 1


def test_the_newest_is_handed_out_and_tried_first(recipients: Recipients, store: Keystore) -> None:
    for name in ("b", "a", "c"):
        recipients.ensure(name)
    os.utime(store.folder / "recipients" / "a", (9e9, 9e9))
    recipients.ensure("c")
    assert public_half(recipients.identities()[0]) == recipients.public()
    assert recipients.identities()[0] == store.read("recipients", "a")
    assert len(recipients.identities()) == 3


def test_of_the_same_moment_the_name_decides(recipients: Recipients, store: Keystore) -> None:
    for name in ("a", "b"):
        recipients.ensure(name)
        os.utime(store.folder / "recipients" / name, (1e9, 1e9))
    recipients.ensure("a")
    assert recipients.public() == public_half(store.read("recipients", "b"))


def test_destroying_the_newest_hands_out_the_one_before(recipients: Recipients) -> None:
    recipients.ensure("old")
    old = recipients.public()
    recipients.ensure("new")
    assert recipients.public() != old
    recipients.destroy("new")
    assert recipients.public() == old
    recipients.destroy("new")
    assert recipients.public() == old


def test_without_a_key_nothing_is_handed_out(recipients: Recipients, public_folder: Path) -> None:
    recipients.destroy("never")
    with pytest.raises(NotFound) as refusal:
        recipients.public()
    assert refusal.value.code == "no-recipient-key"
    recipients.ensure("a")
    recipients.destroy("a")
    assert os.listdir(public_folder) == []
    assert recipients.identities() == []


def test_destroying_is_fine_where_nothing_ever_was(tmp_path: Path) -> None:
    Recipients(Keystore(tmp_path / "no" / "keys"), tmp_path / "no" / "sluis.age.txt").destroy("a")


def test_when_another_process_is_first_its_key_counts(tmp_path: Path, public_folder: Path) -> None:
    class Late(Keystore):
        """Looks before the other process made its key, and writes after."""

        def exists(self, kind: str, name: str) -> bool:
            return False

    store = Late(tmp_path / "keys")
    theirs = new_identity()[0]
    store.create("recipients", "a", theirs)
    recipients = Recipients(store, public_folder / "sluis.age.txt")
    recipients.ensure("a")
    assert recipients.identities() == [theirs]
    assert recipients.public() == public_half(theirs)
