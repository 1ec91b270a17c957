"""Nothing new is taken in while erasure is late or the clock is wrong; what is under way goes on, and so does everything else."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.intake.front.window import Window
from gateway.intake.server import Endpoint
from gateway.store.home import Home
from gateway.store.models import Vendor
from gateway.worker.erasure import end_window
from tests.support.cli import deliver as old_drop
from tests.support.desks import Stage, code_of, deliver, opened, play, write
from tests.support.intake import LedgerAway, Running, drops, make_home, make_key, register, sftp_session
from tests.support.machines import DAY, Machine, gateway_time_ahead

LATE = 21 + 1.1 / 24  # [days]: over an hour after the window's end
NOT_YET_LATE = 21 + 0.9 / 24


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = make_home(tmp_path)
    with found.ledger.change("administrator") as change:
        change.session.add(Vendor(name="cito", created_at=change.now))
    return found


def test_what_should_have_been_erased_refuses_new_uploads_until_it_is(home: Home) -> None:
    old_drop(home, age_days=LATE, campaign=None)

    async def what(stage: Stage) -> None:
        now = [0.0]
        stage.desk.window = Window(lambda: home, lambda: now[0])
        await stage.desk.window.look()
        one = await stage.session("one")
        assert await code_of(opened(one, "new.age")) == "erasure-overdue"
        assert "new.age" not in await stage.unfinished()
        end_window(home)
        assert await code_of(opened(one, "new.age")) == "erasure-overdue", "it does not look for every request"
        now[0] += 1.1
        await deliver(one, "new.age")

    play(home, what)
    assert {drop.file_name for drop in drops(home)} >= {"new.age"}


def test_the_timer_may_be_late_by_an_hour(home: Home) -> None:
    old_drop(home, age_days=NOT_YET_LATE, campaign=None)

    async def what(stage: Stage) -> None:
        await deliver(await stage.session("one"), "new.age")

    play(home, what)


@pytest.mark.parametrize("days, refused", [(22, False), (23, True)])
def test_the_key_of_a_day_that_should_be_gone_refuses_too(home: Home, days: int, refused: bool) -> None:
    """By its public half: the private ones are not in the intake's view."""
    day = (home.clock() - timedelta(hours=1)).date() - timedelta(days=days - 1)
    home.epochs.ensure(day)
    home.epochs.destroy_private(day)

    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        if refused:
            assert await code_of(opened(one, "new.age")) == "erasure-overdue"
            home.epochs.destroy(day)
            await stage.desk.window.look()
        await deliver(one, "new.age")

    play(home, what)


def test_uploads_under_way_are_finished_and_resumed(home: Home) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        here = await opened(one, "here.age")
        lost = await opened(one, "lost.age")
        await write(one, lost, b"half")
        await one.lose(lost)
        old_drop(home, age_days=LATE, campaign=None)
        await stage.desk.window.look()
        assert await code_of(opened(one, "new.age")) == "erasure-overdue"
        await write(one, here, b"whole")
        await one.close(here)
        await deliver(one, "lost.age", b"half and half"[4:])

    play(home, what)
    assert {drop.file_name for drop in drops(home)} >= {"here.age", "lost.age"}


def test_while_the_ledger_is_away_what_was_seen_last_counts(home: Home) -> None:
    drop = old_drop(home, age_days=LATE, campaign=None)

    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        end_window(home)
        with LedgerAway(home, after=0):
            await stage.desk.window.look()
        assert stage.desk.window.overdue == 1
        await stage.desk.window.look()
        assert stage.desk.window.overdue == 0
        with LedgerAway(home, after=0):
            await stage.desk.window.look()
        stage.desk.window.check()
        await deliver(one, "new.age")

    play(home, what)
    assert drop in {each.id for each in drops(home)}


def test_before_anybody_could_look_nothing_is_taken(home: Home) -> None:
    async def run() -> None:
        stage, now = Stage(home), [0.0]
        stage.desk.window = Window(lambda: home, lambda: now[0])
        one = await stage.session("one")
        with LedgerAway(home, after=0):
            await stage.desk.window.look()
        assert await code_of(opened(one, "x.age")) == "ledger-behind"
        now[0] += 1.1
        await opened(one, "x.age")

    asyncio.run(run())


def test_a_wrong_clock_refuses_new_uploads(home: Home) -> None:
    """It was set back; then a reboot nobody has kept yet; then it is right."""
    machine = Machine(home.clock())
    file = home.public / "clock.json"
    file.unlink()
    home.clock = home.ledger.clock = machine.clock(file)
    machine.clock(file).keep()

    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "before.age")
        machine.set_wall(-DAY)
        assert await code_of(opened(one, "new.age")) == "clock-wrong"
        await one.close(handle)
        machine.set_wall(DAY)
        await deliver(one, "new.age")
        machine.set_wall(DAY)
        assert await code_of(opened(one, "newer.age")) == "clock-wrong", "a jump that nobody has kept"

    play(home, what)


def test_unfinished_uploads_end_by_gateway_time(home: Home) -> None:
    machine = Machine(home.clock())
    file = home.public / "clock.json"
    file.unlink()
    home.clock = home.ledger.clock = machine.clock(file)

    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await one.lose(await opened(one, "x.age"))
        machine.set_wall(-30 * DAY)
        machine.passes(home.config.intake.unfinished_keep_days * DAY - DAY)
        await stage.desk.expire()
        assert "x.age" in await stage.unfinished()
        machine.passes(2 * DAY)
        await stage.desk.expire()
        assert await stage.unfinished() == {}

    play(home, what)


# ---------------------------------------------------------------- as a vendor sees it


@pytest.mark.parametrize(
    "wrong, dutch",
    [
        (lambda home: old_drop(home, age_days=LATE, campaign=None), "Het wissen van eerdere leveringen is te laat"),
        (lambda home: gateway_time_ahead(home.path, timedelta(days=30)), "De klok van ons systeem klopt niet"),
    ],
    ids=["erasure-overdue", "clock-wrong"],
)
def test_a_vendor_logs_in_reads_and_is_told_why(tmp_path: Path, wrong: Callable[[Home], object], dutch: str) -> None:
    home, key = make_home(tmp_path), make_key(tmp_path)
    register(home, "cito", key)
    wrong(home)
    intake = Running(Home.open(home.path))
    try:
        with sftp_session(intake.port, "cito", key) as sftp:
            assert "sluis.age.txt" in sftp.listdir("sleutels") and sftp.listdir("ontvangst") == []
            with pytest.raises(OSError, match=dutch):
                sftp.open("leveringen/x.age", "wb")
    finally:
        intake.stop()


def test_the_figures_tell(tmp_path: Path) -> None:
    home = make_home(tmp_path, metrics_port=0)
    old_drop(home, age_days=LATE, campaign=None)
    gateway_time_ahead(home.path, timedelta(minutes=30))

    async def run() -> bytes:
        endpoint = Endpoint(Home.open(home.path))
        await endpoint.start()
        try:
            return await endpoint._figures()
        finally:
            await endpoint.stop()

    told = {
        sample.name: sample.value for family in text_string_to_metric_families(asyncio.run(run()).decode()) for sample in family.samples
    }
    assert told["sluis_intake_erasure_overdue"] == 1 and round(told["sluis_intake_clock_wrong_seconds"]) == 1800
