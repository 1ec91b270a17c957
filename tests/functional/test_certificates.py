"""What a vendor can prove: the certificate and its page as they lie in `ontvangst/`, fetched by SFTP, checked with no home and no network.

10 February 2026 is the day on which everything begins; a day ends at 23:00 in UTC.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from audit import document
from gateway.drop.certificate import certificate_name
from gateway.store.models import Drop
from gateway.worker.receipts import ask_final_certificates
from tests.support.gateway import Gateway, Staged, started
from tests.support.pdfs import text_of
from tests.support.pupils import delivery, objections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
SCHOOL = "41AA00"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Staged]]:
    """Two gateways, each with two linked drops of one day, of which the key still lives."""
    places = [Staged(tmp_path_factory.mktemp(name)) for name in ("one", "other")]
    for place in places:
        place.deliver("bezwaar.csv.age", place.sealed(objections([SCHOOL], [], place.today, [])), "bezwaren")
        for name in ("eerste", "tweede"):
            place.deliver(f"{name}.csv.age", place.sealed(delivery(place.at(SCHOOL), place.today) + b"\n" * len(name + place.folder.name)))
    yield places
    for place in places:
        place.stop()


def offline(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`sluis` as on a vendor's machine: nothing in the environment says where a home is, not even the user's; the folder is another."""
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env={"PYTHONPATH": str(ROOT)})


def told(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = document.read(data)
    return found


def key_of(found: dict[str, Any], kind: str) -> dict[str, Any]:
    (key,) = [key for key in found["keys"] if key["kind"] == kind]
    return dict(key)


def test_a_vendor_fetches_certificate_page_receipt_and_key_by_sftp_and_checks_them_offline(tmp_path: Path) -> None:
    """The three roles are processes; the vendor has nothing but what it was handed."""
    mine = tmp_path / "vendor"
    mine.mkdir()
    with started(tmp_path) as gateway:
        drop = delivered(gateway)
        sftp = gateway.door().sftp
        gateway.wait(lambda: certificate_name(drop.id, "pdf") in sftp.listdir("ontvangst"), "the page is in ontvangst/")
        names = [f"{drop.id}.json", f"{drop.id}.txt", certificate_name(drop.id), certificate_name(drop.id, "pdf")]
        assert set(names) <= set(sftp.listdir("ontvangst"))
        for name in names:
            sftp.get(f"ontvangst/{name}", str(mine / name))
        sftp.get("sleutels/sluis.vkey.txt", str(mine / "sluis.vkey.txt"))
        assert gateway.receipt(drop)["certificate"] == certificate_name(drop.id)
    for name in (f"{drop.id}.json", certificate_name(drop.id)):
        checked = offline(mine, "--json", "audit", "check", name, "--key", "sluis.vkey.txt")
        assert checked.returncode == 0, checked.stderr
        answer = json.loads(checked.stdout)
        assert (answer["drop"], answer["sha256"], answer["bytes"], answer["sound"]) == (drop.id, drop.sha256, drop.bytes, True)
        assert answer["erased_at"]
    page = mine / certificate_name(drop.id, "pdf")
    assert PdfReader(BytesIO(page.read_bytes())).attachments[certificate_name(drop.id)] == [(mine / certificate_name(drop.id)).read_bytes()]
    text = text_of(page)
    assert drop.sha256 in text and f"{drop.bytes:,} bytes".replace(",", ".") in text and "gekoppeld" in text


def delivered(gateway: Gateway) -> Drop:
    gateway.door().deliver("bezwaar.csv.age", gateway.sealed(objections([SCHOOL], [], gateway.today, [])), "bezwaren")
    gateway.settled(["bezwaar.csv.age"])
    gateway.door().deliver("levering.csv.age", gateway.sealed(delivery(gateway.at(SCHOOL), gateway.today)))
    (drop,) = gateway.settled(["levering.csv.age"], ["linked"])
    return drop


def resigned(place: Staged, changed: dict[str, Any]) -> bytes:
    """By the gateway's own key: whoever has it and lies is still held by the log."""
    return document.write(document.sign(changed, place.home.audit_signer()))


def flipped(one: Staged, other: Staged, data: bytes) -> bytes:
    at = data.index(one.drop("eerste.csv.age").sha256.encode())
    return data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :]


def of_another_log(one: Staged, other: Staged, data: bytes) -> bytes:
    return other.read(certificate_name(other.drop("eerste.csv.age").id))


def with_the_proof_of_another_drop(one: Staged, other: Staged, data: bytes) -> bytes:
    second = told(one.read(certificate_name(one.drop("tweede.csv.age").id)))
    return resigned(one, {**told(data), "log": second["log"]})


def with_the_entry_of_another_log(one: Staged, other: Staged, data: bytes) -> bytes:
    return resigned(one, {**told(data), "log": told(of_another_log(one, other, data))["log"]})


def with_an_entry_that_was_never_logged(one: Staged, other: Staged, data: bytes) -> bytes:
    found = told(data)
    return resigned(one, {**found, "log": {**found["log"], "entry": found["log"]["entry"].replace('"actor":"worker"', '"actor":"portal"')}})


def cut_off(one: Staged, other: Staged, data: bytes) -> bytes:
    return data[: len(data) // 2]


LIES = (
    flipped,
    of_another_log,
    with_the_proof_of_another_drop,
    with_the_entry_of_another_log,
    with_an_entry_that_was_never_logged,
    cut_off,
)


@pytest.mark.parametrize("change", LIES, ids=lambda change: change.__name__)
def test_what_is_not_so_ends_with_3_and_one_sentence(two: list[Staged], tmp_path: Path, change: Callable[..., bytes]) -> None:
    one, other = two
    good = one.read(certificate_name(one.drop("eerste.csv.age").id))
    for name, data in (("good", good), ("bad", change(one, other, good))):
        (tmp_path / name).write_bytes(data)
    key = one.home.public / "sluis.vkey.txt"
    assert offline(tmp_path, "audit", "check", "good", "--key", key).returncode == 0
    refused = offline(tmp_path, "audit", "check", "bad", "--key", key)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert re.fullmatch(r"sluis: [^\n]+\.\n       [^\n]+\n", refused.stderr), refused.stderr


@pytest.mark.parametrize("ending", ["json", "certificaat.json"])
def test_a_key_that_did_not_sign_it_proves_nothing(two: list[Staged], tmp_path: Path, ending: str) -> None:
    one, other = two
    (tmp_path / "it").write_bytes(one.read(f"{one.drop('eerste.csv.age').id}.{ending}"))
    refused = offline(tmp_path, "audit", "check", "it", "--key", other.home.public / "sluis.vkey.txt")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert re.fullmatch(r"sluis: [^\n]+\.\n       [^\n]+\n", refused.stderr), refused.stderr


def test_the_certificates_are_made_anew_when_the_days_key_has_ended(tmp_path: Path) -> None:
    place = Staged(tmp_path)
    try:
        place.deliver("bezwaar.csv.age", place.sealed(objections([SCHOOL], [], place.today, [])), "bezwaren")
        drop = place.deliver("levering.csv.age", place.sealed(delivery(place.at(SCHOOL), place.today)))
        waits = place.deliver("wacht.csv.age", place.sealed(delivery(place.at("41AB00"), place.today)))
        assert waits.state == "accepted", "a drop of that day that is not erased yet"
        for days in (0, 3):
            place.at_time(place.clock.now + timedelta(days=days))
            first = told(place.read(certificate_name(drop.id)))
            assert key_of(first, "drop")["destroyed_at"] == first["erased_at"]
            assert (key_of(first, "epoch")["destroyed_at"], key_of(first, "epoch")["until"]) == (None, "2026-03-04T00:00:00Z")
        page = tmp_path / "page.pdf"
        page.write_bytes(place.read(certificate_name(drop.id, "pdf")))
        assert "bestaat nog, uiterlijk tot 04-03-2026" in text_of(page)

        place.deliver("bezwaar2.csv.age", place.sealed(objections(["41AB00"], [], place.today, [])), "bezwaren")
        place.at_time(place.clock.now + timedelta(minutes=6))  # linked and erased
        place.at_time(place.clock.now + timedelta(minutes=6))
        for one in (drop, waits):
            last = told(place.read(certificate_name(one.id)))
            ended = key_of(last, "epoch")["destroyed_at"]
            assert ended is not None and ended >= last["erased_at"] and key_of(last, "epoch")["until"] is None
            assert len(last["verification"]) == len(first["verification"]) + 1
            page.write_bytes(place.read(certificate_name(one.id, "pdf")))
            assert "bestaat nog" not in text_of(page)
            assert PdfReader(page).attachments[certificate_name(one.id)] == [place.read(certificate_name(one.id))]
            (tmp_path / "it").write_bytes(place.read(certificate_name(one.id)))
            assert offline(tmp_path, "audit", "check", "it", "--key", place.home.public / "sluis.vkey.txt").returncode == 0
        assert ask_final_certificates(place.home) == 0, "once is enough"
    finally:
        place.stop()


def test_a_drop_that_was_never_linked_is_certified_as_well(tmp_path: Path) -> None:
    place = Staged(tmp_path)
    try:
        drop = place.deliver("levering.csv.age", place.sealed(b"geen levering"))
        assert drop.state == "rejected"
        page = tmp_path / "page.pdf"
        page.write_bytes(place.read(certificate_name(drop.id, "pdf")))
        assert "geweigerd bij de controle" in text_of(page) and "niet gebeurd" in text_of(page)
    finally:
        place.stop()
