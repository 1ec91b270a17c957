"""Other SFTP servers beside ours, for comparison: Debian's OpenSSH (internal-sftp) and ProFTPD's mod_sftp, each with its own configuration.

All listen on 127.0.0.1 on a port of their own, take the same client key, and store what arrives on the same disk.
"""

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped,unused-ignore]

from gateway.store.home import Home
from tests.support.intake import Service, free_port, wait_for_ledger

#: what every client and server of a comparison speaks, whatever each of them would prefer
KEX, HOST_KEY, CIPHER = "curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com"


class Peer(Protocol):
    """A running SFTP server."""

    name: str
    port: int
    user: str
    folder: str  # where a client uploads to, as the client names it

    def pids(self) -> list[int]:
        """Its processes now, those of sessions included."""

    def tidy(self) -> None:
        """Throw away what arrived, so that the next round finds the same disk."""

    def stop(self) -> None: ...


def family(root: int) -> list[int]:
    """A process and all that came from it."""
    process = psutil.Process(root)
    return [root, *(child.pid for child in process.children(recursive=True))]


def pss_mib(pids: Sequence[int]) -> float:
    """What those processes take of the machine's memory, shared pages counted once between their users [MiB]."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # a session that ended meanwhile
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def peak_mib(pids: Sequence[int]) -> float:
    """The sum of those processes' largest resident sets up to now [MiB]; pages that they share count several times."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    return total / 1024


class Daemon(ABC):
    """A server in the foreground of a process of its own, with a folder where files arrive."""

    name = ""

    def __init__(self, folder: Path, key: Path) -> None:
        self.port = free_port()
        self.user = getpass.getuser()
        self._store = folder / "arrived"
        self._store.mkdir(parents=True)
        self.folder = str(self._store)
        program = self._configure(folder, key)
        self._process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_greeting(self.port)

    @abstractmethod
    def _configure(self, folder: Path, key: Path) -> list[str]:
        """Write what the server reads; answers its command line."""

    def pids(self) -> list[int]:
        return family(self._process.pid)

    def tidy(self) -> None:
        shutil.rmtree(self._store)
        self._store.mkdir()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class OpenSSH(Daemon):
    """Debian's sshd with internal-sftp, without PAM and without anybody's shell."""

    name = "OpenSSH internal-sftp"

    def _configure(self, folder: Path, key: Path) -> list[str]:
        host_key = new_host_key(folder)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation wants that folder; systemd makes it otherwise
        authorized = folder / "authorized_keys"
        shutil.copy(f"{key}.pub", authorized)
        configuration = folder / "sshd_config"
        configuration.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\nAuthorizedKeysFile {authorized}\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "UseDNS no\nPrintMotd no\nLogLevel QUIET\nMaxStartups 1000\nMaxSessions 1000\nSubsystem sftp internal-sftp\n"
            "ForceCommand internal-sftp\n"
        )
        return ["/usr/sbin/sshd", "-D", "-f", str(configuration)]


class ProFTPD(Daemon):
    """ProFTPD with mod_sftp and a user file of its own."""

    name = "ProFTPD mod_sftp"

    def _configure(self, folder: Path, key: Path) -> list[str]:
        host_key = new_host_key(folder)
        public = subprocess.run(["ssh-keygen", "-e", "-f", f"{key}.pub"], check=True, capture_output=True).stdout
        (folder / "keys").write_bytes(public)  # RFC 4716, as it wants them
        users = folder / "passwd"
        users.write_text(f"{self.user}:*:{os.getuid()}:{os.getgid()}::{self.folder}:/bin/false\n")
        users.chmod(0o600)
        configuration = folder / "proftpd.conf"
        configuration.write_text(
            "LoadModule mod_sftp.c\n"
            f"ServerType standalone\nPort {self.port}\nDefaultAddress 127.0.0.1\nUser {self.user}\nGroup {_own_group()}\n"
            f"PidFile {folder}/pid\nScoreboardFile {folder}/scoreboard\nSystemLog none\nWtmpLog off\nTransferLog none\n"
            "UseReverseDNS off\nUseFtpUsers off\nDelayEngine off\nRootLogin on\nRequireValidShell off\n"
            "AuthOrder mod_auth_file.c\nMaxInstances 1000\nUseIPv6 off\n"
            f"AuthUserFile {users}\nAllowOverwrite on\nAllowStoreRestart on\n"
            f"SFTPEngine on\nSFTPHostKey {host_key}\nSFTPAuthMethods publickey\nSFTPAuthorizedUserKeys file:{folder}/keys\nSFTPLog none\n"
        )
        return ["/usr/sbin/proftpd", "-n", "-q", "-c", str(configuration)]


class Sluis:
    """The endpoint of a home, as the service that is deployed."""

    name = "sluis"
    folder = "leveringen"

    def __init__(self, folder: Path, home: Home, vendor: str) -> None:
        self.home = home
        self.user = vendor
        self.port = home.config.intake.port
        self._service = Service(home.path, self.port, folder)

    def pids(self) -> list[int]:
        return family(self._service.process.pid)

    def tidy(self) -> None:
        """The bytes only: the ledger goes on filling, as it does in use. It is told of everything before the next round."""
        wait_for_ledger(self.home)
        for path in self.home.drops.glob("*.blob"):
            path.unlink()

    def stop(self) -> None:
        self._service.terminate()


def new_host_key(folder: Path) -> Path:
    path = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


def _own_group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


def wait_for_greeting(port: int, seconds: float = 30.0) -> None:
    """Until an SSH server greets on that port of 127.0.0.1; TimeoutError after `seconds` [s]."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as probe:
            if probe.recv(4) == b"SSH-":
                return
        threading.Event().wait(0.05)
    raise TimeoutError(f"nothing greets on port {port}")


def client_options(key: Path, cipher: str = CIPHER) -> list[str]:
    """Options of OpenSSH's ssh and sftp: nothing of this account's own configuration, and the algorithms of every comparison."""
    options = (
        "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null", f"IdentityFile={key}",
        "IdentitiesOnly=yes", "LogLevel=ERROR", f"KexAlgorithms={KEX}", f"HostKeyAlgorithms={HOST_KEY}", f"Ciphers={cipher}",
        "PreferredAuthentications=publickey", "UpdateHostKeys=no",
    )  # fmt: skip
    return ["-F", "/dev/null", *(part for option in options for part in ("-o", option))]


@contextmanager
def others(folder: Path, key: Path) -> Iterator[list[Peer]]:
    """OpenSSH first, then ProFTPD (which wants to be started by root)."""
    with ExitStack() as kept:
        peers: list[Peer] = []
        for kind in (OpenSSH, ProFTPD):
            peer = kind(folder / kind.__name__.lower(), key)
            kept.callback(peer.stop)
            peers.append(peer)
        yield peers
