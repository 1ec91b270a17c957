"""The channel between processes: answers find their question, long messages and sockets come through, and an end is noticed by both."""

import asyncio
import inspect
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.intake.desk import Ask, Desk
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.intake.processes.channel import PIECE, Channel, ChannelLost, pair
from gateway.intake.processes.remote_desk import DeskCounter, RemoteDesk
from tests.support.intake import make_home, make_key, register

Answerer = Callable[[str, list[Any], socket.socket | None], Awaitable[Any]]


async def echo(method: str, arguments: list[Any], along: socket.socket | None) -> Any:
    if method == "refuse":
        raise IntakeRefused(arguments[0])
    if method == "break":
        raise ZeroDivisionError
    if method == "name":
        assert along is not None
        with along:
            return list(along.getsockname())
    return [method, *arguments]


class Ends:
    """Two ends of one channel in this process, and which of them noticed that the other is gone."""

    def __init__(self, answerer: Answerer = echo) -> None:
        ours, theirs = pair()
        self.lost: list[str] = []
        self.ours = Channel(ours, answerer, lambda: self.lost.append("ours"))
        self.theirs = Channel(theirs, answerer, lambda: self.lost.append("theirs"))

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def play(what: Callable[[Ends], Awaitable[None]], answerer: Answerer = echo) -> None:
    async def playing() -> None:
        ends = Ends(answerer)
        try:
            await asyncio.wait_for(what(ends), 30)
        finally:
            ends.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(playing())


@given(st.lists(st.text(max_size=30) | st.integers() | st.none() | st.booleans(), max_size=5), st.integers(0, 3 * PIECE))
@settings(max_examples=30)
def test_whatever_is_asked_comes_back(arguments: list[Any], length: int) -> None:
    async def asks(ends: Ends) -> None:
        assert await ends.ours.ask("echo", *arguments, "x" * length) == ["echo", *arguments, "x" * length]
        assert await ends.theirs.ask("echo", *arguments) == ["echo", *arguments]

    play(asks)


def test_answers_find_their_question_whatever_order_they_come_in() -> None:
    gates = [asyncio.Event() for _ in range(50)]

    async def slow(_method: str, arguments: list[Any], _along: socket.socket | None) -> Any:
        await gates[arguments[0]].wait()
        return arguments[0]

    async def asks(ends: Ends) -> None:
        asked = [asyncio.create_task(ends.ours.ask("wait", number)) for number in range(50)]
        for gate in reversed(gates):
            await asyncio.sleep(0)
            gate.set()
        assert await asyncio.gather(*asked) == list(range(50))

    play(asks, slow)


def test_what_is_told_keeps_its_order_among_questions() -> None:
    heard = []

    async def hear(_method: str, arguments: list[Any], _along: socket.socket | None) -> None:
        heard.append(arguments[0])

    async def tells(ends: Ends) -> None:
        for number in range(0, 2000, 2):
            ends.ours.tell("note", number, "x" * 500)  # more than the socket's buffer holds
            asked = asyncio.create_task(ends.ours.ask("note", number + 1))
            await asyncio.sleep(0)
        await asked
        assert heard == sorted(heard) and len(heard) == 2000

    play(tells, hear)


def test_a_refusal_arrives_as_what_it_was_and_a_fault_says_nothing() -> None:
    async def asks(ends: Ends) -> None:
        for method, code in (("refuse", "name-taken"), ("refuse", "too-large"), ("break", "not-received")):
            with pytest.raises(IntakeRefused) as refused:
                await ends.ours.ask(method, code)
            assert refused.value.code == code

    play(asks)


def test_a_socket_comes_along_in_order_and_is_closed_here() -> None:
    async def hands(ends: Ends) -> None:
        names = []
        for _ in range(100):
            listening = socket.create_server(("127.0.0.1", 0))
            names.append(list(listening.getsockname()))
            answer = asyncio.create_task(asks_name(ends, listening))
            assert await answer == names[-1]
            assert listening.fileno() == -1

    async def asks_name(ends: Ends, along: socket.socket) -> Any:
        named: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def hear(method: str, arguments: list[Any], given: socket.socket | None) -> None:
            named.set_result(await echo(method, arguments, given))

        ends.theirs._answerer = hear
        ends.ours.tell("name", along=along)
        return await named

    before = len(os.listdir("/proc/self/fd"))
    play(hands)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_the_end_of_one_side_ends_every_question_of_the_other() -> None:
    async def never(_method: str, _arguments: list[Any], _along: socket.socket | None) -> None:
        await asyncio.Event().wait()

    async def asks(ends: Ends) -> None:
        asked = [asyncio.create_task(ends.ours.ask("wait")) for _ in range(10)]
        await asyncio.sleep(0)
        ends.theirs.close()
        for question in asked:
            with pytest.raises(ChannelLost):
                await question
        assert ends.lost.count("ours") == 1
        with pytest.raises(ChannelLost):
            await ends.ours.ask("wait")
        left = socket.create_server(("127.0.0.1", 0))
        ends.ours.tell("take", along=left)
        assert left.fileno() == -1

    play(asks, never)


def test_a_process_that_is_killed_is_noticed_with_all_it_had_said() -> None:
    ours, theirs = pair()
    child = os.fork()
    if child == 0:
        ours.close()
        for number in range(100):
            theirs.send(b'\x00[0,"note",[%d]]' % number)
        os.kill(os.getpid(), signal.SIGKILL)
    theirs.close()
    heard: list[int] = []

    async def hear(_method: str, arguments: list[Any], _along: socket.socket | None) -> None:
        heard.append(arguments[0])

    async def listens() -> None:
        gone = asyncio.Event()
        Channel(ours, hear, gone.set)
        await asyncio.wait_for(gone.wait(), 20)
        await asyncio.sleep(0)

    asyncio.run(listens())
    os.waitpid(child, 0)
    assert heard == list(range(100))


@pytest.mark.parametrize(
    "noise", [b"\x00not json", b"\x00[1]", b'\x00{"a":1}', b"\x00" + b"\xff" * 40, b'\x00[-1,"refused","no such code"]']
)
def test_noise_ends_the_channel_and_nothing_else(noise: bytes) -> None:
    async def listens(ends: Ends) -> None:
        question = asyncio.create_task(ends.ours.ask("wait"))
        await asyncio.sleep(0)
        ends.theirs._end.send(noise)
        with pytest.raises(ChannelLost):
            await question
        assert ends.ours.closed

    async def never(_method: str, _arguments: list[Any], _along: socket.socket | None) -> None:
        await asyncio.Event().wait()

    play(listens, never)


# ---------------------------------------------------------------- the desk behind it


def desk_methods() -> dict[str, inspect.Signature]:
    return {name: inspect.signature(what) for name, what in vars(Desk).items() if not name.startswith("_") and callable(what)}


def test_every_question_to_the_desk_can_be_asked_from_afar() -> None:
    asked = desk_methods()
    assert {name: inspect.signature(getattr(RemoteDesk, name, None) or len) for name in asked} == asked
    for name, what in vars(Desk).items():
        if name in asked:
            assert inspect.iscoroutinefunction(what) == inspect.iscoroutinefunction(getattr(RemoteDesk, name))


def test_the_counter_answers_these_questions_and_no_other() -> None:
    counter = DeskCounter(RemoteDesk(None), lambda session: True, print)  # type: ignore[arg-type]
    assert {*counter.answers, *counter.looks} == set(desk_methods())


async def _asked_afar(ends: Ends, desk: FrontDesk) -> RemoteDesk:
    """The desk as a door at the other end has it."""
    counter = DeskCounter(desk, lambda session: session.startswith("d1."), ends.ours.tell)
    remote = RemoteDesk(ends.theirs)

    async def to_door(_method: str, arguments: list[Any], _along: socket.socket | None) -> None:
        remote.asked(*arguments)

    ends.ours._answerer, ends.theirs._answerer = counter.answer, to_door
    return remote


def on_a_desk(folder: Path, what: Callable[[Ends, FrontDesk, RemoteDesk], Awaitable[None]]) -> None:
    home = make_home(folder)
    register(home, "cito", make_key(folder))

    async def playing(ends: Ends) -> None:
        desk = FrontDesk(home)
        await desk.start()
        await what(ends, desk, await _asked_afar(ends, desk))
        await desk.stop()

    play(playing)


async def refusal(question: Awaitable[Any]) -> str:
    with pytest.raises(IntakeRefused) as refused:
        await question
    return refused.value.code


NEW = {"create": True, "anew": False, "only_new": False}


def test_the_desk_is_the_same_from_afar(tmp_path: Path) -> None:
    async def asks(ends: Ends, desk: FrontDesk, remote: RemoteDesk) -> None:
        await remote.enter("d1.a", "cito", "192.0.2.1")
        heard: list[tuple[Ask, str]] = []
        remote.attend("d1.a", lambda what, uid: heard.append((what, uid)))
        claim = await remote.claim("d1.a", "leveringen", "x.age", **NEW)
        assert claim.begin and claim.name == "x.age" and claim.allowed > 0
        assert await remote.extend("d1.a", claim.uid, claim.allowed + 1) > claim.allowed
        assert await remote.find("cito", "leveringen", "x.age") == await desk.find("cito", "leveringen", "x.age") != None  # noqa: E711
        assert await remote.look("cito", "leveringen") == await desk.look("cito", "leveringen")
        assert await remote.room("cito") == await desk.room("cito")
        assert await refusal(remote.extend("d1.a", "another", 1)) == "taken-over"
        await desk.enter("d0.b", "cito", "192.0.2.1")
        other = asyncio.create_task(desk.claim("d0.b", "leveringen", "x.age", **NEW))
        while not heard:
            await asyncio.sleep(0)
        assert heard[0] == (Ask.YIELD, claim.uid)
        assert not await _ends(remote.settled())
        await remote.keep("d1.a", claim.uid, "x.age", 0, 0, False)
        await remote.settled()
        assert (await other).uid == claim.uid
        await desk.given_up("d0.b", claim.uid)
        for session in ("d1.a", "d0.b"):
            await remote.leave(session) if session == "d1.a" else await desk.leave(session)

    on_a_desk(tmp_path, asks)


async def _ends(what: Awaitable[None]) -> bool:
    try:
        await asyncio.wait_for(what, 0.05)
    except TimeoutError:
        return False
    return True


def test_a_door_speaks_for_its_own_sessions_only(tmp_path: Path) -> None:
    async def asks(ends: Ends, desk: FrontDesk, remote: RemoteDesk) -> None:
        await desk.enter("d0.b", "cito", "192.0.2.1")
        claim = await desk.claim("d0.b", "leveringen", "x.age", **NEW)
        for question in (
            remote.enter("d0.c", "cito", "192.0.2.1"),
            remote.keep("d0.b", claim.uid, "x.age", 0, 0, False),
            remote.given_up("d0.b", claim.uid),
            remote.claim("d0.b", "leveringen", "y.age", **NEW),
        ):
            assert await refusal(question) == "not-received"
        found = await desk.find("cito", "leveringen", "x.age")
        assert found is not None and found.held
        await desk.given_up("d0.b", claim.uid)

    on_a_desk(tmp_path, asks)


def test_a_door_that_dies_while_it_waits_for_an_upload_never_gets_it(tmp_path: Path) -> None:
    async def asks(ends: Ends, desk: FrontDesk, remote: RemoteDesk) -> None:
        await desk.enter("d0.b", "cito", "192.0.2.1")
        claim = await desk.claim("d0.b", "leveringen", "x.age", **NEW)
        wanted = asyncio.Event()
        desk.attend("d0.b", lambda _what, _uid: wanted.set())
        await remote.enter("d1.a", "cito", "192.0.2.1")
        waiting = asyncio.create_task(remote.claim("d1.a", "leveringen", "x.age", **NEW))
        await wanted.wait()
        ends.theirs.close()
        with pytest.raises(ChannelLost):
            await waiting
        while not ends.ours.closed:
            await asyncio.sleep(0)
        await desk.abandoned("d1.a")
        await desk.keep("d0.b", claim.uid, "x.age", 0, 0, False)
        await desk.enter("d2.c", "cito", "192.0.2.1")
        again = await asyncio.wait_for(desk.claim("d2.c", "leveringen", "x.age", **NEW), 5)
        assert again.uid == claim.uid
        await desk.given_up("d2.c", claim.uid)

    on_a_desk(tmp_path, asks)
