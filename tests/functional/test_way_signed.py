"""Vendors who deliver with gpg, on the whole way: what is packed within, and what a registered signing key makes of each delivery."""

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchange import exchange
from tests.support.gateway import Gateway, started
from tests.support.openpgp import VendorGpg
from tests.support.pupils import delivery, objections, results

pytestmark = pytest.mark.slow

SCHOOLS = ("41AA00", "41AB00")
#: as the policy's table of codes has them
CODES = {"begrijpend_lezen": "BL-3.0", "spelling": "SP-3.0", "rekenen_wiskunde": "RW-3.0"}


@pytest.fixture
def vendor() -> Iterator[VendorGpg]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one = VendorGpg(Path(folder) / "v")
        yield one
        one.end()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """The three roles, OpenPGP on."""
    with started(tmp_path, openpgp=True) as one:
        yield one


def learned(gateway: Gateway, vendor: VendorGpg) -> str:
    """The vendor fetches the gateway's key, and knows it from then on by its fingerprint."""

    def found() -> bytes | None:
        try:
            with gateway.door().sftp.open("sleutels/sluis.pgp.asc", "rb") as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    return vendor.learn(gateway.wait(found, "vendors find a key for OpenPGP").decode())


def test_what_is_packed_within_openpgp_is_linked(gateway: Gateway, vendor: VendorGpg) -> None:
    to = learned(gateway, vendor)
    gateway.door().deliver("bezwaren.csv.gpg", vendor.encrypt(objections(SCHOOLS, [], gateway.today), to), "bezwaren")
    gateway.settled(["bezwaren.csv.gpg"])
    rows = results(gateway.at("41AA00"), gateway.today)
    zipped = exchange([{**row, "toetscode": f"{CODES[row['domein']]}-{row['afnamemoment']}"} for row in rows])
    gateway.door().deliver("levering.zip.gpg", vendor.encrypt(zipped, to))
    packed = gzip.compress(delivery(gateway.at("41AB00"), gateway.today))
    gateway.door().deliver("levering.csv.gz.gpg", vendor.encrypt(packed, to, "--armor", "--throw-keyids"))
    for drop in gateway.settled(["levering.zip.gpg", "levering.csv.gz.gpg"], ("linked",)):
        receipt = gateway.receipt(drop)
        assert receipt["counts"]["accepted_rows"] == len(rows) and receipt["counts"]["refused_rows"] == 0
    half = vendor.encrypt(zipped, to)
    gateway.door().deliver("half.zip.gpg", half[: len(half) // 2])
    (cut,) = gateway.settled(["half.zip.gpg"], ("incomplete",))
    assert [found["rule"] for found in cut.findings] == ["truncated"]


def test_with_a_signing_key_registered_nothing_else_is_taken(gateway: Gateway, vendor: VendorGpg, tmp_path: Path) -> None:
    to = learned(gateway, vendor)
    here, other_schools = delivery(gateway.at("41AA00"), gateway.today), delivery(gateway.at("41AB00"), gateway.today)
    gateway.door().deliver("voordien.csv.gpg", vendor.encrypt(other_schools, to))
    gateway.settled(["voordien.csv.gpg"], ("accepted",))  # it waits for a register of objections

    right = vendor.own_key("Right", "ed25519", "sign", "never")
    vendor.own_key("Other", "ed25519", "sign", "never")
    (tmp_path / "right.asc").write_bytes(vendor.public("Right"))
    gateway.sluis("vendor", "signing-key", "add", "cito", tmp_path / "right.asc")
    refused = {
        "kaal.csv.gpg": (vendor.encrypt(here, to), "leveringen", "unsigned"),
        "age.csv.age": (gateway.sealed(here), "leveringen", "unsigned"),
        "ander.csv.gpg": (vendor.signed(here, to, "Other"), "leveringen", "wrong-signature"),
        "twee.csv.gpg": (vendor.signed(here, to, "Right", "Other"), "leveringen", "wrong-signature"),
        "bezwaren.csv.gpg": (vendor.encrypt(objections(SCHOOLS, [], gateway.today), to), "bezwaren", "unsigned"),
    }
    for name, (data, folder, _) in refused.items():
        gateway.door().deliver(name, data, folder)
    for drop in gateway.settled(list(refused), ("rejected",)):
        assert [found["rule"] for found in drop.findings] == [refused[drop.file_name][2]], drop.file_name
        (told,) = gateway.receipt(drop)["findings"]
        assert told["rule"] == refused[drop.file_name][2] and gateway.receipt(drop)["counts"].get("accepted_rows", 0) == 0

    gateway.door().deliver("goed.csv.gpg", vendor.signed(here, to, "Right"))
    gateway.settled(["goed.csv.gpg"], ("accepted",))
    gateway.sluis("vendor", "signing-key", "remove", "cito", right)
    register = vendor.encrypt(objections(SCHOOLS, [], gateway.today), to)
    gateway.door().deliver("nadien.csv.gpg", register, "bezwaren")  # it needs no signature any more
    gateway.settled(["nadien.csv.gpg"])
    gateway.settled(["voordien.csv.gpg", "goed.csv.gpg"], ("linked",))
    actions = [row["action"] for row in gateway.sluis("audit", "show") if "signing-key" in row["action"]]
    assert actions == ["vendor.signing-key-added", "vendor.signing-key-removed"]
