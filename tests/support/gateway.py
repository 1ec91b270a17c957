"""A whole gateway for tests: a home with boards, vendors and a campaign; its roles as real processes, or its stages under a clock.

`Gateway` starts `sluis serve`; what it does, it does in its own time. `Staged` runs the same stages in this process with a clock
that the test sets, behind the same SFTP door.
"""

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlmodel import select

from audit import document
from gateway.drop.lifecycle import Effect
from gateway.registers.persons import import_persons
from gateway.registers.schools import read_duo
from gateway.store.auditing import sequence
from gateway.store.campaigns import create_campaign, enrol
from gateway.store.config import Configuration, Intake, Portal, Worker
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.effects import claim_next, due_drops, finish
from gateway.store.home import Home, create_home
from gateway.store.ledger import utc_now
from gateway.store.models import AuditRow, Board, Drop, Mandate, Part, RegisterVersion, School
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.serve import upkeep
from gateway.worker.stages import carry_out
from keys.drop_cipher import DropCipher
from keys.sealing import unseal
from keys.secret import Secret
from policies.calendar import day_of, end_of_day
from policies.rules import packaged_rules
from tests.support.deliveries import age
from tests.support.intake import Running, free_port, make_key, register, sftp_session, wait_for_ledger
from tests.support.openpgp import turn
from tests.support.pupils import SCHOOLS, VENDORS, Pupil, pupils, register_of_persons, register_of_schools

T = TypeVar("T")

CAMPAIGN = "ronde-1"
#: how long anything may take on a busy machine before a test gives up [s]
PATIENCE = 120.0
#: states in which a drop stays, unless time or the vendor moves it
ENDS = ("rejected", "incomplete", "linked", "registered", "expired")


@dataclass(frozen=True)
class Calendar:
    """A campaign's days, counted from the day on which the home is made."""

    enrol_until: int = -30
    objections_from: int = -20
    objections_until: int = -1
    deliver_until: int = 14
    publish_from: int = 0  # and not before objections close


class Place:
    """A home with everything that stands before the first delivery: registers, vendors, a campaign, enrolments."""

    def __init__(self, folder: Path, calendar: Calendar, clock: Callable[[], datetime] = utc_now) -> None:
        self.folder = folder
        self.intake_port, self.portal_port = free_port(), free_port()
        config = Configuration(
            intake=Intake(port=self.intake_port), portal=Portal(port=self.portal_port), worker=Worker(poll_milliseconds=50)
        )
        self.home = create_home(folder / "home", config, clock)
        self.today = day_of(clock())
        self.pupils = pupils(self.today)
        self.keys = {vendor: make_key(folder, vendor) for vendor in sorted(set(VENDORS.values()))}
        for vendor, key in self.keys.items():
            register(self.home, vendor, key)
        self._import_schools()
        self._import_persons()
        self._begin_campaign(calendar)

    def _day(self, days: int) -> date:
        return self.today + timedelta(days=days)

    def _import_schools(self) -> None:
        duo = read_duo(register_of_schools())
        with self.home.ledger.change("test") as change:
            for board in duo.boards:
                change.session.add(Board(number=board.number, name=board.name))
            for school in duo.schools:
                change.session.add(School(code=school.code, name=school.name, postcode=school.postcode, city=school.city))
            change.session.flush()
            for school in duo.schools:
                change.session.add(Mandate(school=school.code, board=school.board, valid_from=self._day(-2000)))

    def _import_persons(self) -> None:
        """As `sluis register persons` does, from memory."""
        home, key = self.home, Secret(os.urandom(32))
        home.mortal.create("registers", "persons-test", key)
        file = home.registers / "persons-test.parquet"
        facts = import_persons(io.BytesIO(register_of_persons(self.pupils, self._day(-30))), key, file)
        assert facts.rows == len(self.pupils)
        with home.ledger.change("test") as change:
            version = RegisterVersion(
                kind="persons", rows=facts.rows, sha256=facts.sha256, file=file.name, key_name="persons-test", imported_at=change.now
            )
            change.session.add(version)

    def _begin_campaign(self, calendar: Calendar) -> None:
        self.home.mortal.create("objections", CAMPAIGN, Secret(os.urandom(32)))
        with self.home.ledger.change("test") as change:
            create_campaign(
                change,
                CAMPAIGN,
                self._day(calendar.enrol_until),
                self._day(calendar.objections_from),
                self._day(calendar.objections_until),
                self._day(calendar.deliver_until),
                max(change.now + timedelta(days=calendar.publish_from), end_of_day(self._day(calendar.objections_until))),
            )
            signed = self._day(min(calendar.enrol_until - 3, 0))
            for board, vendor in VENDORS.items():
                enrol(change, board, CAMPAIGN, vendor, signed, None if board == "41003" else signed)

    # ------------------------------------------------------------ what tests ask

    def at(self, *schools: str) -> list[Pupil]:
        """The pupils of these schools; none named: of all that take part."""
        return [pupil for pupil in self.pupils if pupil.school in (schools or tuple(SCHOOLS)[:3])]

    def sealed(self, plain: bytes) -> bytes:
        """Encrypted as a vendor does it."""
        return age(plain, self.home.recipients.public())

    def drop(self, name: str) -> Drop:
        """The newest drop that was delivered under this name."""
        with self.home.ledger.view() as session:
            return session.exec(select(Drop).where(Drop.file_name == name).order_by(Drop.received_at.desc(), Drop.id.desc())).first()  # type: ignore[attr-defined,return-value]

    def drops(self) -> list[Drop]:
        with self.home.ledger.view() as session:
            return list(session.exec(select(Drop).order_by(Drop.received_at)))  # type: ignore[arg-type]

    def parts(self) -> dict[str, Part]:
        """The parts of the results store, by drop."""
        with self.home.ledger.view() as session:
            return {part.drop: part for part in session.exec(select(Part))}

    def audited(self, object: str) -> list[AuditRow]:
        with self.home.ledger.view() as session:
            return list(session.exec(select(AuditRow).where(AuditRow.object == object).order_by(AuditRow.id)))  # type: ignore[arg-type]

    def sluis(self, *arguments: object, status: int = 0, given: str = "") -> Any:
        """`sluis --json …` in a process of its own, `given` on its standard input: its answer; what it says when it has none."""
        command = [sys.executable, "-m", "gateway.cli", "--home", str(self.home.path), "--json", *map(str, arguments)]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE, env=self.environment())
        assert ended.returncode == status, ended.stderr
        assert "Traceback" not in ended.stderr
        with (self.folder / "commands.log").open("a") as log:
            log.write(ended.stdout + ended.stderr)
        return json.loads(ended.stdout) if ended.stdout else ended.stderr

    def environment(self) -> dict[str, str]:
        """That of the product's processes: their temporary files go where a test can look for them."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(temporary)}


class Door:
    """A vendor at the SFTP door."""

    def __init__(self, place: Place, vendor: str, sftp: Any) -> None:
        self.place, self.vendor, self.sftp = place, vendor, sftp

    def deliver(self, name: str, data: bytes, folder: str = "leveringen") -> None:
        """One file, as it is; when this returns the gateway has said that it is durable."""
        with self.sftp.open(f"{folder}/{name}", "wb") as file:
            file.set_pipelined(True)
            for start in range(0, len(data), 1 << 18):
                file.write(data[start : start + (1 << 18)])

    def read(self, name: str) -> bytes:
        with self.sftp.open(f"ontvangst/{name}", "rb") as file:
            data: bytes = file.read()
        return data

    def receipt(self, drop: str) -> dict[str, Any]:
        """A drop's receipt from `ontvangst/`; its signature is checked with the key from `sleutels/`'s twin in the home."""
        found: dict[str, Any] = document.read(self.read(f"{drop}.json"))
        document.check(found, [self.place.home.audit_verifier()])
        return found


class Gateway(Place):
    """The three roles as processes. `start` and `stop` may be called for single roles."""

    def __init__(self, folder: Path, calendar: Calendar | None = None) -> None:
        super().__init__(folder, calendar or Calendar())
        self.log = folder / "serve.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._sessions = ExitStack()
        self._doors: dict[str, Door] = {}

    def start(self, *roles: str) -> None:
        """`sluis serve ROLE` for each; none named: `sluis serve`, which starts all three. Ready when this returns."""
        address = self.folder / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, self.log.open("ab") as log:
            told.bind(str(address))
            told.settimeout(PATIENCE)
            environment = {**self.environment(), "NOTIFY_SOCKET": str(address)}
            for arguments in [[role] for role in roles] or [[]]:
                command = [sys.executable, "-m", "gateway.cli", "--home", str(self.home.path), "serve", *arguments]
                self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment))
            for _ in roles or range(3):
                assert told.recv(100) == b"READY=1"

    def stop(self) -> None:
        """As the service manager does; every role must end well."""
        self._sessions.close()
        self._doors.clear()
        for process in self._processes:
            process.terminate()
        codes = [process.wait(PATIENCE) for process in self._processes]
        self._processes.clear()
        assert not any(codes), (codes, self.log.read_text()[-3000:])

    def door(self, vendor: str = "cito") -> Door:
        """The vendor's session, which stays open."""
        if vendor not in self._doors:
            sftp = self._sessions.enter_context(sftp_session(self.intake_port, vendor, self.keys[vendor]))
            self._doors[vendor] = Door(self, vendor, sftp)
        return self._doors[vendor]

    def wait(self, question: Callable[[], T | None], what: str) -> T:
        """The first answer of `question` that is not empty; looks every 50 ms, fails when a role ended or after PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := question()):
            dead = [process.returncode for process in self._processes if process.poll() is not None]
            assert not dead, f"a role ended with {dead}: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"waited in vain until {what}; {[(d.file_name, d.state, d.raw) for d in self.drops()]}"
            time.sleep(0.05)
        return answer

    def settled(self, names: Sequence[str], states: Sequence[str] = ("accepted", *ENDS)) -> list[Drop]:
        """Waits until the newest drops of these names are in one of these states, and erased when that state asks for it; none may have
        ended in another."""

        def there() -> list[Drop] | None:
            found = [self.drop(name) for name in names]
            if not all(found):
                return None  # the ledger is told a moment after the vendor
            astray = [(drop.file_name, drop.state, drop.findings[:3]) for drop in found if drop.state in set(ENDS) - set(states)]
            assert not astray, astray
            good = all(drop.state in states and (drop.state in ("accepted", "incomplete") or drop.raw == "erased") for drop in found)
            return found if good else None

        return self.wait(there, f"{', '.join(names)} are {' or '.join(states)}")

    def receipt(self, drop: Drop) -> dict[str, Any]:
        """The receipt of a drop once it says what the ledger says now."""

        def newest() -> dict[str, Any] | None:
            with self.home.ledger.view() as session:
                now = session.get_one(Drop, drop.id)
            try:
                found = self.door(drop.vendor).receipt(drop.id)
            except FileNotFoundError:
                return None
            state = "accepted" if now.state == "registered" else now.state
            return found if found["state"] == state and bool(found["erased_at"]) == (now.raw == "erased") else None

        return self.wait(newest, f"the receipt of {drop.file_name} says {drop.state}")


@contextmanager
def started(folder: Path, calendar: Calendar | None = None, openpgp: bool = False) -> Iterator[Gateway]:
    """A gateway whose roles run while the block does."""
    gateway = Gateway(folder, calendar)
    if openpgp:
        turn(gateway.home.path, True)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


class Clock:
    """Stands where it was set, but for a microsecond at each look: audit entries are put in order by their time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


class Staged(Place):
    """The worker's stages in this process, at the time that `clock` says; the SFTP door is the intake's own, at the same time."""

    START = datetime(2026, 2, 10, 10, 0, tzinfo=UTC)

    def __init__(self, folder: Path, calendar: Calendar | None = None) -> None:
        self.clock = Clock(self.START)
        super().__init__(folder, calendar or Calendar(), self.clock)
        self.work = Work(self.home, packaged_rules("nco-lvs-1"), PersonRegister(self.home))
        self._intake = Running(self.home)

    def stop(self) -> None:
        self._intake.stop()

    def deliver(self, name: str, data: bytes, folder: str = "leveringen", vendor: str = "cito") -> Drop:
        """Delivered through the SFTP door, and everything done that is due."""
        with sftp_session(self._intake.port, vendor, self.keys[vendor]) as sftp:
            Door(self, vendor, sftp).deliver(name, data, folder)
        self.settle()
        return self.drop(name)

    def receipt(self, drop: Drop) -> dict[str, Any]:
        with sftp_session(self._intake.port, drop.vendor, self.keys[drop.vendor]) as sftp:
            return Door(self, drop.vendor, sftp).receipt(drop.id)

    def read(self, name: str, vendor: str = "cito") -> bytes:
        """A file of `ontvangst/`."""
        with sftp_session(self._intake.port, vendor, self.keys[vendor]) as sftp:
            return Door(self, vendor, sftp).read(name)

    def settle(self) -> None:
        """What the worker does until nothing is due: the engine's steps, one after another."""
        wait_for_ledger(self.home)  # the intake tells it a moment after it has answered
        while due := self._due():
            for drop in due:
                self._one(drop)
        sequence(self.home)

    def _due(self) -> list[str]:
        with self.home.ledger.view() as session:
            return due_drops(session, self.clock(), 100)

    def _one(self, drop: str) -> None:
        with self.home.ledger.change("worker") as change:
            claimed = claim_next(change, drop)
        assert claimed is not None
        assert claimed.id is not None
        carry_out(self.work, Effect(claimed.kind), drop)
        with self.home.ledger.change("worker") as change:
            finish(change, claimed.id)

    def at_time(self, now: datetime) -> None:
        """It is `now`: what time asks for is done, and what is due."""
        self.clock.now = now
        upkeep(self.home)
        self.settle()


def opened(home: Home) -> dict[str, bytes]:
    """Every drop that still has its key, opened with all the keys of the home: drop id → the vendor's own ciphertext."""
    found = {}
    for name in home.mortal.names("drops"):
        with home.ledger.view() as session:
            drop = session.get_one(Drop, name)
        key = unseal(sealed_key_of(home.mortal.read(DROP_KEYS, name)), home.epochs.identity(drop.epoch))
        found[name] = DropCipher(key).transform(0, home.blob(name).read_bytes())
    return found
