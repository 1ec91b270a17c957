"""OpenSSH's own client and ssh-keygen: which user certificates open a vendor's account, and what takes them away again."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.app import run
from gateway.store.home import Home
from gateway.store.ssh_keys import fingerprint
from tests.support.intake import Running, make_home, running
from tests.support.ssh_keys import blob_of, certify, make_krl, make_pair, public_line

pytestmark = pytest.mark.slow


class Vendor:
    """An account with a CA, and the key that its certificates are for."""

    def __init__(self, home: Home, intake: Running, folder: Path) -> None:
        self.home, self.intake, self.port = home, intake, intake.port
        self.ca, self.key = make_pair(folder, "ca"), make_pair(folder, "key")
        self.sluis("add", "cito")
        self.sluis("ca", "add", "cito", "--key", f"{self.ca}.pub", "--principal", "nacht", "--principal", "dag")

    def sluis(self, *arguments: str, status: int = 0) -> None:
        assert run(["--home", str(self.home.path), "--json", "vendor", *arguments]) == status

    def certificate(self, *principals: str, ca: Path | None = None, **terms: object) -> str:
        return certify(ca or self.ca, self.key, principals or ("nacht",), **terms)  # type: ignore[arg-type]

    def options(self) -> list[str]:
        own = ["-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes"]
        return [*own, "-oIdentityAgent=none", "-i", str(self.key), f"-oPort={self.port}"]

    def comes_in(self, vendor: str = "cito") -> bool:
        done = subprocess.run(
            ["sftp", *self.options(), "-b", "-", f"{vendor}@127.0.0.1"], input="ls\n", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 or "Permission denied (publickey)" in done.stderr, done.stderr
        assert (done.returncode == 0) == ("leveringen" in done.stdout)
        return done.returncode == 0


@pytest.fixture
def vendor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Vendor]:
    home = make_home(tmp_path)
    with running(home) as intake:
        yield Vendor(home, intake, tmp_path)


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_a_certificate_opens_the_account_and_the_key_alone_does_not(vendor: Vendor) -> None:
    assert not vendor.comes_in()
    vendor.certificate("nacht")
    assert vendor.comes_in()
    vendor.certificate("x", "dag", validity="always:forever")
    assert vendor.comes_in()
    assert not vendor.comes_in("boom"), "there is no such account"
    Path(f"{vendor.key}-cert.pub").unlink()
    assert not vendor.comes_in()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_cas_and_keys_of_other_kinds(kind: str, vendor: Vendor, tmp_path: Path) -> None:
    ca, vendor.key = make_pair(tmp_path, f"ca-{kind}", kind), make_pair(tmp_path, kind, kind)
    vendor.sluis("ca", "add", "cito", "--key", f"{ca}.pub")
    vendor.certificate("cito", ca=ca)
    assert vendor.comes_in()
    if kind == "rsa":
        vendor.certificate("cito", ca=ca, algorithm="ssh-rsa")
        assert not vendor.comes_in(), "signed with SHA-1"


@pytest.mark.parametrize(
    ("principals", "terms"),
    [
        (["cito"], {}),
        (["NACHT"], {}),
        (["nacht"], {"validity": "-2h:-1h"}),
        (["nacht"], {"validity": "+1h:+2h"}),
        (["nacht"], {"options": ["force-command=internal-sftp"]}),
        (["nacht"], {"options": ["verify-required"]}),
        (["nacht"], {"options": ["critical:made-up@sluis.example=1"]}),
        (["nacht"], {"options": ["source-address=192.0.2.0/24"]}),
        (["nacht"], {"host": True}),
    ],
)
def test_what_a_certificate_may_not_be(principals: list[str], terms: dict[str, object], vendor: Vendor) -> None:
    vendor.certificate(*principals, **terms)
    assert not vendor.comes_in()


def test_a_certificate_without_principals_is_good_for_nobody(vendor: Vendor) -> None:
    certify(vendor.ca, vendor.key, ())
    assert not vendor.comes_in()


def test_its_own_networks_count(vendor: Vendor) -> None:
    vendor.certificate("nacht", options=["source-address=192.0.2.0/24,127.0.0.0/8"])
    assert vendor.comes_in()


def test_the_networks_of_the_ca_count(vendor: Vendor, tmp_path: Path) -> None:
    far = make_pair(tmp_path, "far")
    vendor.sluis("ca", "add", "cito", "--key", f"{far}.pub", "--from", "192.0.2.0/24")
    vendor.certificate("cito", ca=far)
    assert not vendor.comes_in()


def test_another_vendors_ca_opens_nothing(vendor: Vendor, tmp_path: Path) -> None:
    other = make_pair(tmp_path, "other")
    vendor.sluis("add", "boom")
    vendor.sluis("ca", "add", "boom", "--key", f"{other}.pub", "--principal", "nacht")
    vendor.certificate("nacht", "cito", ca=other)
    assert not vendor.comes_in("cito")
    assert vendor.comes_in("boom")


@pytest.mark.parametrize("how", ["serial", "key id", "key", "krl of serials", "krl of keys", "ca removed", "account removed"])
def test_what_takes_a_certificate_away(how: str, vendor: Vendor, tmp_path: Path) -> None:
    vendor.certificate("nacht", serial=41, key_id="nachtrun 7")
    assert vendor.comes_in()
    ca = fingerprint(blob_of(public_line(vendor.ca)))
    match how:
        case "serial":
            vendor.sluis("ca", "revoke", "cito", "--serial", "40-45", "--ca", ca)
        case "key id":
            vendor.sluis("ca", "revoke", "cito", "--key-id", "nachtrun 7")
        case "key":
            vendor.sluis("ca", "revoke", "cito", "--key", f"{vendor.key}.pub")
        case "krl of serials":
            make_krl(tmp_path / "krl", ca=vendor.ca, spec=["serial: 41"])
            vendor.sluis("ca", "revoke", "cito", "--krl", str(tmp_path / "krl"))
        case "krl of keys":
            make_krl(tmp_path / "krl", keys=[Path(f"{vendor.key}.pub")])
            vendor.sluis("ca", "revoke", "cito", "--krl", str(tmp_path / "krl"))
        case "ca removed":
            vendor.sluis("ca", "remove", "cito", ca)
        case "account removed":
            vendor.sluis("remove", "cito")
    assert not vendor.comes_in()
    if how in ("serial", "krl of serials"):
        vendor.certificate("nacht", serial=46)
        assert vendor.comes_in(), "another certificate of the same CA"


def test_a_revocation_cuts_the_session_that_came_in_with_it(vendor: Vendor) -> None:
    vendor.certificate("nacht", serial=41)
    with client(vendor) as process:
        vendor.sluis("ca", "revoke", "cito", "--serial", "41")
        revoked = time.monotonic()
        process.wait(30)
        assert time.monotonic() - revoked < 1.0


def test_a_session_ends_with_its_certificate(vendor: Vendor) -> None:
    vendor.certificate("nacht", validity="-1m:+4s")
    began = time.monotonic()
    with client(vendor) as process:
        process.wait(30)
        assert 2 < time.monotonic() - began < 6


@contextmanager
def client(vendor: Vendor) -> Iterator[subprocess.Popen[str]]:
    """OpenSSH's client, logged in, with a user who does nothing."""
    command = ["ssh", *vendor.options(), "-s", "cito@127.0.0.1", "sftp"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        door = vendor.intake.endpoint.door
        assert door is not None
        until(lambda: any(connection.logged_in for connection in list(door.connections)))
        yield process
    finally:
        process.kill()
        process.communicate()
