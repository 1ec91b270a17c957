"""What the processes of tests/support/crashing.py run: the roles' own code, and the home that they run on.

Everything is imported at the top and nothing is done: a process is forked from here for each play.
"""

import asyncio
import io
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event

from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.app import run
from gateway.cli.publishing import publish_campaign, withdraw_campaign
from gateway.drop.lifecycle import Effect
from gateway.intake.files.folders import Handle, VendorFolders
from gateway.intake.files.names import locate
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.intake.server import serve as serve_intake_until
from gateway.portal.serve import serve as serve_portal_until
from gateway.registers.persons import PERSON_FIELDS, import_persons
from gateway.store.auditing import sequence
from gateway.store.campaigns import create_campaign, enrol
from gateway.store.config import Configuration, Database, Intake, Worker
from gateway.store.effects import due_drops
from gateway.store.home import Home, create_home
from gateway.store.models import Board, Mandate, RegisterVersion, School, Vendor
from gateway.worker.engine import attempt
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.serve import serve as serve_worker_until
from gateway.worker.serve import tidy, upkeep
from gateway.worker.stages import carry_out
from keys.secret import Secret
from policies.errors import NotFound, SluisError
from policies.rules import packaged_rules
from tests.support.crashing import fork_for_each_task
from tests.support.deliveries import OBJECTION_COLUMNS, Row, age, rows, write_csv
from tests.support.steps import Counter

CAMPAIGN = "2026-M"
VENDOR = "cito"
BOARD = "12345"
SCHOOLS = ("01AA00", "01AB00")
DELIVERY = "leveringen/lvs.csv.age"
REGISTER = "bezwaren/bezwaar.csv.age"
START = datetime(2026, 2, 20, 9, 0, tzinfo=UTC)
#: of a disk that stays full: then the process ends
MOST_FAILURES = 10
#: what is tried again within this is waited for; a look at an hour's or a day's distance is not
SOON = timedelta(minutes=1)
#: what the tests' clock is off the real one: the same in all processes, so that their time only goes forward [s]
SHIFT = float(os.environ.setdefault("SLUIS_TEST_SHIFT", str((START - datetime.now(UTC)).total_seconds())))


def clock_of(shift: float) -> Callable[[], datetime]:
    """A clock that is `shift` [s] off the real one."""
    return lambda: datetime.now(UTC) + timedelta(seconds=shift)


def open_home(path: Path, shift: float = SHIFT) -> Home:
    return Home.open(path, clock_of(shift))


# ---------------------------------------------------------------- a home on which there is work


def make_home(path: Path, populated: bool = True, database: str = "") -> Home:
    """A campaign whose objection window is over, two schools of one board, a vendor, and if `populated` a population register."""
    work = Worker(concurrency=1, poll_milliseconds=20)
    home = create_home(path, Configuration(worker=work, intake=Intake(port=0), database=Database(url=database)), clock_of(SHIFT))
    with home.ledger.change("administrator") as change:
        change.session.add(Vendor(name=VENDOR, created_at=change.now))
        change.session.add(Board(number=BOARD, name="Stichting"))
        change.session.flush()
        for code in SCHOOLS:
            change.session.add(School(code=code, name=f"Basisschool {code}"))
            change.session.flush()
            change.session.add(Mandate(school=code, board=BOARD, valid_from=date(2010, 8, 1)))
        days = [date(2026, 1, day) for day in (10, 15, 31)]
        create_campaign(change, CAMPAIGN, *days, date(2026, 4, 1), START + timedelta(days=100))
        change.session.flush()
        enrol(change, BOARD, CAMPAIGN, VENDOR, date(2026, 1, 5), date(2026, 1, 6))
    home.mortal.create("objections", CAMPAIGN, Secret(os.urandom(32)))
    if populated:
        _import_population(home, rows(200, schools=SCHOOLS))
    return home


def _import_population(home: Home, results: Sequence[Row]) -> None:
    persons = {row["bsn"] or row["onderwijsnummer"]: row for row in results}
    table = [{**row, "persoon_id": f"P{number:06}", "peildatum": "2026-01-01"} for number, row in enumerate(persons.values())]
    key = Secret(os.urandom(32))
    home.mortal.create("registers", "persons", key)
    facts = import_persons(io.BytesIO(write_csv(table, PERSON_FIELDS)), key, home.registers / "persons.parquet")
    with home.ledger.change("administrator") as change:
        change.session.add(
            RegisterVersion(
                kind="persons", rows=facts.rows, sha256=facts.sha256, file="persons.parquet", key_name="persons", imported_at=change.now
            )
        )
    sequence(home)


def delivery(home: Home) -> bytes:
    """200 results of 40 pupils at both schools, as the vendor sends them."""
    return age(write_csv(rows(200, schools=SCHOOLS)), home.recipients.public())


def register(home: Home) -> bytes:
    """Both schools' registers: one objection at the first, none at the second."""
    first = rows(1)[0]
    objection = {name: first.get(name, "") for name in OBJECTION_COLUMNS}
    table = [
        {**objection, "ingediend_op": "2026-01-16"},
        {**dict.fromkeys(OBJECTION_COLUMNS, ""), "brin_vestiging": SCHOOLS[1]},
    ]
    return age(write_csv(table, OBJECTION_COLUMNS), home.recipients.public())


def deliver(home: Home, name: str, data: bytes) -> None:
    """What a vendor's client makes the intake do."""
    asyncio.run(_deliver(home, name, data))


async def _deliver(home: Home, name: str, data: bytes) -> None:
    desk = FrontDesk(home)
    await desk.start()
    folders = await _log_in(desk)
    handle = await folders.open_to_write(locate(name.encode()), create=True, anew=True, only_new=False, append=False)
    await _write(folders, handle, 0, data)
    await folders.close(handle)
    await desk.stop()


async def _log_in(desk: FrontDesk, session: str = "s1") -> VendorFolders:
    await desk.enter(session, VENDOR, "127.0.0.1")
    return VendorFolders(desk.home, desk, session, VENDOR, "127.0.0.1")


async def _write(folders: VendorFolders, handle: Handle, offset: int, data: bytes) -> None:
    if (waiting := folders.write(handle, offset, data)) is not None:
        await waiting


# ---------------------------------------------------------------- plays


def work(path: Path, counter: Counter, shift: float = SHIFT) -> None:
    """The worker's start and everything that is due, effect by effect as the engine does them, without the engine."""
    home = open_home(path, shift)
    stages = _begin_work(home, counter)
    while due := _due(home):
        _do(stages, due[0], counter)
    counter.stage = "log"
    sequence(home)


def persist(path: Path, counter: Counter, shift: float = SHIFT) -> None:
    """As `work`, by a worker for which something fails: the engine tries again when that is due, and an error for which nobody answers
    ends the process."""
    ahead = timedelta(0)
    with suppress(OSError, SQLAlchemyError, SluisError):
        home = Home.open(path, lambda: clock_of(shift)() + ahead)
        stages = _begin_work(home, counter)
        failures = 0
        while failures < MOST_FAILURES and (due := _due(home) or _due(home, SOON)):
            ahead += timedelta(0) if _due(home) else SOON
            try:
                _do(stages, due[0], counter)
            except (OSError, SQLAlchemyError, SluisError):  # as of an engine's workflow: its drop is handed over again
                failures += 1
        counter.stage = "log"
        sequence(home)


def _begin_work(home: Home, counter: Counter) -> Work:
    counter.stage = "start"
    tidy(home)
    upkeep(home)
    return Work(home, packaged_rules("nco-lvs-1"), PersonRegister(home))


def _due(home: Home, within: timedelta = timedelta(0)) -> list[str]:
    with home.ledger.view() as session:
        return due_drops(session, home.clock() + within, limit=10)


def _do(stages: Work, drop_id: str, counter: Counter) -> None:
    def staged(effect: Effect, drop_id: str) -> None:
        counter.stage = effect.value
        try:
            carry_out(stages, effect, drop_id)
        finally:
            counter.stage = "claim"

    counter.stage = "claim"
    while attempt(stages.home, staged, drop_id):
        pass


def retain(path: Path, counter: Counter, shift: float = SHIFT) -> None:
    """`sluis retention run`, at the time that is so far off."""
    opening, clock = Home.open_without_ledger, clock_of(shift)
    Home.open_without_ledger = lambda path, given=None: opening(path, given or clock)  # type: ignore[method-assign,assignment]
    counter.stage = "retain"
    run(["--home", str(path), "retention", "run"])


def serve_worker(path: Path, counter: Counter) -> None:
    """`sluis serve worker`, with its engine, until SIGTERM."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serve_worker_until(open_home(path), lambda: None, stop)


def upload(path: Path, counter: Counter, data: str, name: str, final: str, told: str) -> None:
    """A client that begins or resumes `name`, sends the file `data` in pieces, closes it and, with `final`, renames it, unless it finds it
    delivered; once it was told of success, the file `told` is there. First the intake starts, as it does after a crash."""
    asyncio.run(_upload(path, counter, Path(data).read_bytes(), name, final, Path(told)))


async def _upload(path: Path, counter: Counter, content: bytes, name: str, final: str, told: Path) -> None:
    counter.stage = "start"
    desk = FrontDesk(open_home(path))
    await desk.start()
    if await _send(await _log_in(desk), counter, content, name, final):
        told.touch()
    counter.stage = "registrar"
    await desk.stop()


def insist(path: Path, counter: Counter, data: str, name: str, final: str, told: str, synced: bool = True) -> None:
    """As `upload`, by a client that is refused and comes back, to an intake for which something fails; one that can't start ends."""
    with suppress(OSError, SQLAlchemyError):
        asyncio.run(_insist(path, counter, Path(data).read_bytes(), name, final, Path(told), synced))


async def _insist(path: Path, counter: Counter, content: bytes, name: str, final: str, told: Path, synced: bool) -> None:
    counter.stage = "start"
    desk = FrontDesk(open_home(path))
    await desk.start()
    for visit in range(3):
        with suppress(IntakeRefused):
            if await _send(await _log_in(desk, f"s{visit}"), counter, content, name, final, synced):
                told.touch()
            break
        await desk.leave(f"s{visit}")
    counter.stage = "registrar"
    await desk.stop()


async def _send(folders: VendorFolders, counter: Counter, content: bytes, name: str, final: str, synced: bool = True) -> bool:
    """What a client does; False when it finds the file delivered. The session that is refused something is over."""
    counter.stage = "send"
    place, last = locate(name.encode()), locate((final or name).encode())
    with suppress(IntakeRefused):
        if not (await folders.facts(last)).writable:
            return False
    handle = await folders.open_to_write(place, create=True, anew=False, only_new=False, append=False)
    try:
        at = (await folders.facts(place)).size
        piece = max(1 << 14, len(content) // 6)
        for start in range(at, len(content), piece):
            await _write(folders, handle, start, content[start : start + piece])
            if synced:
                await folders.sync(handle)
        counter.stage = "close"
        await folders.close(handle)
    except IntakeRefused:
        await folders.lose(handle)
        raise
    if final:
        counter.stage = "rename"
        await folders.rename(place, last, replace=False)
    return True


def serve_intake(path: Path, counter: Counter) -> None:
    asyncio.run(serve_intake_until(open_home(path), lambda: None))


def serve_portal(path: Path, counter: Counter, shift: float) -> None:
    asyncio.run(serve_portal_until(open_home(path, shift), lambda: None))


def publish(path: Path, counter: Counter, shift: float, campaign: str, reason: str) -> None:
    counter.stage = "publish"
    publish_campaign(open_home(path, shift), campaign, reason)


def withdraw(path: Path, counter: Counter, shift: float, campaign: str) -> None:
    counter.stage = "withdraw"
    try:
        withdraw_campaign(open_home(path, shift), campaign, reason="wrong")
    except NotFound as nothing:  # all of it was done when the one before was killed
        assert nothing.code == "no-such-bundle"


PLAYS: dict[str, Callable[..., None]] = {
    play.__name__: play for play in (work, persist, retain, serve_worker, upload, insist, serve_intake, serve_portal, publish, withdraw)
}

if __name__ == "__main__":
    fork_for_each_task(PLAYS)
