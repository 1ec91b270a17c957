"""Vendors that deliver for a long time with every real client, while clients, doors and the service are killed at random.

What a client was told (exit status 0) is what counts: those files are looked for afterwards.
"""

import hashlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped,unused-ignore]
from sqlmodel import select

from gateway.store.models import Drop
from tests.support.clients import CLIENTS, Machine, Site, kill
from tests.support.peers import family, pss_mib

#: these leave alone what has the same size at the other side, although nobody closed it: their exit status acknowledges nothing then
COMPARES = {"lftp mirror -R -c"}

#: a file that could not be delivered in so many tries is a fault, not bad luck
TRIES = 40

#: how long one try of a client may take [s]
ONE_TRY = 120.0

#: how long the other processes may take to end when one of them is gone [s]
ENDING = 60.0

SIZES = (0, 1, 1000, 20_000, 300_000, 1_000_000, 5_000_000)  # at most, each as likely as the next [bytes]


@dataclass(frozen=True)
class Sent:
    """A file that a client said it delivered, or that the ledger had when the client's last word was lost."""

    vendor: str
    name: str
    sha256: str
    bytes: int
    acknowledged: bool


@dataclass
class Soak:
    site: Site
    seed: int
    sent: list[Sent] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("client", "door", "front", "supervisor", "service", "stop"), 0))
    tries: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)  # when [s of the monotonic clock], all processes together [MiB]
    over: threading.Event = field(default_factory=threading.Event)
    _up: threading.Event = field(default_factory=threading.Event)  # the service is not being restarted
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, machines: list[Machine], kill_seconds: float, calm_seconds: float) -> None:
        """First with kills of everything, then of clients only: then the memory is looked at."""
        self._up.set()
        vendors = [threading.Thread(target=self._deliver, args=(machine, index)) for index, machine in enumerate(machines)]
        for vendor in vendors:
            vendor.start()
        try:
            self._kill_the_server_now_and_then(kill_seconds)
            self._watch_memory(calm_seconds)
        finally:
            self.over.set()
            for vendor in vendors:
                vendor.join()

    # ------------------------------------------------------------ the vendors

    def _deliver(self, machine: Machine, index: int) -> None:
        dice = random.Random(self.seed * 1000 + index)
        number = 0
        try:
            while not self.over.is_set():
                number += 1
                self._deliver_one(machine, f"{index}-{number}.csv.age", dice)
        except Exception as error:
            self.faults.append(f"{machine.vendor}: {type(error).__name__}: {error}")
            self.over.set()

    def _deliver_one(self, machine: Machine, name: str, dice: random.Random) -> None:
        content = os.urandom(dice.randint(0, dice.choice(SIZES)))
        machine.file.unlink(missing_ok=True)  # a new file: lftp's mirror links it
        machine.file.write_bytes(content)
        machine.target, sha256 = name, hashlib.sha256(content).hexdigest()
        said = ""
        for attempt in range(TRIES):
            client = dice.choice([name for name in CLIENTS if attempt == 0 or name not in COMPARES])
            resume = attempt > 0 and dice.random() < 0.6
            self._up.wait()
            self.tries += 1
            status, said = self._one_try(machine, client, resume, dice)
            if status == 0:
                self._note(Sent(machine.vendor, name, sha256, len(content), acknowledged=True))
                return
            if "name-taken" in said or self._in_the_ledger(machine.vendor, name):
                self._note(Sent(machine.vendor, name, sha256, len(content), acknowledged=False))
                return
        self.faults.append(f"{machine.vendor}: {name} of {len(content)} bytes not delivered in {TRIES} tries: {said[-300:]}")

    def _one_try(self, machine: Machine, name: str, resume: bool, dice: random.Random) -> tuple[int, str]:
        client = machine.start(CLIENTS[name][1 if resume else 0](machine))
        timer = threading.Timer(dice.uniform(0.05, 1.5), self._kill_client, args=(client,)) if dice.random() < 0.2 else None
        if timer:
            timer.start()
        try:
            said = client.communicate(timeout=ONE_TRY)[0].decode(errors="replace")
        finally:
            if timer:
                timer.cancel()
            kill(client)
        # PuTTY's psftp tells of a refused open, and ends with 0
        return client.returncode or int("unable to open" in said), said

    def _kill_client(self, client: subprocess.Popen[bytes]) -> None:
        self._count("client")
        kill(client)

    def _in_the_ledger(self, vendor: str, name: str) -> bool:
        """Now: what is durable and not told yet will be found at the next try."""
        with self.site.home.ledger.view() as session:
            found = session.exec(select(Drop.id).where(Drop.vendor == vendor, Drop.file_name == name)).first()
        return found is not None

    def _note(self, sent: Sent) -> None:
        with self._lock:
            self.sent.append(sent)

    def _count(self, what: str) -> None:
        with self._lock:
            self.kills[what] += 1

    # ------------------------------------------------------------ the server

    def _kill_the_server_now_and_then(self, seconds: float) -> None:
        dice = random.Random(self.seed)
        deadline = time.monotonic() + seconds
        kinds = [self._kill_a_part] * 4 + [self._kill_all, self._stop]
        order: list[Callable[[random.Random], None]] = []
        while time.monotonic() < deadline and not self.over.wait(dice.uniform(1, 6)):
            order = order or dice.sample(kinds, len(kinds))  # each kind comes, in any order
            order.pop()(dice)

    def _kill_a_part(self, dice: random.Random) -> None:
        """One process. A door is replaced; without the front or the supervisor everything ends, and is started again as systemd does."""
        family = self.site.service.family()
        name, victim = dice.choice(sorted(family.items()))
        if name[1:].isdigit():
            self._count("door")
            victim.kill()
            return
        self._up.clear()
        self._count("front" if name == "front" else "supervisor")
        victim.kill()
        self.site.service.process.wait(ENDING)
        _, left = psutil.wait_procs(family.values(), ENDING)
        if left:
            self.faults.append(f"{len(left)} processes go on without their {name}")
        self._start_again()

    def _kill_all(self, dice: random.Random) -> None:
        self._up.clear()
        self._count("service")
        self.site.service.kill()
        self._start_again()

    def _stop(self, dice: random.Random) -> None:
        self._up.clear()
        self._count("stop")
        if (status := self.site.service.terminate()) != 0:
            self.faults.append(f"the service was stopped and ended with {status}")
        self._start_again()

    def _start_again(self) -> None:
        self._up.clear()
        self.site.restart()
        self._up.set()

    def _watch_memory(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        pid = self.site.service.process.pid
        while time.monotonic() < deadline and not self.over.wait(0.5):
            if self.site.service.process.poll() is not None:
                self.faults.append("the service ended by itself")
                return
            self.memory.append((time.monotonic(), pss_mib(family(pid))))
