"""A store of keys that outlived its home: dead keys never go on, useful ones do with their age, and nothing stays behind."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.entry import Entry
from gateway.store.takeover import dead_keys, end_dead, end_rest, end_useless, go_on, survivor
from keys.keystore import Keystore
from keys.secret import Secret
from policies.errors import Refused

KINDS = ("drops", "epochs", "recipients", "registers", "objections", "bundles")


@pytest.fixture
def old(tmp_path: Path) -> Keystore:
    """Two keys of each kind, one that was being made and one that was being destroyed."""
    store = Keystore(tmp_path / "old")
    for kind in KINDS:
        for name in ("alive", "dead"):
            store.create(kind, name, Secret(f"{kind}/{name}".encode()))
    (tmp_path / "old" / "drops" / ".new.half.0123456789abcdef").write_bytes(b"half")
    (tmp_path / "old" / "epochs" / ".gone.0123456789abcdef").write_bytes(b"gone")
    return survivor(tmp_path / "old")


def files(store: Keystore) -> set[str]:
    return {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}


def test_only_living_keys_of_two_kinds_go_on(old: Keystore, tmp_path: Path) -> None:
    os.utime(old.kind_folder("recipients") / "alive", (1_700_000_000, 1_700_000_000))
    new = Keystore(tmp_path / "new")
    assert end_dead(old, {(kind, "dead") for kind in KINDS} | {("drops", "never-here"), ("unknown", "kind")}) == len(KINDS)
    assert files(old) == {f"{kind}/alive" for kind in KINDS}
    assert go_on(old, new) == 2
    assert files(new) == {"objections/alive", "recipients/alive"}
    assert new.read("objections", "alive") == Secret(b"objections/alive")
    assert new.created_at("recipients", "alive").timestamp() == 1_700_000_000
    assert end_useless(old) == 4
    assert files(old) == files(new), "until the new home is there, they are in both places"
    assert end_rest(old) == 2 and files(old) == set()


def test_a_key_that_was_lost_is_dead_when_a_copy_turns_up() -> None:
    entry = Entry("1", datetime.now(UTC), "restore", "local", "key.lost", "recipients/20260101", "ok", {})
    assert dead_keys([entry]) == {("recipients", "20260101")}


def test_what_a_crash_left_half_made_or_half_destroyed_goes_too(old: Keystore) -> None:
    assert end_dead(old, set()) == 0
    assert not any(path.name.startswith(".") for path in old.folder.rglob("*"))


def test_the_keys_of_a_home_are_not_taken(old: Keystore, tmp_path: Path) -> None:
    (tmp_path / "sluis.toml").touch()
    for folder in (old.folder, tmp_path / "nowhere"):
        with pytest.raises(Refused) as refused:
            survivor(folder)
        assert refused.value.code == "mortal-in-use"
    assert len(files(old)) == 14
