"""A day's key pair: the public half seals, the private half opens, and both go."""

import os
import stat
from datetime import date
from pathlib import Path

import pytest

from keys.epochs import Epochs
from keys.keystore import Keystore
from keys.sealing import new_identity, public_half, seal, unseal
from keys.secret import Secret
from policies.errors import NotFound

DAY, NEXT = date(2026, 11, 21), date(2026, 11, 22)
DROP_KEY = Secret(b"d" * 32)


@pytest.fixture
def epochs(tmp_path: Path) -> Epochs:
    return Epochs(Keystore(tmp_path / "mortal"), tmp_path / "epochs")


def test_sealed_to_the_public_half_opens_with_the_private_one(epochs: Epochs) -> None:
    epochs.ensure(DAY)
    assert unseal(seal(DROP_KEY, epochs.public(DAY)), epochs.identity(DAY)) == DROP_KEY


@pytest.mark.parametrize(("umask", "public_mode"), [(0o077, 0o600), (0o007, 0o640), (0o000, 0o640)])
def test_only_the_public_half_may_be_for_the_group(epochs: Epochs, tmp_path: Path, umask: int, public_mode: int) -> None:
    before = os.umask(umask)
    try:
        epochs.ensure(DAY)
    finally:
        os.umask(before)
    path = tmp_path / "epochs" / "2026-11-21.age.txt"
    assert path.read_text() == f"{epochs.public(DAY)}\n"
    assert stat.S_IMODE(path.stat().st_mode) == public_mode
    assert stat.S_IMODE((tmp_path / "mortal" / "epochs" / "2026-11-21").stat().st_mode) == 0o600


def test_ensuring_again_changes_nothing(epochs: Epochs, tmp_path: Path) -> None:
    epochs.ensure(DAY)
    public, inode = epochs.public(DAY), (tmp_path / "epochs" / "2026-11-21.age.txt").stat().st_ino
    epochs.ensure(DAY)
    assert epochs.public(DAY) == public
    assert (tmp_path / "epochs" / "2026-11-21.age.txt").stat().st_ino == inode


def test_the_sealing_side_needs_no_private_half(epochs: Epochs, tmp_path: Path) -> None:
    epochs.ensure(DAY)
    outside = Epochs(Keystore(tmp_path / "nothing"), tmp_path / "epochs")
    assert outside.public(DAY) == epochs.public(DAY)
    with pytest.raises(NotFound) as refusal:
        outside.identity(DAY)
    assert refusal.value.code == "key-gone"


def test_each_day_has_its_own(epochs: Epochs) -> None:
    for day in (NEXT, DAY):
        epochs.ensure(day)
    assert epochs.days() == [DAY, NEXT]
    assert epochs.public(DAY) != epochs.public(NEXT)
    epochs.destroy(DAY)
    assert epochs.days() == [NEXT]
    epochs.public(NEXT)


def test_destroyed_is_gone_and_may_be_repeated(epochs: Epochs) -> None:
    epochs.destroy(DAY)
    assert epochs.days() == []
    epochs.ensure(DAY)
    epochs.destroy(DAY)
    epochs.destroy(DAY)
    assert epochs.days() == []
    with pytest.raises(NotFound) as refusal:
        epochs.public(DAY)
    assert refusal.value.code == "epoch-gone"
    with pytest.raises(NotFound):
        epochs.identity(DAY)


def test_a_day_ensured_after_its_destruction_has_another_pair(epochs: Epochs) -> None:
    epochs.ensure(DAY)
    old = epochs.public(DAY)
    epochs.destroy(DAY)
    epochs.ensure(DAY)
    assert epochs.public(DAY) != old


def test_a_public_half_without_its_private_one_is_replaced(epochs: Epochs, tmp_path: Path) -> None:
    (tmp_path / "epochs").mkdir()
    (tmp_path / "epochs" / "2026-11-21.age.txt").write_text("age1 of a pair that was half destroyed\n")
    assert epochs.days() == [DAY]
    epochs.ensure(DAY)
    assert public_half(epochs.identity(DAY)) == epochs.public(DAY)


def test_when_another_process_is_first_its_pair_counts(tmp_path: Path) -> None:
    class Late(Keystore):
        """Looks before the other process made its key, and writes after."""

        def exists(self, kind: str, name: str) -> bool:
            return False

    theirs = new_identity()[0]
    store = Late(tmp_path / "mortal")
    store.create("epochs", DAY.isoformat(), theirs)
    epochs = Epochs(store, tmp_path / "epochs")
    epochs.ensure(DAY)
    assert epochs.identity(DAY) == theirs
    assert epochs.public(DAY) == public_half(theirs)


def test_other_files_beside_the_public_halves_are_no_days(epochs: Epochs, tmp_path: Path) -> None:
    epochs.ensure(DAY)
    for name in (".new.2026-11-22.age.txt.00", "README", "2026-11-22.age.txt.bak"):
        (tmp_path / "epochs" / name).touch()
    assert epochs.days() == [DAY]


def test_the_day_stays_listed_until_it_is_written_down_that_its_private_half_is_gone(epochs: Epochs) -> None:
    epochs.ensure(DAY)
    epochs.destroy_private(DAY)
    with pytest.raises(NotFound):
        epochs.identity(DAY)
    assert epochs.days() == [DAY]
    epochs.destroy_private(DAY)
    epochs.remove_public(DAY)
    epochs.remove_public(DAY)
    assert epochs.days() == []
