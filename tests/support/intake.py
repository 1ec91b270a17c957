"""A gateway's SFTP endpoint for tests: in this process on a thread of its own, or as the real service in a process."""

import asyncio
import atexit
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import mkdtemp
from typing import Any, TypeVar
from urllib.request import urlopen

import paramiko  # type: ignore[import-untyped,unused-ignore]
import psutil
import uvloop
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from gateway.intake.desk import Unfinished
from gateway.intake.server import Endpoint
from gateway.store.config import Configuration, Database, Intake, write_configuration
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.home import Home, create_home
from gateway.store.models import AuditRow, Drop
from gateway.store.ssh_keys import read_public_keys
from gateway.store.vendors import add_vendor
from keys.drop_cipher import DropCipher
from keys.sealing import unseal

T = TypeVar("T")


@cache
def _template() -> Path:
    folder = Path(mkdtemp(prefix="sluis-home-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    create_home(folder / "home", Configuration()).ledger.engine.dispose()
    return folder / "home"


def make_home(folder: Path, database: str = "", **intake: Any) -> Home:
    """A new home on any free port: a copy, since making one takes a second. `database`: the address of a PostgreSQL one."""
    if database:
        return create_home(folder / "home", Configuration(database=Database(url=database), intake=Intake(**{"port": 0, **intake})))
    copytree(_template(), folder / "home")
    (folder / "home" / "sluis.toml").write_text(write_configuration(Configuration(intake=Intake(**{"port": 0, **intake}))))
    return Home.open(folder / "home")


def make_key(folder: Path, name: str = "id") -> Path:
    """A vendor's key pair as OpenSSH files; answers the private one."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


def register(home: Home, vendor: str, key: Path, *sources: str) -> None:
    """What `sluis vendor add` does."""
    with home.ledger.change("administrator") as change:
        add_vendor(change, vendor, read_public_keys(Path(f"{key}.pub").read_text()), sources)


class Running:
    """An Endpoint on an event loop in a thread."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.endpoint = Endpoint(home)
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self.endpoint.start())

    @property
    def port(self) -> int:
        return self.endpoint.port

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    def unfinished(self, vendor: str) -> dict[str, Unfinished]:
        """What of the vendor's leveringen/ was not delivered, by name."""
        return {one.name: one for one in self.run(self.endpoint.desk.look(vendor, "leveringen")) if not one.delivered}

    def stop(self) -> None:
        """As SIGTERM does."""
        self.run(self.endpoint.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@contextmanager
def running(home: Home) -> Iterator[Running]:
    intake = Running(home)
    try:
        yield intake
    finally:
        intake.stop()


class Service:
    """`sluis serve intake` in processes of its own, which a test may kill."""

    def __init__(self, home: Path, port: int, folder: Path, **environment: str) -> None:
        self.port = port
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self.log = folder / "intake.log"
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(address))
        self.told.settimeout(60)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "--home", str(home), "serve", "intake"],
                env={**os.environ, "NOTIFY_SOCKET": str(address), **environment},
                stderr=log,
            )
        self.wait_for("READY=1")

    def wait_for(self, state: str) -> None:
        """Returns when the service has told its manager `state`; whatever else it told before is passed over."""
        while state not in self.told.recv(200).decode().splitlines():
            assert self.process.poll() is None, f"the service ended: {self.log.read_text()[-2000:]}"

    def family(self) -> dict[str, psutil.Process]:
        """Its processes by what they are: `main`, `front`, `d0` …; one alone is `python`, or whatever it was started by."""
        first = psutil.Process(self.process.pid)
        return {each.name().removeprefix("sluis-"): each for each in [first, *first.children(recursive=True)]}

    def doors(self) -> list[psutil.Process]:
        return [process for name, process in self.family().items() if name.startswith("d") and name[1:].isdigit()]

    def kill(self) -> None:
        """All at once, as when the machine stops."""
        family = list(self.family().values())
        for process in family:
            process.kill()
        self.process.wait(30)
        psutil.wait_procs(family, 30)
        self.told.close()

    def terminate(self) -> int:
        self.process.terminate()
        status = self.process.wait(90)
        self.told.close()
        return status

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


class Deployed:
    """A home with one vendor, `cito`, and the real service on it, with two doors."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, database: str = "", **intake: Any) -> None:
        self.folder = folder
        self.environment = environment or {}
        self.port, self.metrics_port = free_port(), free_port()
        self.home = make_home(folder, database, **{"port": self.port, "metrics_port": self.metrics_port, "processes": 2, **intake})
        self.key = make_key(folder)
        register(self.home, "cito", self.key)
        self.service = Service(self.home.path, self.port, folder, **self.environment)

    def start_again(self) -> None:
        self.service = Service(self.home.path, self.port, self.folder, **self.environment)

    def sftp(self) -> AbstractContextManager[Any]:
        """paramiko's client, logged in as cito."""
        return sftp_session(self.port, "cito", self.key)

    def sessions(self) -> list[str]:
        """The names of the sessions that began, oldest first; a name begins with that of its door."""
        return [line["session"] for line in self.service.lines() if line["event"] == "session.began"]

    def figures(self) -> dict[str, float]:
        """What Prometheus would find, by name and labels."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    def change(self, **intake: Any) -> None:
        """Another sluis.toml; a reload or a new start reads it."""
        config = Configuration(intake=Intake(**{**self.home.config.intake.model_dump(), **intake}))
        (self.home.path / "sluis.toml").write_text(write_configuration(config))


@contextmanager
def deployed(folder: Path, environment: dict[str, str] | None = None, database: str = "", **intake: Any) -> Iterator[Deployed]:
    case = Deployed(folder, environment, database, **intake)
    try:
        yield case
    finally:
        if case.service.process.poll() is None:
            case.service.kill()


def until(what: Callable[[], object], patience: float = 30.0) -> None:
    """Returns once `what` is true; AssertionError when it is not within `patience` [s]."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        threading.Event().wait(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def sftp_session(port: int, vendor: str, key: Path) -> Iterator[Any]:
    """paramiko's SFTP client, logged in."""
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", port), 20))
    try:
        transport.connect(username=vendor, pkey=paramiko.PKey.from_path(key))
        yield paramiko.SFTPClient.from_transport(transport)
    finally:
        transport.close()


def send_on(sftp: Any, name: str, content: bytes, upto: int | None = None) -> int:
    """A client's next attempt, from where the service says it is, unless it finds the file delivered; without `upto` it is closed, and
    when this returns the client was told of success. Answers from where."""
    try:
        found = sftp.stat(name)
        at, delivered = int(found.st_size), not found.st_mode & stat.S_IWUSR
    except FileNotFoundError:
        at, delivered = 0, False
    if not delivered:
        file = sftp.open(name, "ab" if at else "wb")
        file.write(content[at:upto])
        file.flush()
        sftp.stat(name)  # answered after the writes
        if upto is None:
            file.close()
    return at


def wait_for_ledger(home: Home, seconds: float = 60) -> None:
    """Until the ledger has everything that is durable."""
    deadline = time.monotonic() + seconds
    while not _known(home).issuperset(home.mortal.names(DROP_KEYS)):
        assert time.monotonic() < deadline, "the ledger was not told in time"
        threading.Event().wait(0.005)


def _known(home: Home) -> set[str]:
    with home.ledger.view() as session:
        return set(session.exec(select(Drop.id)))


def drops(home: Home) -> list[Drop]:
    """What the ledger has once it was told of everything that is durable."""
    wait_for_ledger(home)
    with home.ledger.view() as session:
        return list(session.exec(select(Drop).order_by(Drop.received_at)))


class LedgerAway:
    """The ledger answers so many statements, and then none until this ends."""

    def __init__(self, home: Home, after: int) -> None:
        self.engine, self.left = home.ledger.engine, after
        self.lock = threading.Lock()

    def __enter__(self) -> "LedgerAway":
        event.listen(self.engine, "before_cursor_execute", self._execute)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._execute)

    def _execute(self, *_: object) -> None:
        with self.lock:
            self.left -= 1
            if self.left < 0:
                raise OperationalError("a statement", {}, Exception("the server closed the connection"))


def audit_rows(home: Home, action: str) -> list[AuditRow]:
    with home.ledger.view() as session:
        return list(session.exec(select(AuditRow).where(AuditRow.action == action)))


def content(home: Home, drop: Drop) -> bytes:
    """The delivered bytes, opened as the worker does."""
    sealed = sealed_key_of(home.mortal.read(DROP_KEYS, drop.id))
    key = unseal(sealed, home.epochs.identity(drop.epoch))
    return DropCipher(key).transform(0, home.blob(drop.id).read_bytes())


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class Gate:
    """A TCP relay that lets so many bytes of each connection through to the endpoint and then cuts both sides: a network that fails.

    After the last of `allowed` it is mended, or gone for good.
    """

    def __init__(self, port: int, *allowed: int, mended: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed: list[int] = []  # of each connection, from the client [bytes]
        self._target, self._allowed, self._mended = port, allowed, mended
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for allowed in self._allowed:
            client, _peer = self._listener.accept()
            self._relay(client, allowed)
        while self._mended:
            client, _peer = self._listener.accept()
            self._relay(client, 1 << 62)
        self._listener.close()

    def _relay(self, client: socket.socket, allowed: int) -> None:
        self.passed.append(0)
        server = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
        with suppress(OSError):
            while self.passed[-1] < allowed and (data := client.recv(16_384)):
                server.sendall(data)
                self.passed[-1] += len(data)
            for side in (client, server):
                side.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answers(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)
