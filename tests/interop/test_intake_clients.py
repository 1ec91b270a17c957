"""Real clients deliver to a real endpoint: byte-exact, resumed after they were killed, and by an unfinished name."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.home import Home
from tests.support.intake import Gate, Running, content, drops, make_home, make_key, register, running, sftp_session

SIZE = 3_000_017


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


class Vendor:
    """A vendor's machine: a key, a file to deliver, and the clients installed on it."""

    def __init__(self, folder: Path, home: Home, intake: Running) -> None:
        self.folder, self.home, self.intake = folder, home, intake
        self.key = make_key(folder)
        register(home, "cito", self.key)
        self.file = folder / "levering met spatie é.csv.age"
        self.file.write_bytes(os.urandom(SIZE))

    @property
    def name(self) -> str:
        return self.file.name

    def ssh_options(self) -> list[str]:
        options = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            f"IdentityFile={self.key}",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        )
        return [part for option in options for part in ("-o", option)]

    def sftp(self, commands: str, port: int | None = None) -> subprocess.CompletedProcess[bytes]:
        program = ["sftp", *self.ssh_options(), "-F", "/dev/null", "-P", str(port or self.intake.port), "-b", "-", "cito@127.0.0.1"]
        return subprocess.run(program, input=commands.encode(), capture_output=True, cwd=self.folder, timeout=120)

    def curl(self, *arguments: str, port: int | None = None) -> subprocess.CompletedProcess[bytes]:
        url = f"sftp://127.0.0.1:{port or self.intake.port}/leveringen/"
        program = ["curl", "-sS", "--insecure", "-u", "cito:", "--key", str(self.key), "--pubkey", f"{self.key}.pub"]
        return subprocess.run([*program, *arguments, url], capture_output=True, cwd=self.folder, timeout=120)

    def lftp(self, commands: str, port: int | None = None) -> subprocess.CompletedProcess[bytes]:
        connect = " ".join(["ssh", "-a", "-x", "-F", "/dev/null", *self.ssh_options()])
        script = (
            f"set sftp:connect-program '{connect}'; set net:max-retries 1; set net:timeout 20;"
            f"set net:reconnect-interval-base 1; set cmd:fail-exit yes;"
            f"open -u cito, sftp://127.0.0.1:{port or self.intake.port}; {commands}"
        )
        return subprocess.run(["lftp", "--norc", "-c", script], capture_output=True, cwd=self.folder, timeout=120)

    def nothing_delivered(self) -> None:
        assert drops(self.home) == []

    def delivered(self, name: str | None = None) -> None:
        """Exactly one drop, under that name, with exactly the file's bytes."""
        (drop,) = drops(self.home)
        assert drop.file_name == (name or self.name)
        assert (drop.bytes, drop.vendor, drop.folder) == (SIZE, "cito", "leveringen")
        assert content(self.home, drop) == self.file.read_bytes()
        assert self.intake.unfinished("cito") == {}

    def arrived(self) -> int:
        """How much of the unfinished upload the endpoint has once it has noticed that the connection is gone."""
        with sftp_session(self.intake.port, "cito", self.key) as sftp:
            (entry,) = sftp.listdir_attr("leveringen")
            size: int = entry.st_size
            return size


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    home = make_home(tmp_path)
    with running(home) as intake:
        yield Vendor(tmp_path, home, intake)


def ok(done: subprocess.CompletedProcess[bytes]) -> None:
    assert done.returncode == 0, done.stderr.decode()


# ---------------------------------------------------------------- whole files


@needs("sftp")
def test_openssh_delivers(vendor: Vendor) -> None:
    ok(vendor.sftp(f'cd leveringen\nput -p "{vendor.name}"\nls -l\n'))
    vendor.delivered()


@needs("curl")
def test_curl_delivers(vendor: Vendor) -> None:
    ok(vendor.curl("-T", vendor.name))
    vendor.delivered()


@needs("lftp")
def test_lftp_delivers(vendor: Vendor) -> None:
    ok(vendor.lftp(f"cd leveringen; put '{vendor.name}'; cls -l"))
    vendor.delivered()


def test_paramiko_delivers(vendor: Vendor) -> None:
    with sftp_session(vendor.intake.port, "cito", vendor.key) as sftp:
        told = sftp.put(str(vendor.file), f"leveringen/{vendor.name}")  # asks for the size afterwards
        assert told.st_size == SIZE
    vendor.delivered()


# ---------------------------------------------------------------- an unfinished name, then a rename


@needs("sftp")
def test_openssh_renames(vendor: Vendor) -> None:
    ok(vendor.sftp(f'put "{vendor.name}" leveringen/x.csv.age.part\n'))
    vendor.nothing_delivered()
    ok(vendor.sftp("rename leveringen/x.csv.age.part leveringen/x.csv.age\n"))  # OpenSSH: posix-rename
    vendor.delivered("x.csv.age")


@needs("lftp")
def test_lftp_renames(vendor: Vendor) -> None:
    ok(vendor.lftp(f"cd leveringen; put '{vendor.name}' -o x.csv.age.filepart; mv x.csv.age.filepart x.csv.age"))
    vendor.delivered("x.csv.age")


def test_paramiko_renames(vendor: Vendor) -> None:
    with sftp_session(vendor.intake.port, "cito", vendor.key) as sftp:
        sftp.put(str(vendor.file), "leveringen/x.csv.age.tmp")
        vendor.nothing_delivered()
        sftp.rename("leveringen/x.csv.age.tmp", "leveringen/x.csv.age")  # version 3's plain rename
    vendor.delivered("x.csv.age")


# ---------------------------------------------------------------- the line goes dead half-way


@needs("sftp")
def test_openssh_resumes(vendor: Vendor) -> None:
    gate = Gate(vendor.intake.port, SIZE // 2)
    assert vendor.sftp(f'put "{vendor.name}" leveringen/\n', gate.port).returncode != 0
    vendor.nothing_delivered()
    assert 0 < vendor.arrived() < SIZE
    ok(vendor.sftp(f'reput "{vendor.name}" leveringen/\n'))
    vendor.delivered()


@needs("curl")
def test_curl_resumes(vendor: Vendor) -> None:
    gate = Gate(vendor.intake.port, SIZE // 2)
    assert vendor.curl("-T", vendor.name, port=gate.port).returncode != 0
    vendor.nothing_delivered()
    assert 0 < vendor.arrived() < SIZE
    ok(vendor.curl("-C", "-", "-T", vendor.name))
    vendor.delivered()


@needs("lftp")
def test_lftp_resumes(vendor: Vendor) -> None:
    gate = Gate(vendor.intake.port, SIZE // 2)
    assert vendor.lftp(f"cd leveringen; put '{vendor.name}'", gate.port).returncode != 0
    vendor.nothing_delivered()
    assert 0 < vendor.arrived() < SIZE
    ok(vendor.lftp(f"cd leveringen; put -c '{vendor.name}'"))
    vendor.delivered()


def test_paramiko_resumes(vendor: Vendor) -> None:
    data = vendor.file.read_bytes()
    path = f"leveringen/{vendor.name}"
    with sftp_session(vendor.intake.port, "cito", vendor.key) as sftp:
        file = sftp.open(path, "wb")
        file.write(data[: SIZE // 2])
        file.flush()
        sftp.get_channel().get_transport().sock.shutdown(socket.SHUT_RDWR)  # no CLOSE is ever sent
    vendor.nothing_delivered()
    with sftp_session(vendor.intake.port, "cito", vendor.key) as sftp:
        there = sftp.stat(path).st_size
        assert there == SIZE // 2
        with sftp.open(path, "ab") as file:
            file.write(data[there:])
    vendor.delivered()


@needs("curl")
def test_a_client_that_is_killed_has_not_delivered(vendor: Vendor) -> None:
    """The process dies while it uploads: the kernel closes its socket, which is no CLOSE."""
    program = ["curl", "-sS", "--insecure", "-u", "cito:", "--key", str(vendor.key), "--pubkey", f"{vendor.key}.pub", "-T", "-"]
    client = subprocess.Popen([*program, f"sftp://127.0.0.1:{vendor.intake.port}/leveringen/x.csv.age"], stdin=subprocess.PIPE)
    assert client.stdin is not None
    client.stdin.write(bytes(1 << 20))
    client.stdin.flush()
    while not (upload := vendor.intake.unfinished("cito").get("x.csv.age")) or upload.size == 0:
        threading.Event().wait(0.01)
    client.kill()
    client.wait(30)
    while (upload := vendor.intake.unfinished("cito")["x.csv.age"]).held:
        threading.Event().wait(0.01)
    vendor.nothing_delivered()
    assert upload.size > 0


@needs("sftp")
def test_a_file_of_no_bytes_is_received(vendor: Vendor) -> None:
    (vendor.folder / "leeg.csv.age").touch()
    ok(vendor.sftp("put leeg.csv.age leveringen/\n"))
    (drop,) = drops(vendor.home)
    assert (drop.bytes, drop.sha256) == (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@needs("ssh")
def test_no_shell_no_exec_no_forwarding(vendor: Vendor) -> None:
    base = ["ssh", "-F", "/dev/null", *vendor.ssh_options(), "-p", str(vendor.intake.port)]
    for arguments in (
        ["cito@127.0.0.1"],
        ["cito@127.0.0.1", "id"],
        ["-W", "127.0.0.1:22", "cito@127.0.0.1"],
        ["-s", "cito@127.0.0.1", "netconf"],
    ):
        done = subprocess.run([*base, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.returncode != 0
        assert b"uid=" not in done.stdout
    scp = [
        "scp",
        "-O",
        "-F",
        "/dev/null",
        *vendor.ssh_options(),
        "-P",
        str(vendor.intake.port),
        str(vendor.file),
        "cito@127.0.0.1:leveringen/",
    ]
    assert subprocess.run(scp, capture_output=True, timeout=60).returncode != 0
    vendor.nothing_delivered()
