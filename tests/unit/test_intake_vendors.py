"""Vendors and their keys in the ledger, and what `sluis vendor` says of them."""

import json
import subprocess
from pathlib import Path

import pytest

from gateway.cli.app import run
from gateway.store.entrance import admit
from gateway.store.home import Home
from gateway.store.models import VendorKey
from gateway.store.ssh_keys import read_public_keys
from gateway.store.ssh_offers import read_offer
from gateway.store.vendors import add_vendor, all_vendors, remove_vendor, revoke_key, vendor_keys, vendor_of
from policies.errors import NotFound, Refused
from tests.support.intake import audit_rows, make_home, make_key, register
from tests.support.ssh_keys import blob_of


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


def may(home: Home, key: VendorKey, address: str = "192.0.2.1", vendor: str = "cito") -> bool:
    with home.ledger.view() as session:
        return admit(session, vendor, read_offer(blob_of(key.public_key)), address, home.clock()).granted


def keys(home: Home, vendor: str = "cito") -> list[VendorKey]:
    with home.ledger.view() as session:
        return vendor_keys(session, vendor)


def test_fingerprints_are_ssh_keygens(tmp_path: Path) -> None:
    for number, kind in enumerate((["ed25519"], ["ecdsa"], ["rsa", "-b", "3072"])):
        path = tmp_path / f"k{number}"
        subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", "", "-f", str(path)], check=True)
        told = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout.split()[1]
        (key,) = read_public_keys(Path(f"{path}.pub").read_text())
        assert key.fingerprint == told
        assert len(key.text.split()) == 2, "the comment is not kept"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-ssh-key"),
        ("ssh-ed25519 AAAA", "bad-ssh-key"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "bad-ssh-key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private-ssh-key"),
        ('command="id" ssh-ed25519 AAAA', "ssh-key-options"),
        ("no-touch-required sk-ssh-ed25519@openssh.com AAAA", "ssh-key-options"),
        ("verify-required,no-touch-required sk-ssh-ed25519@openssh.com AAAA", "ssh-key-options"),
        ("cert-authority ssh-ed25519 AAAA", "ssh-key-options"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "bad-ssh-key"),
    ],
)
def test_other_files_are_refused(text: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read_public_keys(text)
    assert refused.value.code == code


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "weak")], check=True)
    with pytest.raises(Refused) as refused:
        read_public_keys((tmp_path / "weak.pub").read_text())
    assert refused.value.code == "weak-ssh-key"


def test_keys_and_networks(home: Home, tmp_path: Path) -> None:
    register(home, "cito", make_key(tmp_path, "one"), "192.0.2.0/24", "2001:db8::/32")
    register(home, "cito", make_key(tmp_path, "two"))
    one, two = keys(home)
    assert may(home, one) and may(home, one, "2001:db8::7") and may(home, one, "::ffff:192.0.2.9")
    assert not may(home, one, "198.51.100.1") and not may(home, one, "") and not may(home, one, "unix")
    assert may(home, two, "198.51.100.1")
    assert not may(home, two, vendor="boom")


def test_removal_works_at_once_and_can_be_undone(home: Home, tmp_path: Path) -> None:
    path = make_key(tmp_path)
    register(home, "cito", path)
    (key,) = keys(home)
    with home.ledger.change("administrator") as change:
        remove_vendor(change, "cito")
    assert not may(home, key)
    assert keys(home) == []
    with home.ledger.view() as session, pytest.raises(NotFound):
        vendor_of(session, "cito")
    register(home, "cito", path)
    assert may(home, keys(home)[0])
    assert [row.object for row in audit_rows(home, "vendor.removed")] == ["vendor:cito"]


def test_one_key_of_several_is_revoked(home: Home, tmp_path: Path) -> None:
    register(home, "cito", make_key(tmp_path, "one"))
    register(home, "cito", make_key(tmp_path, "two"))
    one, two = keys(home)
    with home.ledger.change("administrator") as change:
        revoke_key(change, "cito", one.fingerprint)
    assert not may(home, one)
    assert may(home, two)
    with home.ledger.change("administrator") as change, pytest.raises(NotFound):
        revoke_key(change, "cito", one.fingerprint)


@pytest.mark.parametrize("name", ["", "Cito", "a/b", "..", "a b", "-x", "x" * 33, "cité"])
def test_bad_names(home: Home, tmp_path: Path, name: str) -> None:
    public = read_public_keys(Path(f"{make_key(tmp_path)}.pub").read_text())
    with pytest.raises(Refused) as refused, home.ledger.change("administrator") as change:
        add_vendor(change, name, public)
    assert refused.value.code == "bad-vendor-name"


def test_a_key_belongs_to_one_vendor(home: Home, tmp_path: Path) -> None:
    path = make_key(tmp_path)
    register(home, "cito", path)
    with pytest.raises(Refused) as refused:
        register(home, "boom", path)
    assert refused.value.code == "key-in-use"
    with home.ledger.view() as session:
        assert [vendor.name for vendor in all_vendors(session)] == ["cito"], "nothing of the change stays"


def test_the_command(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_key(tmp_path)
    base = ["--home", str(home.path), "--json", "vendor"]
    assert run([*base, "add", "cito", "--ssh-key", f"{path}.pub", "--from", "10.0.0.1/8"]) == 0
    fingerprint = json.loads(capsys.readouterr().out)["keys"][0]
    assert run([*base, "list"]) == 0
    assert [row["vendor"] for row in json.loads(capsys.readouterr().out)] == ["cito"]
    assert run([*base, "show", "cito"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["keys"]
    assert (shown["fingerprint"], shown["from"]) == (fingerprint, ["10.0.0.0/8"])
    assert run([*base, "remove", "cito"]) == 0
    assert run([*base, "show", "cito"]) == 1
    assert run([*base, "add", "cito", "--ssh-key", str(path)]) == 1  # the private half
    assert run([*base, "add", "cito", "--ssh-key", str(tmp_path / "absent")]) == 1
    assert "Traceback" not in capsys.readouterr().err
