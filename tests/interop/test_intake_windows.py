"""WinSCP and FileZilla: their requests, one by one, as the two send them to a server of SFTP version 3 (read from their sources).

WinSCP: source/core/SftpFileSystem.cpp (TSFTPFileSystem::Source, SFTPOpenRemote). FileZilla: src/putty/fzsftp.c and psftp.c
(sftp_general_put); PuTTY's own psftp runs in test_intake_resume.py.
"""

import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest
from paramiko.sftp import (  # type: ignore[import-untyped,unused-ignore]
    CMD_CLOSE,
    CMD_FSTAT,
    CMD_HANDLE,
    CMD_LSTAT,
    CMD_OPEN,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_RENAME,
    CMD_SETSTAT,
    CMD_STAT,
    CMD_WRITE,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_TRUNC,
    SFTP_FLAG_WRITE,
    int64,
)  # fmt: skip

from tests.support.clients import Machine, Site, eventually
from tests.support.intake import sftp_session

pytestmark = pytest.mark.slow

SIZE, HALF = 400_003, 200_000
PIECE = 32_000
WINDOWS_TIMES = 1_790_000_000  # both set the local file's time on the remote one

numbers = count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def machine(site: Site, tmp_path: Path) -> Machine:
    return Machine(site, f"vendor{next(numbers)}", tmp_path / "machine", SIZE)


class Requests:
    """Single requests by paramiko's connection, without what its own client would add."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def ask(self, kind: int, *arguments: Any) -> tuple[int, Any]:
        return self.session._request(kind, *arguments)  # type: ignore[no-any-return]

    def exists(self, kind: int, path: str) -> int | None:
        """The size there, or None."""
        try:
            _, answer = self.ask(kind, path)
        except FileNotFoundError:
            return None
        size: int = paramiko.SFTPAttributes._from_msg(answer).st_size
        return size

    def open(self, path: str, flags: int, *, mode: int | None = None) -> bytes:
        attributes = paramiko.SFTPAttributes()
        attributes.st_mode = mode
        kind, answer = self.ask(CMD_OPEN, path, flags, attributes)
        assert kind == CMD_HANDLE
        return answer.get_binary()  # type: ignore[no-any-return]

    def write(self, handle: bytes, data: bytes, start: int) -> None:
        for at in range(0, len(data), PIECE):
            self.ask(CMD_WRITE, handle, int64(start + at), data[at : at + PIECE])

    def set_times(self, path: str) -> None:
        attributes = paramiko.SFTPAttributes()
        attributes.st_atime = attributes.st_mtime = WINDOWS_TIMES
        self.ask(CMD_SETSTAT, path, attributes)

    def cut(self) -> None:
        self.session.get_channel().get_transport().sock.close()


def list_folder(requests: Requests) -> list[str]:
    """OPENDIR and READDIR to its end, as both do after logging in."""
    _, answer = requests.ask(CMD_OPENDIR, "/leveringen")
    handle = answer.get_binary()
    names: list[str] = []
    try:
        while True:
            _, answer = requests.ask(CMD_READDIR, handle)
            for _ in range(answer.get_int()):
                names.append(answer.get_text())
                answer.get_text()
                paramiko.SFTPAttributes._from_msg(answer)
    except EOFError:
        requests.ask(CMD_CLOSE, handle)
    return names


# ---------------------------------------------------------------- WinSCP: .filepart, then a rename


def winscp(machine: Machine, *, cut_at: int | None = None, posix_rename: bool = False) -> None:
    data, final = machine.file.read_bytes(), f"/{machine.remote}"
    partial = f"{final}.filepart"
    with sftp_session(machine.port, machine.vendor, machine.key) as session:
        requests = Requests(session)
        assert session.normalize(".") == "/"
        list_folder(requests)
        assert requests.exists(CMD_LSTAT, final) is None
        start = requests.exists(CMD_LSTAT, partial) or 0
        flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | (0 if start else SFTP_FLAG_TRUNC)
        handle = requests.open(partial, flags)
        requests.write(handle, data[start:cut_at], start)
        if cut_at is not None:
            return requests.cut()
        requests.ask(CMD_CLOSE, handle)
        requests.set_times(partial)
        if posix_rename:
            session.posix_rename(partial, final)
        else:
            requests.ask(CMD_RENAME, partial, final)


@pytest.mark.parametrize("posix_rename", [False, True])
def test_winscp_delivers(machine: Machine, posix_rename: bool) -> None:
    winscp(machine, posix_rename=posix_rename)
    machine.delivered()


def test_winscp_resumes(machine: Machine) -> None:
    winscp(machine, cut_at=HALF)
    machine.site.noticed(machine.vendor)
    assert machine.site.none_delivered(machine.vendor)
    eventually(lambda: unfinished(machine) == HALF, "the .filepart is kept")
    winscp(machine)
    machine.delivered()


def test_winscp_resumes_after_the_service_was_restarted(machine: Machine) -> None:
    winscp(machine, cut_at=HALF)
    eventually(lambda: unfinished(machine) == HALF, "the .filepart is kept")
    assert machine.site.service.terminate() == 0
    machine.site.restart()
    assert unfinished(machine) == HALF
    winscp(machine)
    machine.delivered()


# ---------------------------------------------------------------- FileZilla: in place, with the size of what is there


def filezilla(machine: Machine, *, resume: bool = False, cut_at: int | None = None) -> None:
    data, final = machine.file.read_bytes(), f"/{machine.remote}"
    with sftp_session(machine.port, machine.vendor, machine.key) as session:
        requests = Requests(session)
        list_folder(requests)
        start = 0
        if resume:
            handle = requests.open(final, SFTP_FLAG_WRITE)
            _, answer = requests.ask(CMD_FSTAT, handle)
            start = paramiko.SFTPAttributes._from_msg(answer).st_size
        else:
            handle = requests.open(final, SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_TRUNC, mode=stat.S_IFREG | 0o644)
        requests.write(handle, data[start:cut_at], start)
        if cut_at is not None:
            return requests.cut()
        requests.ask(CMD_CLOSE, handle)
        requests.set_times(final)
        assert requests.exists(CMD_STAT, final) == machine.size


def test_filezilla_delivers(machine: Machine) -> None:
    filezilla(machine)
    machine.delivered()


def test_filezilla_resumes(machine: Machine) -> None:
    filezilla(machine, cut_at=HALF)
    machine.site.noticed(machine.vendor)
    assert machine.site.none_delivered(machine.vendor)
    eventually(lambda: unfinished(machine) == HALF, "what arrived is kept")
    filezilla(machine, resume=True)
    machine.delivered()


def unfinished(machine: Machine) -> int:
    with sftp_session(machine.site.port, machine.vendor, machine.key) as session:
        return sum(entry.st_size for entry in session.listdir_attr("leveringen"))
