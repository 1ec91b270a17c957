"""Real SFTP clients as a vendor runs them, against the real service: how each puts a file, resumes it, renames it.

A client is a process that can be killed; the libraries (paramiko, asyncssh) run in processes of their own as well
(tests/support/library_clients.py). Names of files and folders hold a space and a letter beyond ASCII where the client can.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.store.home import Home
from gateway.store.models import Drop
from tests.support.intake import Service, content, drops, free_port, make_home, make_key, register

ROOT = Path(__file__).resolve().parents[2]

#: how long anything may take that takes milliseconds on a quiet machine [s]
PATIENCE = 60.0


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer of `condition`; AssertionError when there was none in that time [s]."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        threading.Event().wait(0.02)
    return answer


class Site:
    """A home and its intake as the service that is deployed, which a test may stop, kill and start again on the same port."""

    def __init__(self, folder: Path, **intake: Any) -> None:
        self.folder = folder
        self.home: Home = make_home(folder, **{"port": free_port(), **intake})
        self.port = self.home.config.intake.port
        self.service = Service(self.home.path, self.port, folder)
        self._fingerprint = ""

    def restart(self) -> None:
        """After a stop or a kill."""
        self.service = Service(self.home.path, self.port, self.folder)

    def host_fingerprint(self) -> str:
        """As a vendor would be told it: SHA256:…"""
        if not self._fingerprint:
            scanned = subprocess.run(["ssh-keyscan", "-p", str(self.port), "-t", "ed25519", "127.0.0.1"], capture_output=True, check=True)
            told = subprocess.run(["ssh-keygen", "-lf", "-"], input=scanned.stdout, capture_output=True, check=True)
            self._fingerprint = told.stdout.split()[1].decode()
        return self._fingerprint

    def drops(self, vendor: str, count: int) -> list[Drop]:
        """That vendor's drops once there are so many; what was acknowledged is in the ledger soon after."""

        def found() -> list[Drop]:
            return [drop for drop in drops(self.home) if drop.vendor == vendor]

        eventually(lambda: len(found()) >= count, f"{count} drops of {vendor}")
        there = found()
        assert len(there) == count
        return there

    def none_delivered(self, vendor: str) -> bool:
        return not any(drop.vendor == vendor for drop in drops(self.home))

    def noticed(self, vendor: str) -> None:
        """Returns once the service knows that every connection of that vendor is gone, by whatever end."""

        def went(event: str) -> int:
            return sum(line["event"] == event and line["vendor"] == vendor for line in self.service.lines())

        eventually(lambda: 0 < went("session.began") == went("session.ended"), f"the connections of {vendor} ended")

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.service.process.poll() is None:
            self.service.terminate()


@dataclass(frozen=True)
class Command:
    """A client's command line and what it is told on standard input."""

    argv: list[str]
    told: str = ""


@dataclass
class Machine:
    """A vendor's computer: an account, its key, a file to deliver."""

    site: Site
    vendor: str
    folder: Path
    size: int = 3_000_017  # [bytes]
    port: int = 0  # where its clients connect to: the service itself, or a line in between
    file: Path = field(init=False)
    key: Path = field(init=False)
    target: str = "levering 1 é.csv.age"  # the name under which it delivers

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.key = make_key(self.folder)
        register(self.site.home, self.vendor, self.key)
        self.file = self.folder / "lokaal bestand é.csv.age"
        self.file.write_bytes(os.urandom(self.size))
        self.port = self.port or self.site.port

    @property
    def remote(self) -> str:
        return f"leveringen/{self.target}"

    def start(self, command: Command) -> subprocess.Popen[bytes]:
        """The client, running, in a process group of its own."""
        environment = {**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        client = subprocess.Popen(
            command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder,
            env=environment, start_new_session=True,
        )  # fmt: skip
        assert client.stdin is not None
        with suppress(BrokenPipeError):  # it found nobody to talk to, and is gone already
            client.stdin.write(command.told.encode())
            client.stdin.close()
        client.stdin = None
        return client

    def run(self, command: Command) -> tuple[int, str]:
        """Exit status and everything that was said."""
        client = self.start(command)
        try:
            said = client.communicate(timeout=PATIENCE)[0].decode(errors="replace")
        finally:
            kill(client)
        return client.returncode, said

    def ok(self, command: Command) -> str:
        status, said = self.run(command)
        assert status == 0, said
        return said

    def fails(self, command: Command) -> str:
        status, said = self.run(command)
        assert status != 0, said
        return said

    def delivered(self, name: str | None = None) -> Drop:
        """Exactly one drop, under that name, with exactly the file's bytes."""
        (drop,) = self.site.drops(self.vendor, 1)
        assert drop.file_name == (name or self.target)
        assert (drop.bytes, drop.folder) == (self.size, "leveringen")
        assert content(self.site.home, drop) == self.file.read_bytes()
        return drop


def kill(client: subprocess.Popen[bytes]) -> None:
    """The client and the ssh it may have started, as kill -9 does."""
    with suppress(ProcessLookupError):
        os.killpg(client.pid, signal.SIGKILL)
    client.wait(PATIENCE)


# ---------------------------------------------------------------- how each client is told


def ssh_options(machine: Machine) -> list[str]:
    options = (
        "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", f"IdentityFile={machine.key}", "IdentitiesOnly=yes", "LogLevel=ERROR",
    )  # fmt: skip
    return ["-F", "/dev/null", *(part for option in options for part in ("-o", option))]


def sftp(machine: Machine, *commands: str) -> Command:
    """OpenSSH."""
    argv = ["sftp", *ssh_options(machine), "-P", str(machine.port), "-b", "-", f"{machine.vendor}@127.0.0.1"]
    return Command(argv, "".join(f"{command}\n" for command in commands))


def lftp(machine: Machine, *commands: str) -> Command:
    connect = " ".join(["ssh", "-a", "-x", *ssh_options(machine)])
    script = (
        f"set sftp:connect-program '{connect}'; set net:max-retries 1; set net:timeout 20; set net:reconnect-interval-base 1;"
        f"set cmd:fail-exit yes; open -u {machine.vendor}, sftp://127.0.0.1:{machine.port}; {'; '.join(commands)}"
    )
    return Command(["lftp", "--norc", "-c", script])


def curl(machine: Machine, *arguments: str, target: str = "") -> Command:
    """`target`: the name at the other side, where it is not the local one's."""
    url = f"sftp://127.0.0.1:{machine.port}/leveringen/{target}"
    login = ["-u", f"{machine.vendor}:", "--key", str(machine.key), "--pubkey", f"{machine.key}.pub"]
    return Command(["curl", "-sS", "--insecure", *login, *arguments, url])


def rclone(machine: Machine, *arguments: str) -> Command:
    remote = f":sftp,host=127.0.0.1,port={machine.port},user={machine.vendor},key_file={machine.key},shell_type=none"
    words = [word.replace("REMOTE:", f"{remote}:") for word in arguments]
    return Command(["rclone", "--config", "/dev/null", "--retries", "1", "--low-level-retries", "1", "--contimeout", "20s", *words])


def psftp(machine: Machine, *commands: str) -> Command:
    """PuTTY's; FileZilla's fzsftp is made of the same code."""
    private = machine.folder / "id.ppk"
    if not private.exists():
        subprocess.run(["puttygen", str(machine.key), "-O", "private", "-o", str(private)], check=True, stdin=subprocess.DEVNULL)
    script = machine.folder / "psftp.txt"
    script.write_text("".join(f"{command}\n" for command in commands))
    where = ["-P", str(machine.port), "-i", str(private), "-hostkey", machine.site.host_fingerprint()]
    return Command(["psftp", "-batch", *where, "-b", str(script), f"{machine.vendor}@127.0.0.1"])


def library(machine: Machine, name: str, action: str) -> Command:
    """paramiko or asyncssh, in a process of its own: `action` is put or resume."""
    words = [name, action, machine.port, machine.vendor, machine.key, machine.file, machine.remote]
    return Command([sys.executable, "-m", "tests.support.library_clients", *map(str, words)])


Way = Callable[[Machine], Command]

#: client → how it puts a whole file under its final name, and how it goes on with one that was interrupted
CLIENTS: dict[str, tuple[Way, Way]] = {
    "openssh reput": (lambda m: sftp(m, f'put "{m.file}" "{m.remote}"'), lambda m: sftp(m, f'reput "{m.file}" "{m.remote}"')),
    "openssh put -a": (lambda m: sftp(m, f'put -p "{m.file}" "{m.remote}"'), lambda m: sftp(m, f'put -a "{m.file}" "{m.remote}"')),
    "openssh put -f -a": (lambda m: sftp(m, f'put -f "{m.file}" "{m.remote}"'), lambda m: sftp(m, f'put -f -a "{m.file}" "{m.remote}"')),
    "lftp put -c": (lambda m: lftp(m, f"put '{m.file}' -o '{m.remote}'"), lambda m: lftp(m, f"put -c '{m.file}' -o '{m.remote}'")),
    "lftp mirror -R -c": (lambda m: _mirror(m, ""), lambda m: _mirror(m, "-c")),
    "curl -C -": (lambda m: _curl_put(m), lambda m: _curl_put(m, "-C", "-")),
    "rclone copyto": (lambda m: _rclone_put(m), lambda m: _rclone_put(m)),
    "psftp reput": (lambda m: psftp(m, f'put "{m.file}" "{m.remote}"'), lambda m: psftp(m, f'reput "{m.file}" "{m.remote}"')),
    "paramiko": (lambda m: library(m, "paramiko", "put"), lambda m: library(m, "paramiko", "resume")),
    "asyncssh": (lambda m: library(m, "asyncssh", "put"), lambda m: library(m, "asyncssh", "resume")),
}


def _mirror(machine: Machine, flag: str) -> Command:
    source = machine.folder / f"uit {machine.target}"
    source.mkdir(exist_ok=True)
    (source / machine.target).unlink(missing_ok=True)
    os.link(machine.file, source / machine.target)
    return lftp(machine, f"mirror -R {flag} --no-perms '{source}' leveringen")


def _curl_put(machine: Machine, *arguments: str) -> Command:
    """Renamed when whole: curl does not look what becomes of its close, and does of a rename."""
    part = f"{machine.target}.part"
    rename = f'-rename "leveringen/{part}" "leveringen/{machine.target}"'
    return curl(machine, *arguments, "-T", str(machine.file), "-Q", rename, target=part.replace(" ", "%20").replace("é", "%C3%A9"))


def _rclone_put(machine: Machine) -> Command:
    return rclone(machine, "copyto", str(machine.file), f"REMOTE:{machine.remote}")


def installed() -> None:
    """All of them are there; `.ci/prerequisites` sees to it."""
    missing = [name for name in ("sftp", "lftp", "curl", "rclone", "psftp", "puttygen") if shutil.which(name) is None]
    assert not missing, f"not installed: {', '.join(missing)} (sh .ci/prerequisites)"
