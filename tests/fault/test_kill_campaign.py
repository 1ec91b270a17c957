"""A campaign under kill -9: the intake and the worker die again and again at random moments, while a vendor delivers and insists.

Every delivery that was acknowledged ends with its receipt, nothing outlives its deadline, the log verifies, and of the pupils nothing is
left. 40 kills over 12 drops; with SLUIS_EVERY_CRASH 200 over 50.
"""

import os
import threading
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest

from gateway.drop.lifecycle import Raw, State
from gateway.store.config import Configuration, Intake, Worker, write_configuration
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import Drop
from gateway.store.ssh_keys import read_public_keys
from gateway.store.vendors import add_vendor
from tests.support.canaries import Search, needles
from tests.support.crash_plays import REGISTER, SCHOOLS, SHIFT, START, VENDOR, make_home, open_home, register
from tests.support.crashing import Child, Nursery, wait_until
from tests.support.deliveries import age, row, rows, write_csv
from tests.support.intake import free_port, make_key, send_on, sftp_session
from tests.support.pupils import Pupil, pupils

pytestmark = [pytest.mark.crash, pytest.mark.slow]

KILLS, DROPS = (200, 50) if os.environ.get("SLUIS_EVERY_CRASH") else (40, 12)
#: how many durable steps a role may take at most before it is killed
MOST_STEPS = {"serve_intake": 40, "serve_worker": 120}
#: a role that does not come so far is killed then, idle or starting [s]
PATIENCE = 1.5
LATE = SHIFT + timedelta(days=23).total_seconds()
AFTER_THAT = LATE + timedelta(hours=2).total_seconds()

#: pupils whose numbers, birth dates and addresses are looked for in the end
CANARIES = pupils(START.date())[:6]


def canary_row(pupil: Pupil, score: int) -> dict[str, str]:
    return row(
        brin_vestiging=SCHOOLS[0],
        bsn=pupil.bsn,
        onderwijsnummer=pupil.onderwijsnummer,
        geslacht=pupil.sex,
        geboortedatum=pupil.birth.isoformat(),
        postcode=pupil.postcode,
        huisnummer=pupil.house,
        toevoeging="",
        score=f"{200 + score}.5",
    )


def deliveries(home: Home, count: int) -> list[tuple[str, bytes]]:
    """The schools' objection registers, and deliveries: most are good, some are nonsense, some end too early."""
    recipient = home.recipients.public()
    made = [(REGISTER, register(home))]
    for number in range(1, count):
        table = [*rows(60, schools=SCHOOLS, seed=number), *(canary_row(pupil, number) for pupil in CANARIES)]
        plain = b"nonsense %d" % number if number % 7 == 3 else write_csv(table)
        sealed = age(plain, recipient)
        made.append((f"leveringen/lvs-{number}.csv.age", sealed[:-40] if number % 7 == 5 else sealed))
    return made


class Role:
    """One role's process, started again whenever it was killed."""

    def __init__(self, play: str, home: Path) -> None:
        self.play, self._home = play, home
        self._nursery = Nursery()
        self.child: Child = self._nursery.start(play, home)

    def kill_after(self, steps: int) -> None:
        """Dies after so many durable steps from now, or after PATIENCE; another process begins at once."""
        before = self._taken()
        with suppress(AssertionError):  # it is idle: it dies all the same
            wait_until(lambda: self._taken() - before >= steps, PATIENCE, 0.005)
        self.child.kill()
        self.child = self._nursery.start(self.play, self._home)

    def _taken(self) -> int:
        return self.child.trace.read_bytes().count(b"\n") if self.child.trace.exists() else 0

    def end(self) -> None:
        self.child.terminate()

    def close(self) -> None:
        self._nursery.close()

    def told(self) -> str:
        return self._nursery.told()


class Client(threading.Thread):
    """A vendor that sends one delivery after the other, and each until it was told of success."""

    def __init__(self, port: int, key: Path, given: Sequence[tuple[str, bytes]]) -> None:
        super().__init__(daemon=True)
        self._port, self._key, self._given = port, key, given
        self._may = threading.Semaphore(0)
        self._rest = threading.Event()
        self.acknowledged: list[str] = []
        self.attempts = 0

    def go_on(self) -> None:
        """It may send one more."""
        self._may.release()

    def run(self) -> None:
        for name, content in self._given:
            self._may.acquire()
            while not self._sent(name, content):
                self._rest.wait(0.05)
            self.acknowledged.append(name)

    def _sent(self, name: str, content: bytes) -> bool:
        self.attempts += 1
        try:
            with sftp_session(self._port, VENDOR, self._key) as sftp:
                send_on(sftp, name, content)
        except (OSError, EOFError, paramiko.SSHException):
            return False
        return True


@dataclass(frozen=True)
class Survived:
    """What is left when all is at rest."""

    home: Path
    given: list[tuple[str, bytes]]
    acknowledged: list[str]
    attempts: int
    kills: Tally[str]
    nursery: Nursery


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    nursery = Nursery()
    path, port, key = nursery.room / "home", free_port(), make_key(tmp_path_factory.mktemp("vendor"))
    home = make_home(path)
    with home.ledger.change("administrator") as change:
        add_vendor(change, VENDOR, read_public_keys(Path(f"{key}.pub").read_text()))
    given = deliveries(home, DROPS)
    home.ledger.engine.dispose()
    config = Configuration(intake=Intake(port=port), worker=Worker(concurrency=2, poll_milliseconds=20))
    (path / "sluis.toml").write_text(write_configuration(config))
    chance, kills = Random(4), Tally[str]()
    roles = [Role(play, path) for play in MOST_STEPS]
    client = Client(port, key, given)
    client.start()
    try:
        for number in range(KILLS):
            while number * DROPS >= KILLS * kills["let go"]:
                client.go_on()
                kills["let go"] += 1
            role = chance.choice(roles)
            role.kill_after(chance.randrange(1, MOST_STEPS[role.play]))
            kills[role.play] += 1
        wait_until(lambda: len(client.acknowledged) == DROPS)
        wait_until(lambda: not contradictions(path, SHIFT), pause=0.2)
        for role in roles:
            role.end()
        yield Survived(path, given, client.acknowledged, client.attempts, kills, nursery)
    finally:
        for role in roles:
            role.close()
        nursery.close()


def contradictions(path: Path, shift: float) -> list[str]:
    home = open_home(path, shift)
    try:
        return [broken.what for broken in check_home(home, at_rest=True)]
    finally:
        home.ledger.engine.dispose()


def known(survived: Survived, shift: float = SHIFT) -> list[Drop]:
    home = open_home(survived.home, shift)
    try:
        with home.ledger.view() as session:
            return drops(session)
    finally:
        home.ledger.engine.dispose()


def test_every_acknowledged_delivery_ended(survived: Survived) -> None:
    """Receipts, certificates, keys, results and the log were compared with the ledger before the roles ended."""
    assert survived.kills["serve_intake"] + survived.kills["serve_worker"] == KILLS
    print(f"{dict(survived.kills)}; {survived.attempts} attempts at {len(survived.acknowledged)} deliveries")
    assert contradictions(survived.home, SHIFT) == []
    found: dict[str, list[Drop]] = {}
    for drop in known(survived):
        found.setdefault(f"{drop.folder}/{drop.file_name}", []).append(drop)
    assert sorted(found) == sorted(survived.acknowledged) == sorted(name for name, _ in survived.given)
    for number, (name, content) in enumerate(survived.given):
        *replaced, last = found[name]
        truncated = number % 7 == 5
        assert not replaced or truncated, "nothing is received twice, but what has to be sent again"
        assert {drop.state for drop in replaced} <= {State.EXPIRED}
        assert last.bytes == len(content)
        expected = (
            State.REGISTERED if not number else State.INCOMPLETE if truncated else State.REJECTED if number % 7 == 3 else State.LINKED
        )
        assert (last.state, last.raw) == (expected, Raw.HELD if truncated else Raw.ERASED)


def test_after_the_window_nothing_is_left(survived: Survived) -> None:
    assert survived.nursery.start("retain", survived.home, shift=LATE).wait() == 0
    assert survived.nursery.start("work", survived.home, shift=AFTER_THAT).wait() == 0
    assert contradictions(survived.home, AFTER_THAT) == []
    assert {drop.raw for drop in known(survived, AFTER_THAT)} == {Raw.ERASED}
    home = open_home(survived.home, AFTER_THAT)
    try:
        assert home.mortal.names("drops") == [] and min(home.epochs.days()) > START.date()
    finally:
        home.ledger.engine.dispose()
    search = Search(needles(CANARIES))
    search.folder(survived.home)
    assert search.hits == set() and search.looked_at > 100
    search.data(write_csv([canary_row(pupil, 1) for pupil in CANARIES]), "what was delivered")
    assert len(search.canaries) >= 3 * len(CANARIES), "the search finds what there is"
