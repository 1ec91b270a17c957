"""`sluis vendor signing-key`: what an administrator types, is told, and finds again in the log and after a restore."""

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.vendor_signing_key import row_of
from gateway.store.models import VendorSigningKey
from gateway.store.signing_keys import signing_keys
from tests.support.cli import Cli, public_key
from tests.support.openpgp import VendorGpg, turn


@pytest.fixture(scope="module")
def vendor() -> Iterator[VendorGpg]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one = VendorGpg(Path(folder) / "v")
        yield one
        one.end()


@pytest.fixture
def on(sluis: Cli, tmp_path: Path) -> Cli:
    """A home that takes OpenPGP, with two vendors."""
    turn(sluis.home, True)
    for name in ("cito", "esis"):
        sluis("vendor", "add", name, "--ssh-key", public_key(tmp_path, name))
    return sluis


def handed_in(vendor: VendorGpg, folder: Path, name: str, end: str = "never") -> tuple[Path, str]:
    """A file with a public key, and its fingerprint."""
    fingerprint = vendor.own_key(name, "ed25519", "sign", end)
    path = folder / f"{fingerprint}.asc"
    path.write_bytes(vendor.public(name))
    return path, fingerprint


def told(sluis: Cli) -> dict[str, Any] | None:
    _, out, _ = sluis.run("--json", "doctor")
    return next((row for row in json.loads(out) if row["check"] == "signing keys"), None)


def test_a_key_is_added_shown_and_removed(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    assert on("vendor", "signing-key", "list", "cito") == [] == on("vendor", "show", "cito")["signing_keys"]
    file, fingerprint = handed_in(vendor, tmp_path, "Shown")
    assert on("vendor", "signing-key", "add", "cito", file) == {"vendor": "cito", "fingerprint": fingerprint, "valid_until": None}
    (listed,) = on("vendor", "signing-key", "list", "cito")
    assert (listed["fingerprint"], listed["state"], listed["valid_until"]) == (fingerprint, "valid", None)
    assert on("vendor", "show", "cito")["signing_keys"] == [listed] and on("vendor", "show", "esis")["signing_keys"] == []
    _, table, _ = on.run("vendor", "show", "cito")
    assert "Signing keys (OpenPGP)" in table and fingerprint in table.replace("\n", "").replace(" ", "")
    spaced = f"{fingerprint[:20].lower()} {fingerprint[20:].lower()}"
    assert on("vendor", "signing-key", "remove", "cito", spaced)["signature_needed"] is False
    assert on("vendor", "signing-key", "list", "cito") == []
    on.refused("vendor", "signing-key", "remove", "cito", fingerprint)
    actions = [(row["action"], row["detail"]) for row in on("audit", "show") if "signing" in row["action"]]
    assert actions == [("vendor.signing-key-added", {"key": fingerprint}), ("vendor.signing-key-removed", {"key": fingerprint})]


def test_with_two_a_removed_one_leaves_the_other(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    (first, one), (second, two) = handed_in(vendor, tmp_path, "First"), handed_in(vendor, tmp_path, "Second")
    on("vendor", "signing-key", "add", "cito", first)
    on("vendor", "signing-key", "add", "cito", second)
    assert on("vendor", "signing-key", "remove", "cito", one)["signature_needed"] is True
    assert [key["fingerprint"] for key in on("vendor", "signing-key", "list", "cito")] == [two]


def test_the_same_key_takes_its_new_form_and_the_old_one_counts_for_what_came_before(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    file, fingerprint = handed_in(vendor, tmp_path, "Extended", "20d")
    first = on("vendor", "signing-key", "add", "cito", file)["valid_until"]
    before = on.opened().clock()
    vendor.run("--passphrase=", "--quick-set-expire", fingerprint, "2y")
    file.write_bytes(vendor.public("Extended"))
    later = on("vendor", "signing-key", "add", "cito", file)["valid_until"]
    assert later > first
    assert len(on("vendor", "signing-key", "list", "cito")) == 1
    home = on.opened()
    with home.ledger.view() as session:
        ((then,), (now,)) = (signing_keys(session, "cito", at) for at in (before, home.clock()))
        assert (str(then.valid_until)[:10], str(now.valid_until)[:10]) == (first[:10], later[:10])


def test_which_keys_counted_when(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    file, _ = handed_in(vendor, tmp_path, "When")
    clock = on.opened().clock
    before = clock()
    on("vendor", "signing-key", "add", "cito", file)
    during = clock()
    on("vendor", "remove", "cito")
    with on.opened().ledger.view() as session:
        counted = [len(signing_keys(session, "cito", at)) for at in (before, during, clock())]
    assert counted == [0, 1, 0], "a removed vendor that comes back has none"


def test_a_key_is_one_vendors(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    file, fingerprint = handed_in(vendor, tmp_path, "Whose")
    on("vendor", "signing-key", "add", "cito", file)
    assert "Vendor cito has it" in on.refused("vendor", "signing-key", "add", "esis", file)
    on("vendor", "signing-key", "remove", "cito", fingerprint)
    on("vendor", "signing-key", "add", "esis", file)


def test_what_can_not_be_is_refused_in_a_sentence(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    file, fingerprint = handed_in(vendor, tmp_path, "Refused")
    assert "no vendor of that name" in on.refused("vendor", "signing-key", "add", "nobody", file)
    assert "can't be read" in on.refused("vendor", "signing-key", "add", "cito", tmp_path / "none.asc")
    private = tmp_path / "private.asc"
    private.write_bytes(vendor.run("--passphrase=", "--armor", "--export-secret-keys", fingerprint))
    assert "private key" in on.refused("vendor", "signing-key", "add", "cito", private)
    ssh = public_key(tmp_path, "ssh")
    assert "not an OpenPGP public key" in on.refused("vendor", "signing-key", "add", "cito", ssh)
    turn(on.home, False)
    assert "OpenPGP is off" in on.refused("vendor", "signing-key", "add", "cito", file)


def test_how_a_key_stands_is_told() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    key = VendorSigningKey(vendor="cito", fingerprint="F", public_key="…", added_at=now, valid_until=now + timedelta(days=1))
    assert [row_of(key, now + timedelta(days=days))["state"] for days in (0, 1)] == ["valid", "expired"]
    key.public_key = ""
    assert row_of(key, now)["state"] == "lost: add it again"


def test_doctor_tells_what_signing_keys_need(on: Cli, vendor: VendorGpg, tmp_path: Path) -> None:
    assert told(on) is None
    file, _ = handed_in(vendor, tmp_path, "Lasts")
    on("vendor", "signing-key", "add", "cito", file)
    found = told(on)
    assert found is not None and found["ok"] is True and found["says"] == "1 in force"
    file, _ = handed_in(vendor, tmp_path, "Ends soon", "10d")
    on("vendor", "signing-key", "add", "esis", file)
    found = told(on)
    assert found is not None and found["ok"] is False and "esis's ends on" in found["says"]
    turn(on.home, False)
    found = told(on)
    assert found is not None and found["ok"] is False and "OpenPGP is off" in found["says"]
