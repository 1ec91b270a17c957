"""Real clients deliver whole files to the real service: byte-exact, under their final name or an unfinished one that is renamed."""

import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.clients import CLIENTS, PATIENCE, Command, Machine, Site, curl, installed, lftp, psftp, rclone, sftp, ssh_options
from tests.support.intake import content, sftp_session
from tests.support.line import Line

pytestmark = pytest.mark.slow

numbers = count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installed()
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def machine(site: Site, tmp_path: Path) -> Machine:
    return Machine(site, f"vendor{next(numbers)}", tmp_path / "machine")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_is_delivered(machine: Machine, client: str) -> None:
    machine.ok(CLIENTS[client][0](machine))
    machine.delivered()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_delivered_name_is_never_overwritten(machine: Machine, client: str) -> None:
    machine.ok(CLIENTS[client][0](machine))
    first = machine.file.read_bytes()
    machine.file.unlink()
    machine.file.write_bytes(first[::-1] + b"more")
    status, _ = machine.run(CLIENTS[client][0](machine))
    assert status != 0 or "psftp" in client, "PuTTY's psftp tells of a refused open, and ends with 0"
    (drop,) = machine.site.drops(machine.vendor, 1)
    assert content(machine.site.home, drop) == first


def test_a_mirror_sends_again_what_arrived_whole_but_was_never_closed(machine: Machine) -> None:
    """It compares sizes and times: an unfinished upload shows a time that no file of today has."""
    with sftp_session(machine.port, machine.vendor, machine.key) as session:
        file = session.open(machine.remote, "wb")  # kept: paramiko closes a handle that nobody refers to
        file.write(machine.file.read_bytes())
        file.flush()
        session.get_channel().shutdown_write()  # the end without a CLOSE
    assert machine.site.drops(machine.vendor, 0) == []
    machine.ok(CLIENTS["lftp mirror -R -c"][1](machine))
    machine.delivered()
    del file


# ---------------------------------------------------------------- an unfinished name, then a rename

RENAMING: dict[str, Callable[[Machine], list[Command]]] = {
    "openssh": lambda m: [
        sftp(m, f'put "{m.file}" "{m.remote}.part"'),
        sftp(m, f'rename "{m.remote}.part" "{m.remote}"'),  # posix-rename@openssh.com
    ],
    "openssh, version 3": lambda m: [
        sftp(m, f'put "{m.file}" "{m.remote}.partial"'),
        sftp(m, f'rename -l "{m.remote}.partial" "{m.remote}"'),  # the plain one
    ],
    "lftp": lambda m: [lftp(m, f"put '{m.file}' -o '{m.remote}.filepart'", f"mv '{m.remote}.filepart' '{m.remote}'")],
    "lftp temp-file": lambda m: [
        lftp(m, "set xfer:use-temp-file yes", "set xfer:temp-file-name *.part", f"put '{m.file}' -o '{m.remote}'"),
    ],
    "psftp": lambda m: [psftp(m, f'put "{m.file}" "{m.remote}.tmp"', f'mv "{m.remote}.tmp" "{m.remote}"')],
    "rclone": lambda m: [
        rclone(m, "copyto", str(m.file), f"REMOTE:{m.remote}.part"),
        rclone(m, "moveto", f"REMOTE:{m.remote}.part", f"REMOTE:{m.remote}"),
    ],
    "curl": lambda m: [curl(m, "-T", str(m.file), "-Q", "-rename /leveringen/x.part /leveringen/x.csv.age", target="x.part")],
}


@pytest.mark.parametrize("client", RENAMING)
def test_an_unfinished_name_is_delivered_when_it_is_renamed(machine: Machine, client: str) -> None:
    commands = RENAMING[client](machine)
    for index, command in enumerate(commands):
        machine.ok(command)
        if index + 1 < len(commands):
            assert machine.site.none_delivered(machine.vendor)
    machine.delivered("x.csv.age" if client == "curl" else None)


# ---------------------------------------------------------------- what is there, and what is not


@pytest.mark.parametrize("listing", [
    lambda m: sftp(m, "ls -la leveringen", "df leveringen", "pwd"),
    lambda m: lftp(m, "cls -la leveringen/"),
    lambda m: psftp(m, "ls leveringen"),
    lambda m: rclone(m, "lsl", "REMOTE:leveringen"),
], ids=["openssh", "lftp", "psftp", "rclone"])  # fmt: skip
def test_a_vendor_sees_what_it_delivered(machine: Machine, listing: Callable[[Machine], Command]) -> None:
    machine.ok(CLIENTS["openssh reput"][0](machine))
    said = machine.ok(listing(machine))
    assert machine.target in said and str(machine.size) in said.replace(" ", "")


@pytest.mark.parametrize("fetch", [
    lambda m: sftp(m, "get sleutels/sluis.age.txt got"),
    lambda m: lftp(m, "get sleutels/sluis.age.txt -o got"),
    lambda m: psftp(m, "get sleutels/sluis.age.txt got"),
    lambda m: rclone(m, "copyto", "REMOTE:sleutels/sluis.age.txt", "got"),
], ids=["openssh", "lftp", "psftp", "rclone"])  # fmt: skip
def test_the_gateways_key_is_fetched(machine: Machine, fetch: Callable[[Machine], Command]) -> None:
    machine.ok(fetch(machine))
    assert (machine.folder / "got").read_bytes() == (machine.site.home.public / "sluis.age.txt").read_bytes()


def test_a_refusal_is_told_in_both_languages(machine: Machine) -> None:
    machine.ok(CLIENTS["openssh reput"][0](machine))
    for client in ("openssh reput", "lftp put -c"):  # the others make a text of their own of the status
        said = machine.fails(CLIENTS[client][0](machine))
        assert " / " in said and "[" in said, said


def test_a_file_of_no_bytes_is_received(machine: Machine) -> None:
    machine.file.write_bytes(b"")
    machine.ok(CLIENTS["openssh reput"][0](machine))
    (drop,) = machine.site.drops(machine.vendor, 1)
    assert (drop.bytes, drop.sha256) == (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_two_connections_for_one_file_the_newer_one_has_it(machine: Machine) -> None:
    """A client whose line hangs, and that was started again: the first one may not write into what the second delivers."""
    with Line(machine.site.port, machine.size // 2) as line:
        machine.port = line.port
        first = machine.start(CLIENTS["openssh reput"][0](machine))
        assert line.held.wait(PATIENCE)
        machine.port = machine.site.port
        machine.ok(CLIENTS["openssh reput"][1](machine))
        machine.delivered()
        line.cut()
        assert first.wait(PATIENCE) != 0
    machine.delivered()


def test_no_shell_no_exec_no_forwarding(machine: Machine) -> None:
    base = ["ssh", *ssh_options(machine), "-p", str(machine.port)]
    login = f"{machine.vendor}@127.0.0.1"
    for arguments in ([login], [login, "id"], ["-W", "127.0.0.1:22", login], ["-s", login, "netconf"]):
        done = subprocess.run([*base, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
        assert done.returncode != 0
        assert b"uid=" not in done.stdout
    for protocol in ("-O", "-s"):
        scp = ["scp", protocol, *ssh_options(machine), "-P", str(machine.port), str(machine.file), f"{login}:leveringen/x.age.part"]
        done = subprocess.run(scp, capture_output=True, timeout=PATIENCE)
        assert (done.returncode == 0) == (protocol == "-s"), "by SFTP, as scp of today does; never by rcp"
    assert machine.site.none_delivered(machine.vendor)
    with sftp_session(machine.site.port, machine.vendor, machine.key) as session:
        assert session.listdir("leveringen") == ["x.age.part"]
