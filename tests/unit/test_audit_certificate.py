"""Certificates and signed documents: whoever has the public key checks them offline, and nothing untrue passes."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import document, note
from audit.certificate import DeadKey, Erasure, certificate, check
from audit.entry import Entry
from audit.log import AuditLog
from policies.errors import Refused, Unsound
from tests.support.audit_logs import MEMORY, ORIGIN, entries, log_of, signer
from tests.support.certificates import ERASED, RECEIVED
from tests.support.certificates import ERASURE as MADE_UP

ERASURE = replace(
    MADE_UP,
    keys=[MADE_UP.keys[0], DeadKey("epoch", "2026-11-02", "age X25519", None, until=RECEIVED + timedelta(days=22))],
    verification=["The key's file can't be found.", "The encrypted file can't be found."],
)

ENTRY = Entry(
    "0006414c0b2d40-00001-9f8e7d6c", ERASED, "worker", "local", "drop.erasure-verified", ERASURE.drop, "ok", {"sha256": ERASURE.sha256}
)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = log_of(tmp_path, [300])
    log.append([ENTRY.to_bytes(), *entries(301, 310)])
    return log


def made(log: AuditLog, erasure: Erasure = ERASURE) -> dict[str, Any]:
    return certificate(erasure, log.entry(300), log.inclusion_proof(300), signer())


def resigned(changed: dict[str, Any]) -> bytes:
    return document.write(document.sign(changed, signer()))


def code_of(data: bytes, *verifiers: note.Verifier) -> str:
    with pytest.raises(Unsound) as refusal:
        check(data, verifiers or [signer().verifier])
    return refusal.value.code


def test_a_certificate_is_checked_with_nothing_but_the_public_key(log: AuditLog) -> None:
    data = document.write(made(log))
    contents = check(data, [note.Verifier.parse(signer().verifier.vkey)])
    assert contents["drop"] == ERASURE.drop and contents["bytes"] == 111_222_333
    assert contents["received_at"] == "2026-11-02T08:15:00Z" and contents["erased_at"] == "2026-11-04T08:15:00Z"
    assert contents["keys"] == [
        {"kind": "drop", "name": ERASURE.drop, "algorithm": "AES-256-CTR", "destroyed_at": "2026-11-04T08:15:00Z", "until": None},
        {"kind": "epoch", "name": "2026-11-02", "algorithm": "age X25519", "destroyed_at": None, "until": "2026-11-24T08:15:00Z"},
    ]
    assert document.MEMBER not in contents


def test_it_has_the_fields_that_nist_asks_for(log: AuditLog) -> None:
    """NIST SP 800-88 revision 1, section 4.8, in its order; the last is one of those that may be left out."""
    fields = made(log)["nist_sp_800_88"]
    assert {
        "manufacturer", "model", "serial_number", "media_identifier", "media_type", "media_source", "confidentiality_before",
        "method_type", "method_used", "tool_used", "verification_method", "confidentiality_after", "destination",
        "sanitised_by", "sanitised_at", "verified_by", "verified_at", "organisation", "address", "contact", "location", "signature",
        "data_backup", "notes",
    } == fields.keys()  # fmt: skip
    assert all(fields[name] for name in fields.keys() - {"organisation", "address", "contact", "notes"})
    assert all("not applicable" in fields[name] for name in ("manufacturer", "model", "serial_number"))
    assert fields["sanitised_at"] == fields["verified_at"] == "2026-11-04T08:15:00Z"


@pytest.mark.parametrize(
    ("epoch", "says"),
    [
        (DeadKey("epoch", "2026-11-02", "age X25519", ERASED), "can't be decrypted"),
        (DeadKey("epoch", "2026-11-02", "age X25519", None, until=ERASED), "until 2026-11-04T08:15:00Z at the latest"),
        (DeadKey("epoch", "2026-11-02", "age X25519", None), "until those end"),
    ],
    ids=["dead", "dies", "lives"],
)
def test_it_promises_no_more_than_the_keys_that_ended_can_hold(log: AuditLog, epoch: DeadKey, says: str) -> None:
    fields = made(log, replace(ERASURE, keys=[ERASURE.keys[0], epoch]))["nist_sp_800_88"]
    assert says in fields["confidentiality_after"]


def test_a_drop_that_was_never_linked_says_so(log: AuditLog) -> None:
    contents = check(document.write(made(log, replace(ERASURE, linked_at=None, reason="expired"))), [signer().verifier])
    assert contents["linked_at"] is None and contents["reason"] == "expired"


@pytest.mark.parametrize(
    "erasure",
    [
        replace(ERASURE, drop="another"),
        replace(ERASURE, sha256="0e" * 32),
        replace(ERASURE, keys=[]),
        replace(ERASURE, keys=[DeadKey("drop", "x", "AES-256-CTR", None)]),
        replace(ERASURE, keys=[DeadKey("epoch", "x", "age X25519", ERASED)]),
    ],
    ids=["drop", "sha256", "no key", "key lives", "only another key"],
)
def test_what_the_log_does_not_say_is_not_certified(log: AuditLog, erasure: Erasure) -> None:
    with pytest.raises(Refused) as refusal:
        made(log, erasure)
    assert refusal.value.code == "certificate-contradicts"


@pytest.mark.parametrize("entry", [replace(ENTRY, result="failed"), replace(ENTRY, action="drop.received")], ids=["failed", "another act"])
def test_only_a_verified_erasure_is_certified(log: AuditLog, entry: Entry) -> None:
    log.append([entry.to_bytes()])
    with pytest.raises(Refused):
        certificate(ERASURE, log.entry(310), log.inclusion_proof(310), signer())


def test_a_time_without_zone_is_a_mistake_of_the_program(log: AuditLog) -> None:
    with pytest.raises(ValueError, match="zone"):
        made(log, replace(ERASURE, erased_at=datetime(2026, 11, 4)))


def test_every_changed_value_is_found(log: AuditLog) -> None:
    good = made(log)

    def damaged(value: Any) -> Any:
        match value:
            case dict():
                return [{**value, name: other} for name, item in value.items() for other in damaged(item)]
            case list():
                return [[*value[:at], other, *value[at + 1 :]] for at, item in enumerate(value) for other in damaged(item)] + [[]]
            case None:
                return ["something"]
            case int():
                return [value + 1]
        return [value + "x", value[1:]]

    changed = [bad for bad in damaged(good) if bad != good]
    assert len(changed) > 60
    for bad in changed:
        code_of(document.write(bad))
    for name in good:
        code_of(document.write({key: value for key, value in good.items() if key != name}))
    assert code_of(document.write({**good, "more": 1})) == "note-forged"


def test_a_key_that_is_not_trusted_proves_nothing(log: AuditLog) -> None:
    assert code_of(document.write(made(log)), signer(seed=8).verifier) == "note-unsigned"


def test_the_proof_is_checked_even_when_the_signature_is_right(log: AuditLog, tmp_path: Path) -> None:
    good = {name: value for name, value in made(log).items() if name != document.MEMBER}
    assert check(resigned(good), [signer().verifier]) == good
    in_log = good["log"]
    forks = log_of(tmp_path / "fork", [301])
    assert code_of(resigned({**good, "schema": "sluis-receipt-1"})) == "not-a-certificate"
    assert code_of(resigned({**good, "log": None})) == "proof-malformed"
    assert code_of(resigned({**good, "log": {}})) == "proof-malformed"
    assert code_of(resigned({**good, "log": {**in_log, "entry": 5}})) == "not-included"
    assert code_of(resigned({**good, "log": {**in_log, "entry": entries(0, 1)[0].decode()}})) == "not-included"
    assert code_of(resigned({**good, "log": {**in_log, "proof": forks.inclusion_proof(300).text}})) == "not-included"
    assert code_of(resigned({**good, "log": {**in_log, "origin": "elsewhere"}})) == "checkpoint-foreign"
    assert code_of(resigned({**good, "log": {**in_log, "index": 301}})) == "certificate-contradicts"
    assert code_of(resigned({**good, "drop": "another"})) == "certificate-contradicts"
    assert code_of(resigned({**good, "keys": None})) == "certificate-contradicts"
    foreign = log_of(tmp_path / "other", [300])
    foreign.append([b"no entry at all"])
    no_entry = {"origin": ORIGIN, "index": 300, "entry": "no entry at all", "proof": foreign.inclusion_proof(300).text}
    assert code_of(resigned({**good, "log": no_entry})) == "not-canonical"


# ---------------------------------------------------------------- documents


def test_a_document_is_signed_whatever_its_spelling() -> None:
    signed = document.sign({"b": [1, None], "a": "é"}, signer())
    for data in (document.write(signed), json.dumps(signed, indent=7).encode(), json.dumps(dict(reversed(signed.items()))).encode()):
        assert document.check(document.read(data), [signer().verifier]).raw == signer().verifier.raw


def test_a_document_is_a_signed_note_for_other_tools() -> None:
    signed = document.sign({"b": 1, "a": "é"}, signer())
    assert note.read(document.as_note(signed), [signer().verifier]) == '{"a":"é","b":1}\n'
    assert document.as_note({}) == b"{}\n\n"


def test_signing_again_replaces_the_signature() -> None:
    once = document.sign({"state": "received"}, signer())
    twice = document.sign({**once, "state": "linked"}, signer())
    assert len(twice[document.MEMBER]) == 1  # type: ignore[arg-type]
    document.check(twice, [signer().verifier])


@pytest.mark.parametrize("lines", [None, [], "x", [5], ["x"], [1, 2]], ids=repr)
def test_a_document_without_signature_is_not_signed(lines: Any) -> None:
    with pytest.raises(Unsound) as refusal:
        document.check({"a": 1, document.MEMBER: lines}, [signer().verifier])
    assert refusal.value.code == "document-unsigned"


def test_a_value_that_can_not_be_signed_is_not_signed() -> None:
    signed = document.sign({"a": 1}, signer())
    with pytest.raises(Unsound) as refusal:
        document.check({**signed, "a": 1.5}, [signer().verifier])  # type: ignore[dict-item]
    assert refusal.value.code == "document-unsigned"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b"{", b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b"[" * 100_000], ids=lambda data: data[:9]
)
def test_other_files_are_no_documents(data: bytes) -> None:
    with pytest.raises(Unsound) as refusal:
        document.read(data)
    assert refusal.value.code == "not-a-document"
