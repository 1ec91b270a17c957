"""The frozen vectors of the audit formats: what is written today has the bytes it had when they were frozen, and a reader made
from nothing but audit/FORMAT.md, a hash and a signature function accepts them.

`python -m tests.unit.test_audit_vectors` writes them anew: only for a new version of the format.
"""

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit import document
from audit.certificate import ACTION, DeadKey, Erasure, certificate, check
from audit.entry import Entry
from audit.log import AuditLog
from audit.note import Verifier
from audit.proof import Inclusion
from tests.support.audit_logs import ORIGIN, signer
from tests.support.vectors import FOLDER

FROZEN = FOLDER / "audit"
START = datetime(2026, 11, 2, 8, 15, 0, 250_000, UTC)
SIZE = 259
DROP = "d20261102-abcdefghijklmnop"


def entry(number: int) -> Entry:
    time = START + timedelta(seconds=number)
    if number == 200:
        return Entry("e200", time, "worker", "local", ACTION, DROP, "ok", {"sha256": "0f" * 32, "verified": "afwezig"})
    detail: dict[str, Any] = {} if number % 3 else {"number": number, "names": ["é", '"\\'], "last": number == SIZE - 1, "none": None}
    return Entry(f"e{number:03d}", time, "worker", "192.0.2.7", "drop.received", f"d{number}", "ok", detail)


def freeze(folder: Path) -> None:
    log = AuditLog(folder / "log", ORIGIN, signer())
    log.append([entry(number).to_bytes() for number in range(3)])
    (folder / "older-checkpoint.txt").write_bytes(log.checkpoint())
    log.append([entry(number).to_bytes() for number in range(3, SIZE)])
    (folder / "public-key.txt").write_text(signer().verifier.vkey + "\n")
    (folder / "entry-200.tlog-proof").write_text(log.inclusion_proof(200).text)
    erasure = Erasure(
        drop=DROP,
        vendor="parnassys",
        sha256="0f" * 32,
        bytes=1234,
        received_at=START,
        linked_at=START + timedelta(days=1),
        erased_at=START + timedelta(days=2),
        erase_before=START + timedelta(days=21),
        reason="linked",
        software="Sluis 0.1.0",
        keys=[DeadKey("drop", DROP, "AES-256-CTR", START + timedelta(days=2))],
        verification=["The key can't be found."],
    )
    written = certificate(erasure, log.entry(200), log.inclusion_proof(200), signer())
    (folder / "certificate.json").write_bytes(document.write(written))
    (folder / "log/lock").unlink()


def contents(folder: Path) -> dict[str, bytes]:
    names = ("log", "older-checkpoint.txt", "public-key.txt", "entry-200.tlog-proof", "certificate.json")
    paths = [path for name in names for path in ((folder / name).rglob("*") if name == "log" else [folder / name])]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_what_is_written_has_the_frozen_bytes(tmp_path: Path) -> None:
    freeze(tmp_path)
    assert contents(tmp_path) == contents(FROZEN)


def test_the_frozen_files_are_accepted() -> None:
    verifier = Verifier.parse((FROZEN / "public-key.txt").read_text())
    log = AuditLog(FROZEN / "log", ORIGIN)
    verdict = log.verify(verifier)
    assert verdict.sound and verdict.size == SIZE
    assert [Entry.from_bytes(data) for data in log.entries()] == [entry(number) for number in range(SIZE)]
    proof = Inclusion.parse((FROZEN / "entry-200.tlog-proof").read_text())
    assert proof.verify(entry(200).to_bytes(), ORIGIN, [verifier]).size == SIZE
    assert check((FROZEN / "certificate.json").read_bytes(), [verifier])["drop"] == DROP


# ---------------------------------------------------------------- a second reader, made from FORMAT.md


def signed_text(note: bytes, vkey: str) -> str:
    name, key_id, key = vkey.strip().split("+", 2)
    public = base64.b64decode(key)
    assert public[:1] == b"\x01" and hashlib.sha256(name.encode() + b"\n" + public).digest()[:4].hex() == key_id
    text, signature = note.decode().rsplit("\n\n", 1)
    dash, signed_by, blob = signature.rstrip("\n").split(" ")
    raw = base64.b64decode(blob)
    assert (dash, signed_by, raw[:4].hex()) == ("\u2014", name, key_id)
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], (text + "\n").encode())
    return text + "\n"


def mth(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def test_a_second_reader_agrees() -> None:
    vkey = (FROZEN / "public-key.txt").read_text()
    origin, size, root = signed_text((FROZEN / "log/checkpoint").read_bytes(), vkey).splitlines()
    assert (origin, int(size)) == (ORIGIN, SIZE)
    data = (FROZEN / "log/tile/entries/000").read_bytes() + (FROZEN / "log/tile/entries/001.p/3").read_bytes()
    entries = []
    while data:
        length = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    leaves = [hashlib.sha256(b"\x00" + data).digest() for data in entries]
    assert len(leaves) == SIZE and base64.b64encode(mth(leaves)).decode() == root
    assert (FROZEN / "log/tile/0/000").read_bytes() == b"".join(leaves[:256])
    assert (FROZEN / "log/tile/0/001.p/3").read_bytes() == b"".join(leaves[256:])
    assert (FROZEN / "log/tile/1/000.p/1").read_bytes() == mth(leaves[:256])
    for data in entries:
        assert json.dumps(json.loads(data), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == data


def test_a_second_reader_agrees_on_the_certificate() -> None:
    vkey = (FROZEN / "public-key.txt").read_text()
    found = json.loads((FROZEN / "certificate.json").read_bytes())
    (signature,) = found.pop("signatures")
    text = json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert signed_text(f"{text}\n\n{signature}\n".encode(), vkey) == text + "\n"
    head, checkpoint = found["log"]["proof"].split("\n\n", 1)
    _, size, root = signed_text(checkpoint.encode(), vkey).splitlines()
    assert (int(size), found["log"]["proof"]) == (SIZE, (FROZEN / "entry-200.tlog-proof").read_text())
    assert head.splitlines()[:2] == ["c2sp.org/tlog-proof@v1", "index 200"]
    # the path of leaf 200 in a tree of 259: seven siblings below 128, the left half, the three leaves on the right
    node, index = hashlib.sha256(b"\x00" + found["log"]["entry"].encode()).digest(), 200
    *path, last = [base64.b64decode(line) for line in head.splitlines()[2:]]
    for sibling in path:
        node = hashlib.sha256(b"\x01" + (sibling + node if index & 1 else node + sibling)).digest()
        index >>= 1
    assert len(path) == 8 and base64.b64encode(hashlib.sha256(b"\x01" + node + last).digest()).decode() == root


if __name__ == "__main__":
    if (FROZEN / "log").exists():
        sys.exit("There are frozen vectors already: remove them first, on purpose.")
    freeze(FROZEN)
