"""A host key is replaced while clients come by: OpenSSH learns the next one from the endpoint, and is not alarmed when it is shown."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from gateway.cli.app import run
from gateway.intake.processes.door import PLAIN_TRANSPORT
from gateway.intake.ssh.hostkeys import host_keys
from gateway.store.home import Home
from gateway.store.host_keys import host_key_names, public_half
from policies.errors import Unsound
from tests.support.intake import Running, make_home, make_key, register, running

pytestmark = pytest.mark.slow


class Case:
    """A vendor whose client knows the host as `init` made it, and learns what it is told."""

    def __init__(self, home: Home, intake: Running, folder: Path) -> None:
        self.home, self.intake = home, intake
        self.known = folder / "known_hosts"
        self.key = make_key(folder)
        register(home, "cito", self.key)
        self.known.write_text(f"[127.0.0.1]:{intake.port} {public_half(home, 'host').text}\n")

    def connect(self, learn: bool = True) -> subprocess.CompletedProcess[str]:
        own = ["-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={self.known}"]
        own += [f"-oUpdateHostKeys={'yes' if learn else 'no'}", "-oIdentitiesOnly=yes", "-i", str(self.key), "-P", str(self.intake.port)]
        return subprocess.run(["sftp", *own, "-b", "-", "cito@127.0.0.1"], input="ls\n", capture_output=True, text=True, timeout=60)

    def knows(self) -> set[str]:
        return {" ".join(line.split()[1:3]) for line in self.known.read_text().splitlines() if line.strip()}

    def sluis(self, *arguments: str) -> int:
        return run(["--home", str(self.home.path), "--json", "key", *arguments])

    def reload(self) -> None:
        """As SIGHUP does."""
        door = self.intake.endpoint.door
        assert door is not None
        self.intake.run(door.reload())


@pytest.fixture(params=["lean", "plain"])
def case(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """By either way through asyncssh: whether it announces the keys by itself is its private affair."""
    monkeypatch.setenv(PLAIN_TRANSPORT, str(int(request.param == "plain")))
    home = make_home(tmp_path)
    with running(home) as intake:
        yield Case(home, intake, tmp_path)


def test_a_client_learns_the_next_key_and_outlives_the_old_one(case: Case) -> None:
    (first,) = case.knows()
    assert case.connect().returncode == 0 and case.knows() == {first}
    assert case.sluis("rotate", "ssh-host") == 0
    _, name = host_key_names(case.home)
    second = public_half(case.home, name).text
    case.reload()
    done = case.connect()
    assert done.returncode == 0 and case.knows() == {first, second}, done.stderr
    assert case.sluis("rotate", "ssh-host") == 1, "clients have had no time yet"
    assert case.sluis("rotate", "ssh-host", "--now") == 0
    assert host_key_names(case.home) == [name] and not case.home.keystore.exists("ssh", "host")
    case.reload()
    done = case.connect()
    assert done.returncode == 0, done.stderr
    assert case.knows() == {second}, "and it forgets the old one"


def test_a_client_that_never_came_by_is_warned(case: Case) -> None:
    for arguments in (["rotate", "ssh-host"], ["rotate", "ssh-host", "--now"]):
        assert case.sluis(*arguments) == 0
    case.reload()
    done = case.connect()
    assert done.returncode != 0 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_until_the_reload_the_old_key_is_shown(case: Case) -> None:
    assert case.sluis("rotate", "ssh-host") == 0
    assert case.connect().returncode == 0 and len(case.knows()) == 1


def test_the_proof_is_of_the_key_and_of_this_session(case: Case, tmp_path: Path) -> None:
    """asyncssh's client checks the signatures itself (hostkeys-prove-00); a key that is named but not proven is not added."""
    assert case.sluis("rotate", "ssh-host") == 0
    case.reload()
    told: list[list[str]] = []

    async def learn() -> None:
        import asyncio

        heard = asyncio.Event()

        def handler(added: list[asyncssh.SSHKey], removed: object, retained: list[asyncssh.SSHKey], revoked: object) -> None:
            told.extend([[key.get_fingerprint() for key in keys] for keys in (added, retained)])
            heard.set()

        async with asyncssh.connect(
            "127.0.0.1", case.intake.port, username="cito", client_keys=[str(case.key)], known_hosts=str(case.known),
            server_host_keys_handler=handler, config=None,
        ):  # fmt: skip
            await asyncio.wait_for(heard.wait(), 20)

    case.intake.run(learn())
    first, second = (public_half(case.home, name).fingerprint for name in host_key_names(case.home))
    assert told == [[second], [first]]


def test_a_home_is_never_without_a_host_key(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    path = home.path / "keys" / "ssh" / "host"
    path.write_text("no key")
    with pytest.raises(Unsound) as refusal:
        host_keys(home)
    assert refusal.value.code == "host-key-unreadable"
