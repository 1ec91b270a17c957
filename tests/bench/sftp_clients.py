"""What the SFTP benchmarks share: a vendor's machine, the three servers beside each other, and OpenSSH's client."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.store.home import Home
from tests.bench.runner import Result, Side, contest
from tests.support.intake import free_port, make_home, make_key, register
from tests.support.peers import Peer, Sluis, client_options, others, peak_mib

VENDOR = "cito"
MIB = 1 << 20

#: bounds that a benchmark must not run into: all its sessions come from one vendor at one address
WIDE: dict[str, Any] = {
    "max_sessions_per_vendor": 1000, "max_sessions": 1000, "max_unauthenticated": 1000, "max_unauthenticated_per_address": 1000,
    "max_handles_per_vendor": 4096, "day_files_per_vendor": 1_000_000, "store_files_per_vendor": 1_000_000,
    "day_bytes_per_vendor": 1 << 42, "store_bytes_per_vendor": 1 << 42, "idle_timeout_seconds": 3600,
}  # fmt: skip


class Bench:
    """A folder on the disk that TMPDIR names, a key, our endpoint and its peers."""

    def __init__(self, folder: Path, home: Home, key: Path, ours: Sluis, peers: Sequence[Peer]) -> None:
        self.folder = folder
        self.home = home
        self.key = key
        self.ours = ours
        self.peers = peers
        self._round = 0

    def file(self, size: int, name: str = "source") -> Path:
        """A file of random bytes [bytes] to upload."""
        path = self.folder / name
        with path.open("wb") as target:
            for start in range(0, size, MIB):
                target.write(os.urandom(min(MIB, size - start)))
        return path

    def name(self) -> str:
        """A name that was not delivered yet."""
        self._round += 1
        return f"b{self._round}"

    def program(self, peer: Peer, cipher: str | None = None) -> list[str]:
        """OpenSSH's sftp, which reads its commands from standard input."""
        options = client_options(self.key, cipher) if cipher else client_options(self.key)
        return ["sftp", "-q", *options, "-P", str(peer.port), "-b", "-", f"{peer.user}@127.0.0.1"]

    def sftp(self, peer: Peer, *commands: str, cipher: str | None = None) -> None:
        self.side_by_side(peer, [commands], cipher)

    def side_by_side(self, peer: Peer, sessions: Sequence[Sequence[str]], cipher: str | None = None) -> None:
        """So many clients at once, each with its commands; RuntimeError when one of them fails."""
        program = self.program(peer, cipher)
        clients = [subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in sessions]
        for client, commands in zip(clients, sessions, strict=True):
            assert client.stdin is not None
            client.stdin.write("".join(f"{command}\n" for command in commands).encode())
            client.stdin.close()
        for client in clients:
            assert client.stderr is not None
            said = client.stderr.read().decode(errors="replace")
            client.stderr.close()
            if client.wait(600):
                raise RuntimeError(f"{peer.name}: {said.strip()[:300]}")

    def contest(self, name: str, work: Callable[[Peer], object], *, unit: str, amount: float) -> list[Result]:
        """`work` against each server by turns, on a disk that came to rest and holds nothing of the round before."""

        def side(peer: Peer) -> Side:
            def before() -> None:
                peer.tidy()
                os.sync()

            return Side(peer.name, lambda: work(peer), before)

        rss = lambda: peak_mib(self.ours.pids())  # noqa: E731
        return contest(name, side(self.ours), [side(peer) for peer in self.peers], unit=unit, amount=amount, rss=rss)


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="sluis-bench-") as name:
        folder = Path(name)
        key = make_key(folder)
        home = make_home(folder, **{**WIDE, "port": free_port()})
        register(home, VENDOR, key)
        with others(folder, key) as peers:
            ours = Sluis(folder, home, VENDOR)
            try:
                yield Bench(folder, home, key, ours, peers)
            finally:
                ours.stop()
