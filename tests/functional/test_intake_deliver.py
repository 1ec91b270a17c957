"""`sluis deliver`: the vendor's side against a real endpoint. Receipts are written by the worker's own function.

What is sent here is noise, to see the line and not the checks: those have their own tests (tests/unit/test_vendor_*.py).
"""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit import document
from audit.note import Signer
from gateway.cli.app import run
from gateway.drop.handed_keys import FILE
from gateway.drop.lifecycle import Event
from gateway.store.recipient_keys import rotate_recipients
from gateway.vendor.sample import write_samples
from gateway.worker.receipts import write_receipt
from keys.sealing import new_identity
from policies.calendar import AMSTERDAM
from tests.support.intake import Gate, content, drops, make_home, make_key, running, sftp_session
from tests.support.vendor_desk import Desk, Receipts


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    home = make_home(tmp_path)
    with running(home) as intake:
        yield Desk(tmp_path, home, intake, capsys)


@pytest.fixture
def worker(desk: Desk) -> Iterator[Receipts]:
    receipts = Receipts(desk.home, Event.CHECKS_PASSED)
    yield receipts
    receipts.stop()


def test_files_are_encrypted_delivered_and_receipted(desk: Desk, worker: Receipts) -> None:
    one, two = desk.file("een.csv"), desk.file("twee.csv.gz", 0)
    answer = desk.send(one, two)
    assert [(row["delivered_as"], row["receipt"]["state"]) for row in answer] == [
        ("een.csv.age", "accepted"),
        ("twee.csv.gz.age", "accepted"),
    ]
    assert desk.opened() == {"een.csv.age": one.read_bytes(), "twee.csv.gz.age": b""}
    for row, drop in zip(answer, drops(desk.home), strict=True):
        assert row["sha256"] == drop.sha256 == row["receipt"]["sha256"]
    assert list(desk.outbox.iterdir()) == []


def test_a_refused_file_is_told_by_the_exit_status(desk: Desk) -> None:
    worker = Receipts(desk.home, Event.CHECKS_FAILED)
    answer = desk.send(desk.file("een.csv"), status=1)
    worker.stop()
    assert answer[0]["receipt"]["state"] == "rejected"


def test_no_wait_and_a_receipt_that_does_not_come(desk: Desk) -> None:
    assert desk.send(desk.file("een.csv"), "--no-wait")[0]["receipt"] is None
    assert desk.send(desk.file("twee.csv"), "--timeout-seconds", 0.3, status=1)[0]["receipt"] is None
    assert len(drops(desk.home)) == 2


def test_an_objection_register(desk: Desk) -> None:
    desk.send(desk.file("bezwaar.csv"), "--folder", "bezwaren", "--no-wait")
    assert [drop.folder for drop in drops(desk.home)] == ["bezwaren"]


def test_what_is_encrypted_already_is_sent_as_it_is(desk: Desk) -> None:
    path = desk.folder / "eigen.csv.age"
    path.write_bytes(pyrage.encrypt(b"inhoud", [pyrage.x25519.Recipient.from_str(desk.home.recipients.public())]))
    desk.send(path, "--no-wait")
    assert desk.opened() == {"eigen.csv.age": b"inhoud"}
    assert path.exists()


def test_goes_on_by_itself_when_the_line_breaks(desk: Desk) -> None:
    path = desk.file("groot.csv", 3_000_000)
    gate = Gate(desk.intake.port, 1_000_000, 1_000_000, mended=True)
    desk.send(path, "--no-wait", port=gate.port)
    assert len(gate.passed) == 3
    assert desk.opened() == {"groot.csv.age": path.read_bytes()}


def test_goes_on_in_a_second_run(desk: Desk) -> None:
    """The first run gives up; the second one sends only what is missing, of the same ciphertext."""
    path = desk.file("groot.csv", 3_000_000)
    gate = Gate(desk.intake.port, 2_000_000, mended=True)
    desk.send(path, "--no-wait", "--attempts", 1, port=gate.port, status=1)
    assert 0 < desk.broken_off() < 3_000_000
    desk.send(path, "--no-wait", port=gate.port)
    assert desk.opened() == {"groot.csv.age": path.read_bytes()}
    assert gate.passed[1] < 3_000_000, "only what was missing"


def test_another_file_of_the_same_name_is_not_sent_behind_the_beginning_of_the_first(desk: Desk) -> None:
    """Of a file that its vendor encrypted anew after the line broke nothing is at the gateway, though a file of its name is."""
    path = desk.folder / "eigen.csv.age"
    recipient = pyrage.x25519.Recipient.from_str(desk.home.recipients.public())
    gate = Gate(desk.intake.port, 1_000_000, 1_000_000, mended=True)
    for content_ in (os.urandom(2_000_000), os.urandom(2_000_000)):
        path.write_bytes(pyrage.encrypt(content_, [recipient]))
        desk.send(path, "--no-wait", "--attempts", 1, port=gate.port, status=1)
        assert 0 < desk.broken_off() < 2_000_000
    desk.send(path, "--no-wait", port=gate.port)
    assert desk.opened() == {"eigen.csv.age": content_}
    assert gate.passed[2] < 2_000_000, "of the second one only what was missing"
    assert list(desk.outbox.iterdir()) == []


def test_an_outbox_that_was_cut_off_is_begun_anew(desk: Desk) -> None:
    path = desk.file("groot.csv", 1_000_000)
    gate = Gate(desk.intake.port, 300_000, 300_000, mended=True)
    for cut, rest in (("ready.json", b""), ("content.age", b"age-encryption.org/v1\n")):
        desk.send(path, "--no-wait", "--attempts", 1, port=gate.port, status=1)
        assert desk.broken_off()
        (folder,) = desk.outbox.iterdir()
        (folder / cut).write_bytes(rest)
    desk.send(path, "--no-wait", port=gate.port)
    assert desk.opened() == {"groot.csv.age": path.read_bytes()}
    desk.outbox.rmdir()
    desk.outbox.write_bytes(b"")  # where it should be there is a file
    assert "Nothing can be prepared" in desk.send(desk.file("twee.csv"), "--no-wait", port=gate.port, status=1)


def test_a_delivered_name_is_refused_and_a_repeated_run_is_not_a_second_delivery(desk: Desk, worker: Receipts) -> None:
    path = desk.folder / "eigen.csv.age"
    path.write_bytes(pyrage.encrypt(b"inhoud", [pyrage.x25519.Recipient.from_str(desk.home.recipients.public())]))
    first = desk.send(path)
    again = desk.send(path)  # the same bytes: the answer of the first run may have been lost
    assert again == first
    assert len(drops(desk.home)) == 1
    path.write_bytes(pyrage.encrypt(b"anders", [pyrage.x25519.Recipient.from_str(desk.home.recipients.public())]))
    assert "already" in desk.send(path, status=1)
    assert len(drops(desk.home)) == 1


def test_an_unknown_or_wrong_host_gets_nothing(desk: Desk) -> None:
    path = desk.file("een.csv")
    desk.known_hosts.write_text("")
    told = desk.send(path, status=1)
    assert "not known here" in told and "SHA256:" in told
    other = Path(f"{make_key(desk.folder, 'other')}.pub").read_text()
    desk.known_hosts.write_text(f"[127.0.0.1]:{desk.intake.port} {other}")
    assert "does not have the key" in desk.send(path, status=1)
    assert "does not have the key" in desk.send(path, "--host-key", "SHA256:x", status=1)
    assert drops(desk.home) == []
    fingerprint = told.partition("its key is ")[2].split(".")[0]
    desk.send(path, "--no-wait", "--host-key", fingerprint)
    assert len(drops(desk.home)) == 1


def test_the_gateways_signing_key_is_remembered_and_another_one_is_refused(desk: Desk) -> None:
    one, vkey = desk.file("een.csv"), desk.home.audit_verifier().vkey
    desk.send(one, "--no-wait")
    assert vkey in desk.said and "Compare it" in desk.said
    assert desk.known_gateways.read_text() == f"[127.0.0.1]:{desk.intake.port} {vkey}\n"
    desk.send(desk.file("twee.csv"), "--no-wait")
    assert vkey not in desk.said and len(desk.known_gateways.read_text().splitlines()) == 1

    stranger = Signer("sluis/audit/x", Ed25519PrivateKey.generate()).verifier.vkey
    desk.known_gateways.write_text(f"elsewhere {vkey}\n[127.0.0.1]:{desk.intake.port} {stranger}\n")
    told = desk.send(desk.file("drie.csv"), "--no-wait", status=1)
    assert "does not sign with the key" in told and str(desk.known_gateways) in told
    given = desk.folder / "gekregen.txt"
    given.write_text(vkey)  # what its owner gave counts, and what is remembered does not
    desk.send(desk.file("vier.csv"), "--no-wait", "--gateway-key", given)
    given.write_text(stranger)
    assert "does not sign with the key" in desk.send(desk.file("vijf.csv"), "--no-wait", "--gateway-key", given, status=1)
    assert [drop.file_name for drop in drops(desk.home)] == ["een.csv.age", "twee.csv.age", "vier.csv.age"]


def test_a_rotated_key_is_believed_by_its_signature_and_no_other(desk: Desk) -> None:
    desk.send(desk.file("een.csv"), "--no-wait")
    before = (desk.home.public / FILE).read_bytes()
    rotate_recipients(desk.home, "test", "test")
    desk.send(desk.file("twee.csv"), "--no-wait")  # a new key, signed by the key that is remembered
    assert desk.opened()["twee.csv.age"] == (desk.folder / "twee.csv").read_bytes()

    forged = json.loads(before)
    forged["age"] = [new_identity()[1]]
    (desk.home.public / FILE).write_text(json.dumps(forged))
    assert "not signed by the gateway" in desk.send(desk.file("drie.csv"), "--no-wait", status=3)
    stranger = Signer(desk.home.audit_origin, Ed25519PrivateKey.generate())  # who has the endpoint makes it a list of their own
    (desk.home.public / FILE).write_bytes(document.write(document.sign(forged, stranger)))
    assert "not signed by the gateway" in desk.send(desk.file("drie.csv"), "--no-wait", status=3)
    (desk.home.public / FILE).unlink()
    assert "has no /sleutels" in desk.send(desk.file("drie.csv"), "--no-wait", status=1)
    assert len(drops(desk.home)) == 2


def test_a_given_key_must_be_the_gateways(desk: Desk) -> None:
    own = desk.home.recipients.public()
    desk.send(desk.file("een.csv"), "--no-wait", "--recipient", own)
    assert "another key" in desk.send(desk.file("twee.csv"), "--no-wait", "--recipient", new_identity()[1], status=1)
    assert [drop.file_name for drop in drops(desk.home)] == ["een.csv.age"]


def test_what_the_gateway_would_refuse_is_not_sent(desk: Desk) -> None:
    good, bad, register_file = (desk.folder / name for name in ("goed.csv", "fout.csv", "bezwaar.csv"))
    today = datetime.now(AMSTERDAM).date()
    samples = {path.name: path for path in write_samples(desk.folder / "voorbeelden", today)}
    good.write_bytes(samples["levering.csv"].read_bytes())
    bad.write_text(good.read_text().replace(";M;", ";?;"))
    register_file.write_bytes(samples["bezwaren.csv"].read_bytes())
    told = desk.run("send", good, bad, "--no-wait", status=1)
    assert [(one["file"], one["refused"]) for one in told] == [("goed.csv", False), ("fout.csv", True)]
    assert "would refuse 1 of the files" in desk.said and drops(desk.home) == []

    desk.run("send", good, register_file, "--no-wait")
    assert [(drop.file_name, drop.folder) for drop in drops(desk.home)] == [("goed.csv.age", "leveringen"), ("bezwaar.csv.age", "bezwaren")]
    assert "belongs in bezwaren/" in desk.run("send", register_file, "--folder", "leveringen", "--no-wait", status=1)
    desk.send(bad, "--no-wait")
    assert [drop.file_name for drop in drops(desk.home)][2:] == ["fout.csv.age"]


def test_the_rules_that_the_gateway_hands_out_are_those_that_count(desk: Desk) -> None:
    file = desk.folder / "levering.csv"
    write_samples(desk.folder / "voorbeelden", datetime.now(AMSTERDAM).date())
    file.write_text((desk.folder / "voorbeelden" / "levering.csv").read_text().replace(";cito;", ";proef;"))
    assert "would refuse" in desk.run("send", file, "--no-wait", status=1) or "would refuse" in desk.said
    rules = desk.home.public / "sluis.regels.toml"
    rules.write_text('publishers = ["proef"]\n[[scales]]\npublisher = "proef"\nrange = [0, 600]\n')
    desk.run("send", file, "--no-wait")
    assert [drop.file_name for drop in drops(desk.home)] == ["levering.csv.age"]
    rules.write_text("something_new = 1\n")
    assert "does not know all" in desk.run("send", desk.file("x.csv"), "--no-wait", status=1)


def test_deliveries_are_withdrawn_by_a_file_that_names_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(desk.folder / "state"))
    drop = "d20260120-abcdefghijklmnop"
    (answer,) = desk.run("withdraw", drop, "--reason", "dubbel", "--no-wait")
    ((name, content_),) = desk.opened().items()
    assert name == answer["delivered_as"] and name.startswith("intrekking-") and content_ == f"levering;reden\n{drop};dubbel\n".encode()
    assert [drop.folder for drop in drops(desk.home)] == ["leveringen"] and not (desk.folder / "state").exists()
    assert "Choose one of onjuist" in desk.run("withdraw", drop, "--reason", "zomaar", "--no-wait", status=2)
    assert "not the name of a delivery" in desk.run("withdraw", "levering.csv", "--reason", "dubbel", "--no-wait", status=2)


def test_what_was_encrypted_with_gpg_is_sent_as_it_is(desk: Desk) -> None:
    message = b"\x85\x01\x0c\x03" + os.urandom(400)  # begins with a session key, as gpg writes it (RFC 9580, section 5.1)
    for name, delivered in (("eigen.csv.gpg", "eigen.csv.gpg"), ("zonder", "zonder.gpg")):
        path = desk.folder / name
        path.write_bytes(message)
        (answer,) = desk.run("send", path, "--no-wait")
        assert answer["delivered_as"] == delivered
        assert hashlib.sha256(message).hexdigest() == answer["sha256"] == drops(desk.home)[-1].sha256


def test_a_forged_receipt_is_not_believed(desk: Desk) -> None:
    path = desk.file("een.csv")
    desk.send(path, "--no-wait")
    (drop,) = drops(desk.home)
    write_receipt(desk.home, drop.id)
    file = desk.home.receipts("cito") / f"{drop.id}.json"
    forged = json.loads(file.read_text())
    forged["state"] = "accepted"
    file.write_text(json.dumps(forged))
    # the outbox is empty by now, so the very same bytes are sent as an encrypted file
    sent = desk.folder / "een.csv.age"
    sent.write_bytes(content(desk.home, drop))
    assert "not signed by the gateway" in desk.send(sent, status=3)


def test_what_can_not_be_read_of_a_key_or_a_host_is_named(desk: Desk) -> None:
    path, odd, known = desk.file("een.csv"), desk.folder / "vreemd", desk.known_hosts.read_text()
    odd.write_bytes(b"\xff\xfe\0")
    assert f"no key {odd}" in desk.send(path, "--gateway-key", odd, status=1)
    odd.write_bytes(Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert f"key {odd} can't be used" in desk.send(path, key=odd, status=1)
    for hosts in (b"\xff\xfe\0", f"{known}[127.0.0.1]:2 ssh-ed25519 A\n".encode()):
        desk.known_hosts.write_bytes(hosts)
        assert "known_hosts can't be read" in desk.send(path, status=1)
    desk.known_hosts.write_text(known)
    assert "no gateway at a..b" in desk.send(path, "--to", "sftp://cito@a..b", status=1)
    keys, signs = (desk.home.public / name for name in (FILE, "sluis.vkey.txt"))
    signer = Signer(desk.home.audit_origin, Ed25519PrivateKey.generate())
    before = signs.read_text()
    signs.write_text(signer.verifier.vkey)
    for said, told, status in (
        (b"no document", "not signed by the gateway", 3),
        (document.write(document.sign({"schema": "another"}, signer)), "not an age key", 1),
    ):
        keys.write_bytes(said)
        assert told in desk.send(path, status=status)
    signs.write_text(before.partition("+")[0])
    assert "that it signs with is none" in desk.send(path, status=3)
    assert drops(desk.home) == [] and not desk.known_gateways.exists()


def test_clear_errors(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    path = desk.file("een.csv")
    assert "can't be read" in desk.send(desk.folder / "absent.csv", status=1)
    assert "no such folder" in desk.send(path, "--folder", "elders", status=2)
    stranger = make_key(desk.folder, "stranger")
    assert "does not let cito in" in desk.send(path, key=stranger, status=1)
    for url in ("http://x", "sftp://127.0.0.1:1", "sftp://a:b@127.0.0.1", "sftp://a@h:99999"):
        assert run(["deliver", "send", str(path), "--to", url]) == 2
    assert run(["deliver", "send", str(path), "--to", "sftp://cito@127.0.0.1:1"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    desk.known_hosts.write_text("")
    for lang, told in (("nl", "is hier niet bekend"), ("en", "is not known here")):
        assert told in desk.send(path, "--lang", lang, status=1)


def test_sums_are_of_the_bytes_sent(desk: Desk) -> None:
    (answer,) = desk.send(desk.file("een.csv"), "--no-wait")
    (drop,) = drops(desk.home)
    assert answer["sha256"] == hashlib.sha256(content(desk.home, drop)).hexdigest()
    with sftp_session(desk.intake.port, "cito", desk.key) as sftp:
        assert sftp.listdir("leveringen") == ["een.csv.age"]
