"""An upload that is interrupted, by whatever, and that each real client goes on with: nothing is delivered before, all of it after."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.clients import CLIENTS, PATIENCE, Machine, Site, eventually, installed, kill
from tests.support.intake import sftp_session
from tests.support.line import Line

pytestmark = pytest.mark.slow

SIZE = 6_000_011
HALF = SIZE // 2

#: these have no way to go on and begin anew; what arrived must not be in their way
BEGINS_ANEW = {"rclone copyto", "lftp mirror -R -c"}

numbers = count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installed()
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def machine(site: Site, tmp_path: Path) -> Machine:
    return Machine(site, f"vendor{next(numbers)}", tmp_path / "machine", SIZE)


def line_fails(line: Line, client: subprocess.Popen[bytes], site: Site) -> None:
    line.cut()


def client_dies(line: Line, client: subprocess.Popen[bytes], site: Site) -> None:
    os.killpg(client.pid, signal.SIGKILL)
    line.cut()  # as that machine's kernel does


def service_stops(line: Line, client: subprocess.Popen[bytes], site: Site) -> None:
    assert site.service.terminate() == 0
    site.restart()


def service_dies(line: Line, client: subprocess.Popen[bytes], site: Site) -> None:
    site.service.kill()
    site.restart()


Interruption = Callable[[Line, subprocess.Popen[bytes], Site], None]
INTERRUPTIONS: dict[str, Interruption] = {
    "the line fails": line_fails,
    "the client dies": client_dies,
    "the service stops": service_stops,
    "the service dies": service_dies,
}


def interrupted(machine: Machine, put: str, interruption: Interruption) -> None:
    """The client's first try, ended half-way."""
    with Line(machine.site.port, HALF) as line:
        machine.port = line.port
        client = machine.start(CLIENTS[put][0](machine))
        try:
            assert line.held.wait(PATIENCE), "half of the file went through"
            interruption(line, client, machine.site)
            line.cut()  # there is no way back for this connection
            client.communicate(timeout=PATIENCE)
            assert client.returncode != 0, "the client knows that it failed"
        finally:
            kill(client)


def there(machine: Machine) -> int:
    """How much of the unfinished file the endpoint says it has [bytes]."""
    with sftp_session(machine.site.port, machine.vendor, machine.key) as session:
        return sum(entry.st_size for entry in session.listdir_attr("leveringen"))


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_interrupted_upload_is_completed(machine: Machine, client: str, interruption: str) -> None:
    interrupted(machine, client, INTERRUPTIONS[interruption])
    if interruption in ("the line fails", "the client dies"):
        machine.site.noticed(machine.vendor)
    assert machine.site.none_delivered(machine.vendor)
    arrived = eventually(lambda: there(machine), "what arrived is kept")
    assert arrived < SIZE
    with Line(machine.site.port) as line:
        machine.port = line.port
        machine.ok(CLIENTS[client][1](machine))
    machine.delivered()
    if client not in BEGINS_ANEW:
        assert line.passed[-1] < SIZE - arrived + 200_000, "only the rest is sent"
