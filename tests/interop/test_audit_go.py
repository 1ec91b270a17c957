"""Go's own code for transparent logs (golang.org/x/mod/sumdb) accepts what Sluis writes, as it is, and refuses what was touched.

`tests/interop/go/main.go` is built once; it knows nothing of Sluis but where a tlog-tiles log keeps its files.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from audit import document
from audit.checkpoint import read_checkpoint
from audit.log import AuditLog
from tests.support.audit_logs import MEMORY, ORIGIN, log_of, signer
from tests.support.cli import Cli, begin, deliver
from tests.support.vectors import FOLDER

SOURCE = Path(__file__).parent / "go"
FROZEN = FOLDER / "audit"
#: around every border of a tile: within the first, full, one over, three levels high, a number of four digits
SIZES: list[Sequence[int]] = [(1,), (2,), (255,), (256,), (257,), (300, 400, 100), (511, 1, 1), (65536,), (65537,), (70_000, 186_257)]


class Judge:
    """The built program, with a public key."""

    def __init__(self, program: Path, key: Path) -> None:
        self.program, self.key = program, key

    def __call__(self, verb: str, *files: Path) -> str:
        """What it prints."""
        status, out, said = self._run(verb, *files)
        assert status == 0, said
        return out

    def refusal(self, verb: str, *files: Path) -> str:
        status, out, said = self._run(verb, *files)
        assert status == 1 and out == "" and len(said.splitlines()) == 1, (status, out, said)
        return said

    def _run(self, verb: str, *files: Path) -> tuple[int, str, str]:
        done = subprocess.run([self.program, verb, self.key, *files], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, with Debian's Go and Debian's package of golang.org/x/mod."""
    assert shutil.which("go"), "not installed: golang-go (sh .ci/prerequisites)"
    folder = tmp_path_factory.mktemp("go")
    given = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache"), "GOFLAGS": "", "GOPROXY": "off"}
    command = ["go", "build", "-o", str(folder / "judge"), "."]
    done = subprocess.run(command, cwd=SOURCE, env={**os.environ, **given}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "judge"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory: only bytes are judged here."""
    folder = tmp_path_factory.mktemp("log") if MEMORY is None else MEMORY / f"sluis-go-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def judge(program: Path, tmp_path: Path) -> Judge:
    key = tmp_path / "key.txt"
    key.write_text(signer().verifier.vkey + "\n")
    return Judge(program, key)


def written(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def hashes(path: Path, nodes: Sequence[bytes]) -> Path:
    return written(path, "".join(base64.b64encode(node).decode() + "\n" for node in nodes))


@pytest.mark.parametrize("appends", SIZES, ids=str)
def test_the_whole_log_is_accepted_at_every_size(judge: Judge, place: Path, appends: Sequence[int]) -> None:
    log_of(place / "log", appends)
    assert judge("log", place / "log") == f"{sum(appends)}\n"


def test_the_frozen_files_are_accepted(program: Path, place: Path) -> None:
    judge, log = Judge(program, FROZEN / "public-key.txt"), AuditLog(FROZEN / "log", ORIGIN)
    assert judge("log", FROZEN / "log") == "259\n"
    assert judge("proof", FROZEN / "entry-200.tlog-proof", written(place / "entry", log.entry(200))) == "200\n"
    older = read_checkpoint((FROZEN / "older-checkpoint.txt").read_bytes(), ORIGIN, [signer().verifier])
    path = hashes(place / "path", log.prove_consistency(older).path)
    assert judge("extend", FROZEN / "older-checkpoint.txt", FROZEN / "log/checkpoint", path) == "3 259\n"
    judge("note", written(place / "note", document.as_note(document.read((FROZEN / "certificate.json").read_bytes()))))


def test_proofs_of_inclusion_are_accepted(judge: Judge, place: Path) -> None:
    log = log_of(place / "log", (300, 400, 100))
    for index in (0, 1, 255, 256, 511, 512, 767, 768, 799):
        proof = written(place / "entry.tlog-proof", log.inclusion_proof(index).text)
        assert judge("proof", proof, written(place / "entry", log.entry(index))) == f"{index}\n"
        assert "invalid" in judge.refusal("proof", proof, written(place / "entry", log.entry((index + 1) % 800)))


@pytest.mark.parametrize("appends", [(1, 1), (1, 255), (255, 1), (256, 1), (256, 256), (300, 500), (511, 514), (65_535, 2)], ids=str)
def test_proofs_of_consistency_are_accepted(judge: Judge, place: Path, appends: tuple[int, int]) -> None:
    log = log_of(place / "log", appends[:1])
    older = log.checkpoint()
    log_of(place / "other", (appends[0] + 1,))
    log.append([b"%d" % number for number in range(appends[1])])
    proof = log.prove_consistency(read_checkpoint(older, ORIGIN, [signer().verifier]))
    then, now = written(place / "then", older), written(place / "now", log.checkpoint())
    path = hashes(place / "path", proof.path)
    assert judge("extend", then, now, path) == f"{appends[0]} {sum(appends)}\n"
    judge.refusal("extend", place / "other/checkpoint", now, path)
    judge.refusal("extend", then, now, hashes(place / "short", proof.path[:-1]))


def test_every_flipped_byte_is_refused(judge: Judge, place: Path) -> None:
    """The control: first and last byte of each file that the checkpoint covers, and one in the middle."""
    log_of(place / "grown", (300, 213))
    log_of(place / "at-once", (513,))  # without tiles of an older size, which this checkpoint does not cover
    covered = sorted(path for path in (place / "at-once").rglob("*") if path.is_file() and path.name != "lock")
    assert [path.relative_to(place / "at-once").as_posix() for path in covered] == [
        "checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/1",
    ]  # fmt: skip
    for path in covered:
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            judge.refusal("log", place / "at-once")
        path.write_bytes(whole)
    assert judge("log", place / "at-once") == judge("log", place / "grown") == "513\n"


def test_a_homes_log_receipt_and_certificate_are_accepted(program: Path, sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    drops = [deliver(sluis.opened(), number) for number in range(3)]
    kept = written(tmp_path / "kept", sluis.run("audit", "checkpoint")[1])
    for drop in drops:
        sluis("drop", "erase", drop, "--reason", "x")
    judge = Judge(program, sluis.home / "public" / "sluis.vkey.txt")
    entries = sluis("audit", "verify")["entries"]
    assert judge("log", sluis.home / "audit") == f"{entries}\n"

    home = sluis.opened()
    log = AuditLog(home.path / "audit", home.audit_origin)
    proof = log.prove_consistency(read_checkpoint(kept.read_bytes(), home.audit_origin, [home.audit_verifier()]))
    assert judge("extend", kept, log.folder / "checkpoint", hashes(tmp_path / "path", proof.path)).split()[1] == str(entries)

    sluis("audit", "prove", drops[0], "--to", tmp_path / "certificate.json")
    certificate = document.read((tmp_path / "certificate.json").read_bytes())
    receipt = document.read((sluis.home / "receipts" / "cito" / f"{drops[0]}.json").read_bytes())
    for paper in (certificate, receipt):
        signed = written(tmp_path / "note", document.as_note(paper))
        contents = {name: value for name, value in paper.items() if name != "signatures"}
        assert judge("note", signed) == json.dumps(contents, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
        written(signed, signed.read_bytes().replace(drops[0].encode(), drops[1].encode()))
        judge.refusal("note", signed)
    told = certificate["log"]
    assert isinstance(told, dict)
    inclusion, entry = written(tmp_path / "proof", str(told["proof"])), written(tmp_path / "entry", str(told["entry"]))
    assert judge("proof", inclusion, entry) == f"{told['index']}\n"
    written(entry, str(told["entry"]).replace(drops[0], drops[1]))
    judge.refusal("proof", inclusion, entry)
