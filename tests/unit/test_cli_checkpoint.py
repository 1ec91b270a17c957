"""Checkpoints that leave the machine: only of a log that extends all that left before, to places that hold nothing else."""

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.store.checkpoints import HandedOut
from tests.support.cli import Cli, deliver


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Somebody's folder of checkpoints."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def configure(sluis: Cli, *places: object) -> None:
    path = sluis.home / "sluis.toml"
    lines = [
        f"checkpoint_to = {json.dumps([str(place) for place in places])}" if line.startswith("checkpoint_to") else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")


def rewrite(sluis: Cli, keep: int) -> None:
    """What an operator with the signing key can do: the log once more with its first `keep` entries, then others, and signed anew."""
    log = sluis.opened().audit_log()
    entries = list(log.entries())
    shutil.rmtree(log.folder)
    log.folder.mkdir()
    log.append([*entries[:keep], *([entries[0]] * (len(entries) - keep))])


def test_nothing_leaves_of_a_log_that_does_not_extend_what_left_before(sluis: Cli, kept: Path) -> None:
    deliver(sluis.opened(), campaign=None)
    configure(sluis, kept)
    sluis("audit", "checkpoint", "--to", kept)
    (file,) = kept.iterdir()
    before = file.read_bytes()
    rewrite(sluis, keep=1)
    for how in (["--to", kept], ["--to", kept / "new.checkpoint"], ["--scheduled"], []):
        assert "does not extend" in sluis.refused("audit", "checkpoint", *how, status=3)
    assert [path.read_bytes() for path in kept.iterdir()] == [before]
    assert HandedOut.read(sluis.opened()).checkpoint.encode() == before


def test_nor_of_one_that_is_shorter_than_it_was(sluis: Cli, kept: Path) -> None:
    sluis("audit", "verify")
    shutil.copytree(sluis.home / "audit", kept / "older")
    deliver(sluis.opened(), campaign=None)
    sluis.run("audit", "checkpoint")
    shutil.rmtree(sluis.home / "audit")
    shutil.copytree(kept / "older", sluis.home / "audit")
    configure(sluis, kept)
    assert "does not extend" in sluis.refused("audit", "checkpoint", "--scheduled", status=3)


def test_what_left_is_remembered_before_it_left(sluis: Cli, kept: Path) -> None:
    """Or a crash in between would let the next one be of another log."""
    kept.rmdir()
    configure(sluis, kept)
    sluis("audit", "verify")  # writes what waits
    status, _, _ = sluis.run("audit", "checkpoint", "--scheduled")
    handed = HandedOut.read(sluis.opened())
    assert status == 1 and handed.places == {} and handed.checkpoint == sluis.run("audit", "checkpoint")[1]


def test_another_checkpoint_of_the_same_size_is_a_fork_and_stays(sluis: Cli, kept: Path) -> None:
    deliver(sluis.opened(), campaign=None)
    sluis("audit", "checkpoint", "--to", kept)
    rewrite(sluis, keep=1)
    (sluis.home / "handed-out/last.json").unlink()
    (file,) = kept.iterdir()
    before = file.read_bytes()
    assert "another checkpoint of" in sluis.refused("audit", "checkpoint", "--to", kept, status=3)
    assert file.read_bytes() == before


def test_a_file_that_is_no_checkpoint_is_not_overwritten(sluis: Cli, kept: Path) -> None:
    (kept / "diary").write_text("dear diary")
    assert "something else" in sluis.refused("audit", "checkpoint", "--to", kept / "diary")
    assert (kept / "diary").read_text() == "dear diary"
    sluis("audit", "checkpoint", "--to", kept / "today")
    other = Cli(sluis.home.parent / "other", sluis.capsys, sluis.monkeypatch)
    other("init")
    assert "something else" in other.refused("audit", "checkpoint", "--to", kept / "today"), "another gateway's"


def test_a_changed_note_of_what_left_is_not_believed(sluis: Cli, kept: Path) -> None:
    sluis("audit", "checkpoint", "--to", kept)
    note = sluis.home / "handed-out/last.json"
    whole = note.read_text()
    forged = json.loads(whole)
    origin, size, *rest = forged["checkpoint"].split("\n")
    forged["checkpoint"] = "\n".join([origin, str(int(size) - 1), *rest])
    for text in ("", "{}", "[]", '{"checkpoint": "x", "places": []}', json.dumps(forged)):
        note.write_text(text)
        sluis.refused("audit", "checkpoint", "--to", kept, status=3)
    note.write_text(whole)
    sluis("audit", "checkpoint", "--to", kept)


def test_places_that_are_none(sluis: Cli, kept: Path) -> None:
    for place in ("ftp://host/x", "sftp://host", "sftp://name:secret@host/x", "sftp://host:port/x", "sftp:///x", "sftp://host/x?y"):
        said = sluis.refused("audit", "checkpoint", "--to", place, status=2)
        assert "secret" not in said
    sluis.refused("audit", "checkpoint", "--to", kept, "--scheduled", status=2)
    assert "No place is configured" in sluis.refused("audit", "checkpoint", "--scheduled")
    assert "can't be written" in sluis.refused("audit", "checkpoint", "--to", "/sys/x.checkpoint")


def test_a_folder_that_is_not_there_on_schedule_is_not_made_a_file(sluis: Cli, kept: Path) -> None:
    configure(sluis, kept, kept / "not-mounted", kept / "latest.checkpoint")
    sluis("audit", "verify")
    status, out, _ = sluis.run("--json", "audit", "checkpoint", "--scheduled")
    assert status == 1
    assert [row["problem"] is None for row in json.loads(out)] == [True, False, True]
    assert "There is no folder" in json.loads(out)[1]["problem"]
    assert sorted(path.name for path in kept.iterdir()) == [f"{json.loads(out)[0]['entries']:012d}.checkpoint", "latest.checkpoint"]


def test_the_schedule_needs_no_key_that_signs_and_no_database(sluis: Cli, kept: Path) -> None:
    configure(sluis, kept)
    sluis("audit", "verify")
    (sluis.home / "sluis.sqlite").unlink()
    shutil.rmtree(sluis.home / "keys/signing")
    (row,) = sluis("audit", "checkpoint", "--scheduled")
    assert Path(row["checkpoint"]).read_bytes() == (sluis.home / "audit/checkpoint").read_bytes()


def test_the_homes_own_key_is_made_once_and_shown_by_its_public_half(sluis: Cli) -> None:
    first = sluis("audit", "checkpoint-key")["public_key"]
    assert first.startswith("ssh-ed25519 ") and sluis("audit", "checkpoint-key")["public_key"] == first
    shutil.rmtree(sluis.home / "keys/checkpoint")  # a home made before there was such a key
    assert sluis("audit", "checkpoint-key")["public_key"] not in ("", first)
    (file,) = (sluis.home / "keys/checkpoint").iterdir()
    assert os.stat(file).st_mode & 0o077 == 0


def test_a_copy_of_the_log_is_verified_with_no_home(sluis: Cli, kept: Path, tmp_path: Path) -> None:
    sluis("audit", "checkpoint", "--to", kept)
    deliver(sluis.opened(), campaign=None)
    entries = sluis("audit", "verify")["entries"]
    copy, key = tmp_path / "copy", tmp_path / "key.txt"
    shutil.copytree(sluis.home / "audit", copy, ignore=shutil.ignore_patterns("lock", ".*"))
    shutil.copy(sluis.home / "public/sluis.vkey.txt", key)
    origin = sluis("audit", "verify")["log"]
    sluis.home = tmp_path / "no home is needed"
    found = sluis("audit", "verify", "--log", copy, "--key", key, "--against", kept)
    assert (found["log"], found["sound"], found["entries"], found["extended"]) == (origin, True, entries, 1)
    assert not sluis.home.exists()
    for alone in (["--log", copy], ["--key", key]):
        assert "belong together" in sluis.refused("audit", "verify", *alone, status=2)
    (bundle,) = (copy / "tile/entries").rglob(str(entries))
    bundle.write_bytes(bundle.read_bytes()[:-1] + b" ")
    status, out, err = sluis.run("--json", "audit", "verify", "--log", copy, "--key", key)
    assert status == 3 and json.loads(out)["first_bad"] == entries - 1 and "not what was signed" in err


def test_a_copy_of_a_log_that_another_key_signed(sluis: Cli, tmp_path: Path) -> None:
    sluis("audit", "verify")
    key = shutil.copy(sluis.home / "public/sluis.vkey.txt", tmp_path / "key.txt")
    other = Cli(tmp_path / "other", sluis.capsys, sluis.monkeypatch)
    other("init")
    other("audit", "verify")
    status, out, _ = sluis.run("--json", "audit", "verify", "--log", other.home / "audit", "--key", key)
    assert status == 3 and not json.loads(out)["sound"]


def test_the_doctor_tells_whether_others_keep_the_past(sluis: Cli, kept: Path) -> None:
    def told() -> dict[str, object]:
        status, out, _ = sluis.run("--json", "doctor")
        (row,) = [row for row in json.loads(out) if row["check"] == "checkpoints"]
        assert row["ok"] or status == 3
        return dict(row)

    assert told()["ok"] and "nobody keeps" in str(told()["says"]) and told()["do"]
    configure(sluis, kept)
    assert not told()["ok"] and "1 of 1" in str(told()["says"])
    sluis("audit", "checkpoint", "--scheduled")
    assert told()["ok"] and told()["do"] == ""
    home = sluis.opened()
    handed = HandedOut.read(home)
    for hours, ok in ((47, True), (49, False)):
        handed.places = {str(kept): home.clock() - timedelta(hours=hours)}
        handed.write(home)
        assert told()["ok"] is ok
    configure(sluis, "sftp://no-path")
    assert not told()["ok"] and "sftp://NAME@HOST" in str(told()["do"])
