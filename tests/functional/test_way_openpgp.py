"""A vendor who delivers with gpg: the key from `sleutels/`, files through the SFTP door, linked results; and how such keys live."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.config import Configuration, Intake, Recipients
from gateway.store.home import Home, create_home
from gateway.store.recipient_keys import handed_out, prepare_recipients, recipient_keys, rotate_recipients
from tests.support.gateway import Gateway
from tests.support.openpgp import VendorGpg, turn
from tests.support.pupils import delivery, objections

pytestmark = pytest.mark.slow


@pytest.fixture
def vendor() -> Iterator[VendorGpg]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one = VendorGpg(Path(folder) / "v")
        yield one
        one.end()


def test_a_delivery_by_gpg_is_linked(tmp_path: Path, vendor: VendorGpg) -> None:
    gateway = Gateway(tmp_path)
    age_before = gateway.home.recipients.public()
    turn(gateway.home.path, True)
    gateway.start()
    try:

        def found() -> bytes | None:
            try:
                with gateway.door().sftp.open("sleutels/sluis.pgp.asc", "rb") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        to = vendor.learn(gateway.wait(found, "vendors find a key for OpenPGP").decode())
        register = vendor.encrypt(objections(("41AA00", "41AB00"), [], gateway.today), to, "--armor")
        gateway.door().deliver("bezwaren.csv.gpg", register, "bezwaren")
        gateway.settled(["bezwaren.csv.gpg"])
        gateway.door().deliver("levering.csv.gpg", vendor.encrypt(delivery(gateway.at("41AB00"), gateway.today), to))
        gateway.door().deliver("oud.csv.age", gateway.sealed(delivery(gateway.at("41AA00"), gateway.today)))
        (linked, _) = gateway.settled(["levering.csv.gpg", "oud.csv.age"], ("linked",))
        assert gateway.receipt(linked)["findings"] == []
        assert gateway.home.recipients.public() != age_before, "the key that had no OpenPGP half was replaced"
    finally:
        gateway.stop()


def test_both_halves_live_and_die_as_one(tmp_path: Path) -> None:
    home = create_home(tmp_path / "home", Configuration(intake=Intake(port=0), recipients=Recipients(openpgp=True)))
    public = home.public / "sluis.pgp.asc"
    first, first_public = prepare_recipients(home), public.read_text()
    assert first_public.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert prepare_recipients(home) == first
    made, _ = rotate_recipients(home, "test", "test")
    assert set(home.recipients.openpgp_keys()) == {first, made.name} == set(home.recipients.identities())
    assert public.read_text() != first_public
    assert handed_out(home) is not None
    public.write_text(first_public)
    assert handed_out(home) is None, "vendors find another key than the current one"
    prepare_recipients(home)
    assert handed_out(home) is not None
    home.recipients.destroy(first)
    assert set(home.recipients.openpgp_keys()) == {made.name} == set(home.recipients.identities())


def test_on_and_off_again(tmp_path: Path) -> None:
    path = tmp_path / "home"
    create_home(path, Configuration(intake=Intake(port=0)))
    public = path / "public" / "sluis.pgp.asc"
    first = prepare_recipients(Home.open(path))
    assert not public.exists()

    turn(path, True)
    home = Home.open(path)
    second = prepare_recipients(home)
    assert second != first and public.exists() and set(home.recipients.openpgp_keys()) == {second}
    with home.ledger.view() as session:
        assert [key.taken_until is not None for key in recipient_keys(session)] == [True, False]

    turn(path, False)
    home = Home.open(path)
    assert prepare_recipients(home) == second
    assert not public.exists() and home.recipients.openpgp_keys() == {} and handed_out(home) is not None
