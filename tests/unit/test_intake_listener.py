"""Who is let through to a door: bounds before login that are exact, and headers that have to come."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.intake.front import proxy
from gateway.intake.front.listener import plain
from gateway.intake.front.proxy import header
from tests.support.intake import Running, make_home, make_key, register, running, sftp_session, until


def greeted(plug: socket.socket) -> bool:
    """Whether the endpoint speaks SSH on a connection; it says so first."""
    try:
        return plug.recv(100).startswith(b"SSH-2.0-")
    except OSError:
        return False


class Plugs:
    """Connections that never log in."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open: list[socket.socket] = []

    def add(self, told: bytes = b"") -> bool:
        plug = socket.create_connection(("127.0.0.1", self.port), 30)
        self.open.append(plug)
        if told:
            plug.sendall(told)
        return greeted(plug)

    def close(self) -> None:
        for plug in self.open:
            plug.close()


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Running]:
    home = make_home(tmp_path, max_unauthenticated=10, max_unauthenticated_per_address=4)
    with running(home) as intake:
        intake.endpoint.listener.doorstep._chance = lambda: 1.0  # no early drop
        yield intake


@pytest.fixture
def plugs(intake: Running) -> Iterator[Plugs]:
    plugs = Plugs(intake.port)
    yield plugs
    plugs.close()


def test_one_address_has_so_many_and_not_one_more(intake: Running, plugs: Plugs) -> None:
    assert [plugs.add() for _ in range(6)] == [True] * 4 + [False] * 2
    plugs.open[0].close()
    until(lambda: intake.endpoint.listener.doorstep.count == 3)
    assert plugs.add() and not plugs.add()


def test_all_together_have_so_many(intake: Running, plugs: Plugs) -> None:
    intake.endpoint.listener.doorstep.per_address = 100
    assert [plugs.add() for _ in range(12)] == [True] * 10 + [False] * 2


def test_a_flood_is_thinned_before_the_bound(intake: Running, plugs: Plugs) -> None:
    doorstep = intake.endpoint.listener.doorstep
    doorstep.per_address, doorstep._chance = 100, lambda: 0.35
    assert [plugs.add() for _ in range(9)] == [True] * 8 + [False], "0.3 at 7 of 10, 0.53 at 8"


def test_who_has_logged_in_does_not_count_any_more(tmp_path: Path) -> None:
    home, key = make_home(tmp_path, max_unauthenticated=10, max_unauthenticated_per_address=1), make_key(tmp_path)
    register(home, "cito", key)
    with running(home) as intake:
        with sftp_session(intake.port, "cito", key), sftp_session(intake.port, "cito", key):
            assert intake.endpoint.listener.doorstep.count == 0
            plugs = Plugs(intake.port)
            assert plugs.add() and not plugs.add()
            plugs.close()
        until(lambda: intake.endpoint.listener.doorstep.count == 0)
        until(lambda: not intake.endpoint.doors.sessions["d0"])


def test_a_proxys_header_has_to_come_in_time_and_those_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PATIENCE", 0.3)
    home = make_home(tmp_path, max_unauthenticated=5, max_unauthenticated_per_address=2, proxies=["127.0.0.0/8"])
    with running(home) as intake:
        intake.endpoint.listener.doorstep._chance = lambda: 1.0
        plugs = Plugs(intake.port)
        answers: list[bool] = []
        waiting = [threading.Thread(target=lambda: answers.append(plugs.add())) for _ in range(8)]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join(30)
        assert answers == [False] * 8
        until(lambda: intake.endpoint.listener._held == 0)

        def told(host: int) -> bytes:
            return header(f"203.0.113.{host}", "192.0.2.1", 40_000, 22)

        assert [plugs.add(told(1)) for _ in range(3)] == [True, True, False], "counted by the client's address"
        assert plugs.add(told(2))
        plugs.close()


def test_a_reload_changes_the_bounds(intake: Running, plugs: Plugs) -> None:
    assert [plugs.add() for _ in range(5)] == [True] * 4 + [False]
    config = intake.home.config.intake.model_copy(update={"max_unauthenticated_per_address": 6})
    intake.loop.call_soon_threadsafe(intake.endpoint.listener.change, config)
    until(lambda: intake.endpoint.listener.doorstep.per_address == 6)
    assert [plugs.add() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("told", "is_"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("::ffff:1", "::ffff:1")],
)
def test_an_address_is_written_as_its_owner_does(told: str, is_: str) -> None:
    assert plain(told) == is_
