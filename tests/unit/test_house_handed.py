"""Keys by LoadCredential: the role reads its own although the key folder is closed to it."""

from pathlib import Path

import pytest

from gateway.store.handed import HandedKeystore
from keys.secret import Secret
from policies.errors import NotFound, SluisError


def handed(tmp_path: Path) -> HandedKeystore:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "ssh.host").write_bytes(b"handed over")
    return HandedKeystore(tmp_path / "keys", {"CREDENTIALS_DIRECTORY": str(folder)})


def test_what_was_handed_over_comes_first_and_needs_no_folder(tmp_path: Path) -> None:
    store = handed(tmp_path)
    assert store.read("ssh", "host") == Secret(b"handed over") and store.exists("ssh", "host")
    store.create("ssh", "host", Secret(b"in the home"))
    assert store.read("ssh", "host").reveal() == b"handed over"


def test_the_rest_comes_from_the_home(tmp_path: Path) -> None:
    store = handed(tmp_path)
    assert not store.exists("tls", "portal")
    with pytest.raises(NotFound):
        store.read("tls", "portal")
    store.create("tls", "portal", Secret(b"in the home"))
    assert store.read("tls", "portal").reveal() == b"in the home"


def test_without_a_service_manager_nothing_is_handed(tmp_path: Path) -> None:
    store = HandedKeystore(tmp_path / "keys", {})
    assert not store.exists("ssh", "host")


def test_a_name_can_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    with pytest.raises(SluisError):
        handed(tmp_path).read("..", "outside")


def test_a_whole_folder_of_keys_is_found_under_its_names(tmp_path: Path) -> None:
    store = handed(tmp_path)
    assert store.handed is not None
    (store.handed / "ssh_host-20260101T000000").write_bytes(b"the next one")  # as systemd calls a file of a folder that it hands over
    (store.handed / "ssh_..").write_bytes(b"no name of a key")
    (store.handed / "tls_portal").write_bytes(b"another kind")
    assert store.names("ssh") == ["host", "host-20260101T000000"]
    assert store.read("ssh", "host-20260101T000000") == Secret(b"the next one")
    store.create("ssh", "host-2", Secret(b"in the home"))
    assert store.names("ssh") == ["host", "host-2", "host-20260101T000000"]
