"""What a vendor can ask for: every request type, every extension and every way into the library is let in on purpose, or refused.

The endpoint decodes SFTP itself, so that nothing of asyncssh's own SFTP server can be reached: these tests walk what there is, in the
protocol and in the library, and fail when a new version adds something, or an edit lets something in.
"""

import ast
import asyncio
import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
import asyncssh.constants
import pytest
import structlog
from asyncssh import sftp as asyncssh_sftp

from gateway.intake.activity import Activity
from gateway.intake.metrics import Metrics
from gateway.intake.sftp import wire
from gateway.intake.sftp.requests import EXTENSIONS, Requests
from gateway.intake.sftp.session import SftpSession
from gateway.intake.ssh.connection import VendorConnection
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import MemoryFolders
from tests.support.sftp_packets import Answer

#: draft-ietf-secsh-filexfer-02 §3, by number: what is answered
ANSWERED = {
    3: "OPEN", 4: "CLOSE", 5: "READ", 6: "WRITE", 7: "LSTAT", 8: "FSTAT", 9: "SETSTAT", 10: "FSETSTAT", 11: "OPENDIR", 12: "READDIR",
    16: "REALPATH", 17: "STAT", 18: "RENAME", 200: "EXTENDED",
}  # fmt: skip
#: ... and what is known and never allowed
FORBIDDEN = {13: "REMOVE", 14: "MKDIR", 15: "RMDIR", 19: "READLINK", 20: "SYMLINK"}
#: extensions that are answered
TAKEN = {b"posix-rename@openssh.com", b"statvfs@openssh.com", b"fstatvfs@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"}
#: extensions that somebody's client or draft names: OpenSSH's PROTOCOL file, drafts 03 to 13, ProFTPD, SFTPGo, VanDyke, Bitvise, asyncssh
NAMED = {
    b"hardlink@openssh.com", b"lsetstat@openssh.com", b"expand-path@openssh.com", b"copy-data", b"copy-file", b"home-directory",
    b"users-groups-by-id@openssh.com", b"text-seek", b"vendor-id", b"newline", b"newline@vandyke.com", b"versions", b"version-select",
    b"supported", b"supported2", b"acl-supported", b"md5-hash", b"md5-hash-handle", b"check-file", b"check-file-handle", b"check-file-name",
    b"space-available", b"get-temp-folder", b"make-temp-folder", b"ranges@asyncssh.com", b"statvfs", b"fsync", b"limits", b"symlink",
    b"filename-charset", b"filename-translation-control", b"chmod", b"exec", b"md5@putty.projects.tartarus.org", b"", b"x" * 1000,
    *{name for name in asyncssh_sftp.SFTPServerHandler._packet_handlers if isinstance(name, bytes)},
} - TAKEN  # fmt: skip


def requests() -> Requests:
    return Requests(MemoryFolders(), Metrics(), structlog.get_logger(), lambda _: None)  # type: ignore[arg-type]


async def ask(asked: Requests, packet: bytes) -> Answer:
    answer = asked.answer(memoryview(packet)[4:])
    (said,) = sftp.answers(answer if isinstance(answer, bytes) else await answer)
    return said


BODIES = [
    sftp.text(b"/leveringen/x") + sftp.text(b"/leveringen/y") + b"\0\0\0\0",
    sftp.text(b"\0\0\0\1") + b"\0" * 12,
    sftp.text(b"/etc/passwd"),
    b"",
    b"\xff" * 64,
]


@pytest.mark.parametrize("kind", [kind for kind in range(256) if kind != 1])
def test_every_request_type(kind: int) -> None:
    """All numbers that a byte can hold, with whatever in it."""

    async def walk() -> None:
        asked = requests()
        await ask(asked, sftp.init())
        for number, body in enumerate(BODIES):
            said = await ask(asked, sftp.request(kind, number, body))
            assert said.number == number
            if kind in FORBIDDEN:
                assert (said.code, "[not-allowed]" in said.said) == (3, True)
            elif kind not in ANSWERED:
                assert (said.code, "[unsupported]" in said.said) == (8, True)
            else:
                assert said.kind in {101, 102, 103, 104, 105}

    asyncio.run(walk())


def test_what_is_let_in_is_written_down() -> None:
    assert set(requests()._table) == set(ANSWERED) | set(FORBIDDEN)
    assert {name for name, _ in EXTENSIONS} == set(requests()._extensions) == TAKEN


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_other_extension_is_unsupported(name: bytes) -> None:
    async def walk() -> None:
        asked = requests()
        await ask(asked, sftp.init())
        for body in BODIES:
            said = await ask(asked, sftp.extended(7, name, body))
            assert (said.number, said.code) == (7, 8)

    asyncio.run(walk())


def imported(folder: Path) -> set[str]:
    """What the modules of a folder import from asyncssh, by name."""
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncssh"):
                found |= {f"{node.module}.{name.name}" for name in node.names}
            elif isinstance(node, ast.Import):
                found |= {name.name for name in node.names if name.name.startswith("asyncssh")}
    return found


def test_nothing_of_the_librarys_sftp_server_is_reachable(project: Path) -> None:
    """The session is no SFTPServer and has none: not a method of that class, of today or of tomorrow, can be called by a client."""
    assert imported(project / "gateway/intake/sftp") == {
        "asyncssh.SSHServerChannel", "asyncssh.SSHServerSession", "asyncssh.constants.EXTENDED_DATA_STDERR",
    }  # fmt: skip
    assert not issubclass(SftpSession, asyncssh.SFTPServer)
    parts: list[Any] = [requests(), requests().files, SftpSession(MemoryFolders(), Activity(), Metrics(), structlog.get_logger())]  # type: ignore[arg-type]
    for part in parts:
        for value in vars(part).values():
            assert not isinstance(value, asyncssh.SFTPServer | asyncssh_sftp.SFTPHandler)
    for name in public(asyncssh.SFTPServer):
        method = getattr(asyncssh.SFTPServer, name)
        reached = [handler for handler, _ in requests()._table.values()] + list(requests()._extensions.values())
        assert all(getattr(handler, "__func__", handler) is not method for handler in reached), name


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def test_every_way_in_but_a_public_key_is_closed() -> None:
    """Each method of SSHServer that could open something answers no (False or None), or is overridden on purpose."""
    overridden = public(VendorConnection) & public(asyncssh.SSHServer)
    assert overridden == {
        "connection_made", "connection_lost", "begin_auth", "auth_completed", "public_key_auth_supported", "validate_public_key",
        "password_auth_supported", "kbdint_auth_supported", "host_based_auth_supported", "session_requested",
        "validate_host_based_user", "validate_gss_principal",
    }  # fmt: skip
    told = {"debug_msg_received"}
    server = VendorConnection.__new__(VendorConnection)
    for name in public(asyncssh.SSHServer) - overridden - told:
        arguments = ["x" for p in inspect.signature(getattr(asyncssh.SSHServer, name)).parameters.values() if p.name != "self"]
        with suppress(NotImplementedError):  # what is never asked, because its method is not supported
            assert not getattr(server, name)(*arguments), name
    for name in ("password_auth_supported", "kbdint_auth_supported", "host_based_auth_supported"):
        assert getattr(server, name)() is False
    assert server.validate_host_based_user("x", "x", "x") is False
    assert server.validate_gss_principal("x", "x@EXAMPLE.ORG", "host@EXAMPLE.ORG") is False


def test_only_the_sftp_subsystem() -> None:
    """Each method of a session that could grant something answers no, but for the one subsystem."""
    session = SftpSession(MemoryFolders(), Activity(), Metrics(), structlog.get_logger())  # type: ignore[arg-type]
    assert session.subsystem_requested("sftp")
    assert not any(session.subsystem_requested(name) for name in ("netconf", "shell", "SFTP", "sftp ", ""))
    assert not session.shell_requested()
    assert not session.exec_requested("scp -t /")
    assert not session.exec_requested("id")
    assert not session.pty_requested("xterm", (80, 24, 0, 0), {})
    assert not session.break_received(1)
    granting = {name for name in dir(asyncssh.SSHServerSession) if name.endswith("_requested")}
    assert granting == {"pty_requested", "shell_requested", "exec_requested", "subsystem_requested"}, "is the new one refused?"


def test_the_protocol_has_no_request_that_is_forgotten() -> None:
    """The library knows the numbers of all versions: each is in one of the lists above, or of a later version, or an answer."""
    known = {name: value for name, value in vars(asyncssh.constants).items() if name.startswith("FXP_")}
    later = {"FXP_LINK", "FXP_BLOCK", "FXP_UNBLOCK"}
    replies = {f"FXP_{name}" for name in ("VERSION", "STATUS", "HANDLE", "DATA", "NAME", "ATTRS", "EXTENDED_REPLY")}
    spoken = {f"FXP_{name}" for name in (*ANSWERED.values(), *FORBIDDEN.values())}
    assert set(known) == spoken | later | replies | {"FXP_INIT"}
    for value, name in (ANSWERED | FORBIDDEN).items():
        assert getattr(wire, name) == value == known[f"FXP_{name}"]
