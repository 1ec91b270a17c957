"""Checkpoints brought to Debian's OpenSSH, as to any server of somebody else's: what arrives, and what keeps it from arriving."""

import getpass
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli, deliver
from tests.support.line import Line
from tests.support.peers import OpenSSH
from tests.support.ssh_keys import make_pair

USER = getpass.getuser()
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/operator/checkpoints.md"


class SeveralKeys(OpenSSH):
    """It has an RSA host key too, and offers it first."""

    def _configure(self, folder: Path, key: Path) -> list[str]:
        program = super()._configure(folder, key)
        make_pair(folder, "rsa_host_key", "rsa")
        path = folder / "sshd_config"
        path.write_text(path.read_text().replace("HostKey ", f"HostKey {folder}/rsa_host_key\nHostKey ", 1))
        return program


class Full(OpenSSH):
    """No file on it may be longer than 100 bytes: a write fails half way, as on a full disk."""

    def _configure(self, folder: Path, key: Path) -> list[str]:
        return ["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=100", *super()._configure(folder, key)]


class Keeper(OpenSSH):
    """As docs/operator/checkpoints.md has those set it up who keep checkpoints."""

    def _configure(self, folder: Path, key: Path) -> list[str]:
        program = super()._configure(folder, key)
        (command,) = re.findall(r"ForceCommand (internal-sftp .*)", DOCUMENT.read_text())
        path = folder / "sshd_config"
        path.write_text(path.read_text().replace("ForceCommand internal-sftp", f"ForceCommand {command}"))
        return program


class StartsThere(OpenSSH):
    """It lets one in where files are to arrive."""

    def _configure(self, folder: Path, key: Path) -> list[str]:
        program = super()._configure(folder, key)
        path = folder / "sshd_config"
        path.write_text(path.read_text().replace("ForceCommand internal-sftp", f"ForceCommand internal-sftp -d {self.folder}"))
        return program


@pytest.fixture
def identity(sluis: Cli, tmp_path: Path) -> Path:
    """The public half of the home's own key, as the server's owner gets it; answers the name without `.pub`."""
    (tmp_path / "home-key.pub").write_text(sluis("audit", "checkpoint-key")["public_key"] + "\n")
    return tmp_path / "home-key"


@pytest.fixture
def server(identity: Path, tmp_path: Path) -> Iterator[OpenSSH]:
    yield from running(OpenSSH, identity, tmp_path)


def running(kind: type[OpenSSH], identity: Path, tmp_path: Path) -> Iterator[OpenSSH]:
    made = kind(tmp_path / "server", identity)
    try:
        yield made
    finally:
        made.stop()


def known(folder: Path, port: int, name: str = "host_key") -> Path:
    """A file of known hosts with that key of the server."""
    file = folder / "known_hosts"
    file.write_text(f"[127.0.0.1]:{port} {(folder / f'server/{name}.pub').read_text()}")
    return file


def to(server: OpenSSH, port: int = 0, path: str = "") -> str:
    return f"sftp://{USER}@127.0.0.1:{port or server.port}{path or server.folder}"


def arrived(server: OpenSSH) -> list[str]:
    return sorted(path.name for path in Path(server.folder).iterdir())


def test_checkpoints_collect_in_a_folder_of_another_server(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    hosts = known(tmp_path, server.port)
    first = sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
    assert sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts) == first, "the same state is kept once"
    size = first["entries"]
    assert first["checkpoint"] == to(server, path=f"{server.folder}/{size:012d}.checkpoint")
    deliver(sluis.opened(), campaign=None)
    sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
    assert arrived(server) == [f"{size:012d}.checkpoint", f"{size + 1:012d}.checkpoint"]
    assert sluis("audit", "verify", "--against", server.folder)["extended"] == 2
    assert (Path(server.folder) / f"{size + 1:012d}.checkpoint").read_text() == sluis.run("audit", "checkpoint")[1]


def test_what_the_keeper_forbids_is_not_wanted(sluis: Cli, identity: Path, tmp_path: Path) -> None:
    for server in running(Keeper, identity, tmp_path):
        hosts = known(tmp_path, server.port)
        for number in range(2):
            deliver(sluis.opened(), number, campaign=None)
            sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
        assert len(arrived(server)) == 2
        latest = to(server, path=f"{server.folder}/{arrived(server)[0]}")
        said = sluis.refused("audit", "checkpoint", "--to", latest, "--known-hosts", hosts)
        assert "can't be written" in said, "what is kept can't be overwritten, also by what extends it"


def test_one_file_follows_the_log(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    hosts, place = known(tmp_path, server.port), to(server, path=f"{server.folder}/latest.checkpoint")
    for _ in range(2):
        deliver(sluis.opened(), _, campaign=None)
        assert sluis("audit", "checkpoint", "--to", place, "--known-hosts", hosts)["checkpoint"] == place
        assert (Path(server.folder) / "latest.checkpoint").read_text() == sluis.run("audit", "checkpoint")[1]
    assert arrived(server) == ["latest.checkpoint"]
    (Path(server.folder) / "latest.checkpoint").write_text("my diary\n")
    assert "something else" in sluis.refused("audit", "checkpoint", "--to", place, "--known-hosts", hosts)
    assert (Path(server.folder) / "latest.checkpoint").read_text() == "my diary\n"


def test_an_identity_of_ones_own(sluis: Cli, tmp_path: Path) -> None:
    own = make_pair(tmp_path)
    for server in running(OpenSSH, own, tmp_path):
        hosts = known(tmp_path, server.port)
        assert "does not let" in sluis.refused("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
        sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts, "--identity", own)
        assert len(arrived(server)) == 1
        sluis.refused("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts, "--identity", tmp_path / "no-such-key")


def test_a_path_from_where_the_server_lets_one_in(sluis: Cli, identity: Path, tmp_path: Path) -> None:
    for server in running(StartsThere, identity, tmp_path):
        hosts = known(tmp_path, server.port)
        (Path(server.folder) / "deeper").mkdir()
        for path, where in (("/~", ""), ("/~/", ""), ("/~/deeper", "deeper/"), ("/~/latest.checkpoint", "latest.checkpoint")):
            sluis("audit", "checkpoint", "--to", to(server, path=path), "--known-hosts", hosts)
            there = Path(server.folder) / where
            (file,) = there.glob("0*.checkpoint") if there.is_dir() else [there]
            assert file.read_text() == sluis.run("audit", "checkpoint")[1]
        assert "no folder" in sluis.refused("audit", "checkpoint", "--to", to(server, path="/~/missing"), "--known-hosts", hosts)


def test_a_server_that_is_not_known_or_not_the_same_gets_nothing(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    hosts = known(tmp_path, server.port)
    nobody = tmp_path / "nobody"
    said = sluis.refused("audit", "checkpoint", "--to", to(server), "--known-hosts", nobody)
    fingerprint = subprocess.run(["ssh-keygen", "-lf", tmp_path / "server/host_key.pub"], check=True, capture_output=True, text=True).stdout
    assert "not known here" in said and fingerprint.split()[1] in said and str(nobody) in said
    make_pair(tmp_path / "server", "other")
    assert "does not have the key" in sluis.refused(
        "audit", "checkpoint", "--to", to(server), "--known-hosts", known(tmp_path, server.port, "other")
    )
    assert arrived(server) == []
    sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", known(tmp_path, server.port))
    assert hosts.exists() and len(arrived(server)) == 1


def test_of_several_host_keys_the_one_that_is_known_is_asked_for(sluis: Cli, identity: Path, tmp_path: Path) -> None:
    for server in running(SeveralKeys, identity, tmp_path):
        for name in ("rsa_host_key", "host_key"):
            sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", known(tmp_path, server.port, name))
        assert len(arrived(server)) == 1


def test_a_place_where_nothing_can_be_written(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    hosts = known(tmp_path, server.port)
    assert "no folder" in sluis.refused("audit", "checkpoint", "--to", to(server, path=f"{server.folder}/missing"), "--known-hosts", hosts)
    said = sluis.refused("audit", "checkpoint", "--to", to(server, path="/sys"), "--known-hosts", hosts)
    assert "can't be written: Permission denied" in said
    assert arrived(server) == []


def test_a_full_disk_leaves_nothing_behind(sluis: Cli, identity: Path, tmp_path: Path) -> None:
    for server in running(Full, identity, tmp_path):
        said = sluis.refused("audit", "checkpoint", "--to", to(server), "--known-hosts", known(tmp_path, server.port))
        assert "can't be written" in said and arrived(server) == []


def test_a_connection_that_breaks_off_at_any_point_leaves_no_half_checkpoint(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    name = f"{sluis('audit', 'verify')['entries']:012d}.checkpoint"
    with Line(server.port) as line:
        sluis("audit", "checkpoint", "--to", to(server, line.port), "--known-hosts", known(tmp_path, line.port))
        (whole,) = line.passed
    expected = (Path(server.folder) / name).read_bytes()
    told = set()
    for allowed in range(100, whole, (whole - 100) // 12):
        for path in Path(server.folder).iterdir():
            path.unlink()
        with Line(server.port, allowed) as line:
            cutter = threading.Thread(target=lambda line=line: (line.held.wait(), line.cut()))
            cutter.start()
            status, out, err = sluis.run("audit", "checkpoint", "--to", to(server, line.port), "--known-hosts", known(tmp_path, line.port))
            line.held.set()
            cutter.join()
        left = {path.name: path.read_bytes() for path in Path(server.folder).iterdir()}
        assert left.get(name, expected) == expected, f"half a checkpoint after {allowed} bytes"
        if status:  # the last bytes only say goodbye
            assert status == 1 and out == "" and "Traceback" not in err and len(err.splitlines()) == 2, err
            told.add(err.splitlines()[0])
        sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", known(tmp_path, server.port))
        assert (Path(server.folder) / name).read_bytes() == expected
    assert any("broke off" in said for said in told) and any("no server" in said for said in told), told


def test_a_rewritten_log_is_refused_and_nothing_is_handed_out(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    deliver(sluis.opened(), campaign=None)
    hosts = known(tmp_path, server.port)
    sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
    (kept,) = arrived(server)
    log = sluis.opened().audit_log()
    entries = list(log.entries())
    shutil.rmtree(log.folder)
    log.folder.mkdir()
    log.append([*entries[:-2], entries[-1], entries[-1]])  # by somebody who has the signing key
    log.append(entries[-1:])
    said = sluis.refused("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts, status=3)
    assert "does not extend" in said and arrived(server) == [kept]
    # and with what the home knew of it taken away, it shows to whoever keeps the checkpoint
    (sluis.home / "handed-out/last.json").unlink()
    sluis("audit", "checkpoint", "--to", to(server), "--known-hosts", hosts)
    status, out, _ = sluis.run("--json", "audit", "verify", "--against", server.folder)
    assert status == 3 and json.loads(out)["not_extended"] == [f"{server.folder}/{kept}"]


def test_the_schedule_goes_to_every_place_also_when_one_is_away(sluis: Cli, server: OpenSSH, tmp_path: Path) -> None:
    local, away = tmp_path / "kept", f"sftp://{USER}@127.0.0.1:1/x"
    local.mkdir()
    configuration = sluis.home / "sluis.toml"
    places = json.dumps([away, to(server), str(local), str(tmp_path / "not-mounted")])
    text = configuration.read_text().replace("checkpoint_to = []", f"checkpoint_to = {places}")
    configuration.write_text(text.replace("/etc/ssh/ssh_known_hosts", str(known(tmp_path, server.port))))
    sluis("audit", "verify")  # writes what waits
    (sluis.home / "sluis.sqlite").rename(tmp_path / "sluis.sqlite")  # the database is not needed
    status, out, err = sluis.run("--json", "audit", "checkpoint", "--scheduled")
    rows = json.loads(out)
    assert status == 1 and "2 of 4 places" in err
    assert [bool(row["checkpoint"]) for row in rows] == [False, True, True, False] == [not row["problem"] for row in rows]
    assert arrived(server) == [path.name for path in local.iterdir()] and not (tmp_path / "not-mounted").exists()
