"""The desk: one writer per upload, one delivery per name, and what is kept when a session or the desk ends."""

import asyncio
from pathlib import Path

import pytest

from gateway.intake.desk import Ask
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front import desk as module
from tests.support.desks import Stage, code_of, deliver, opened, played, write
from tests.support.intake import content, drops, files_below

# ---------------------------------------------------------------- one writer


def test_a_newer_session_takes_over_where_the_older_one_was(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        old = await opened(one, "x.age")
        await write(one, old, b"abc")
        new = await opened(two, "x.age")
        assert new.upload.size == 3
        assert await code_of(one.close(old)) == "taken-over"
        with pytest.raises(IntakeRefused):
            one.write(old, 3, b"z")
        await write(two, new, b"def")
        await two.close(new)

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"abcdef"]


def test_who_opens_anew_begins_under_another_key(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        old = await opened(one, "x.age")
        await write(one, old, b"abc")
        new = await opened(one, "x.age", anew=True)
        assert new.upload.uid != old.upload.uid and not old.upload.blob.exists()
        await write(one, new, b"def")
        await one.close(new)

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"def"]


def test_whoever_opens_while_it_is_delivered_finds_it_delivered(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        handle = await opened(one, "x.age")
        await write(one, handle, b"abc")
        _, code = await asyncio.gather(one.close(handle), code_of(opened(two, "x.age", anew=True)))
        assert code == "name-taken"

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"abc"]


def test_a_session_that_does_not_give_way_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YIELD_SECONDS", 0.05)
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.01)
    asks: list[Ask] = []

    async def what(stage: Stage) -> None:
        await stage.session("deaf")
        stage.desk.attend("deaf", lambda ask, uid: asks.append(ask))
        claim = await stage.desk.claim("deaf", "leveringen", "x.age", create=True, anew=False, only_new=False)
        two = await stage.session("two")
        assert await code_of(opened(two, "x.age")) == "being-delivered"
        await stage.desk.given_up("deaf", claim.uid)
        await deliver(two, "x.age")

    played(tmp_path, what)
    assert set(asks) == {Ask.YIELD} and len(asks) > 1, "asked again: it may not have been open yet"


def test_nobody_speaks_for_what_another_session_holds(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        await stage.session("one")
        await stage.session("two", "boom")
        claim = await stage.desk.claim("one", "leveringen", "x.age", create=True, anew=False, only_new=False)
        for strange in (
            stage.desk.extend("two", claim.uid, 5),
            stage.desk.spare("two", claim.uid, 0),
            stage.desk.keep("two", claim.uid, "y.age", 0, 0, True),
            stage.desk.given_up("two", claim.uid),
            stage.desk.extend("nobody", claim.uid, 5),
        ):
            assert await code_of(strange) == "taken-over"
        assert await code_of(stage.desk.claim("nobody", "leveringen", "y", create=True, anew=False, only_new=False)) == "not-allowed"
        await stage.desk.given_up("one", claim.uid)

    played(tmp_path, what)


def test_what_a_session_leaves_behind_counts_until_it_is_kept(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "x.age")
        await stage.desk.leave("one")
        await stage.desk.leave("one")
        assert stage.desk.sessions() == 0
        await one.lose(handle)
        assert await stage.unfinished() == {"x.age": (0, False)}
        await stage.session("two")
        await stage.desk.handle("two", +1)

    played(tmp_path, what, max_handles_per_vendor=1)


def test_an_open_that_nobody_waits_for_any_more_gives_back_what_it_got(tmp_path: Path) -> None:
    """The connection is lost while an older one is asked to give way."""

    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        await write(one, await opened(one, "x.age"), b"abc")
        opening = asyncio.ensure_future(opened(two, "x.age"))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        while await stage.unfinished() != {"x.age": (3, False)}:
            await asyncio.sleep(0.001)

    played(tmp_path, what)


# ---------------------------------------------------------------- names


def test_twins_are_refused_unfinished_waiting_and_delivered(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "Levering.age")
        assert await code_of(opened(one, "levering.age")) == "name-twin"
        await one.close(handle)
        assert await code_of(opened(one, "LEVERING.age")) == "name-twin", "the ledger may not know yet"
        assert await code_of(opened(one, "Levering.age")) == "name-taken"
        await stage.desk.settled()
        assert await code_of(opened(one, "LEVERING.age")) == "name-twin"
        assert await code_of(opened(one, "Levering.age")) == "name-taken"
        part = await opened(one, "levering.age.part")
        await one.close(part)
        rename = one.rename(Place("leveringen", "levering.age.part"), Place("leveringen", "levering.age"), replace=True)
        assert await code_of(rename) == "name-twin"
        await deliver(await stage.session("other", "boom"), "levering.age")

    home = played(tmp_path, what)
    assert sorted(drop.vendor for drop in drops(home)) == ["boom", "cito"]


def test_a_restart_remembers_names(tmp_path: Path) -> None:
    async def first(stage: Stage) -> None:
        await deliver(await stage.session("one"), "x.age")

    home = played(tmp_path, first)

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        one = await stage.session("one")
        assert await code_of(opened(one, "x.age")) == "name-taken"
        assert await code_of(opened(one, "X.age")) == "name-twin"
        await stage.desk.stop()

    asyncio.run(again())


def test_what_the_ledger_does_not_know_yet_is_listed(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await deliver(one, "x.age", b"12345")
        assert stage.desk.registrar.waiting, "the ledger was not told yet"
        place = Place("leveringen", "x.age")
        before = await one.facts(place), await one.listing(Place("leveringen"))
        await stage.desk.settled()
        assert not stage.desk.registrar.waiting
        assert (await one.facts(place), await one.listing(Place("leveringen"))) == before
        assert (before[0].size, before[0].writable, len(before[1])) == (5, False, 1)

    played(tmp_path, what)


# ---------------------------------------------------------------- what is kept


def test_an_upload_keeps_its_request_over_a_lost_line_and_a_restart(tmp_path: Path) -> None:
    requests: list[str] = []

    async def first(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "x.age")
        requests.append(handle.request)
        await one.lose(handle)

    home = played(tmp_path, first)

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        await deliver(await stage.session("one"), "x.age")
        await stage.desk.stop()

    asyncio.run(again())
    (drop,) = drops(home)
    assert [drop.request] == requests
    assert len(drop.request) == 13 and drop.request.startswith("r")


def test_a_stop_keeps_what_is_being_written(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await write(one, await opened(one, "x.age"), b"abc")

    home = played(tmp_path, what)
    assert len(files_below(home.run)) == 1

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        assert await stage.unfinished() == {"x.age": (3, False)}
        await stage.desk.stop()

    asyncio.run(again())
