"""What asyncssh can do and a vendor may not: every method of its server and every request type is allowed on purpose, or refused.

These tests fail when a new version of asyncssh adds something, or moves what gateway/intake/sftp/subsystem.py leans on.
"""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest
from asyncssh import sftp as asyncssh_sftp
from asyncssh.packet import String, UInt32

from gateway.intake.sftp.operations import DenyEverything, VendorSftp
from gateway.intake.sftp.subsystem import REQUESTS, RequestHandler, SftpSession
from gateway.intake.ssh.connection import VendorConnection
from tests.support.intake import Running, make_home, make_key, register, running

#: what VendorSftp lets in, each for its reason
ALLOWED = {
    "open",
    "close",
    "read",
    "write",
    "stat",
    "lstat",
    "fstat",
    "scandir",
    "realpath",
    "rename",
    "posix_rename",
    "fsync",
    "setstat",
    "fsetstat",
    "exit",
}
#: these refuse too, with an entry in the audit log
REFUSED_WITH_AUDIT = {"remove", "mkdir", "rmdir", "readlink", "symlink"}
#: neither an operation nor a door: they turn values into other values, or tell about the session itself
HARMLESS = {"convert_attrs", "format_user", "format_group", "format_longname", "channel", "connection", "env", "logger"}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def test_every_method_of_the_base_class_is_known() -> None:
    assert public(asyncssh.SFTPServer) - HARMLESS - {"exit"} <= public(DenyEverything)


@pytest.mark.parametrize("name", sorted(public(asyncssh.SFTPServer) - HARMLESS - {"exit"}))
def test_deny_everything_denies(name: str) -> None:
    server = DenyEverything.__new__(DenyEverything)
    method = getattr(server, name)
    arguments = [b"/etc/passwd" for p in inspect.signature(getattr(asyncssh.SFTPServer, name)).parameters.values() if p.name != "self"]
    with pytest.raises(asyncssh.SFTPOpUnsupported):
        method(*arguments)


def test_what_is_let_in_is_written_down() -> None:
    assert public(VendorSftp) & public(asyncssh.SFTPServer) == ALLOWED | REFUSED_WITH_AUDIT


def test_names_of_accounts_are_not_told() -> None:
    server = DenyEverything.__new__(DenyEverything)
    assert server.format_user(0) == server.format_group(0) == "sluis"


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
    session = SftpSession(None)
    assert session.subsystem_requested("sftp")
    assert not any(session.subsystem_requested(name) for name in ("netconf", "shell", "SFTP", ""))
    assert not session.shell_requested()
    assert not session.exec_requested("scp -t /")
    assert not session.exec_requested("id")


def test_private_parts_are_where_they_were() -> None:
    handler = asyncssh_sftp.SFTPServerHandler
    for name in ("_packet_handlers", "_extensions", "_cleanup", "_process_limits", "_process_close", "run"):
        assert hasattr(handler, name), (
            f"asyncssh {asyncssh.__version__} has moved SFTPServerHandler.{name}: see gateway/intake/sftp/subsystem.py"
        )
    assert "close" in inspect.getsource(handler._cleanup), "the end of a session no longer closes its handles: who tells a lost connection?"
    assert set(REQUESTS) <= set(handler._packet_handlers)
    assert {name for name, _ in RequestHandler._extensions} == {b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"}


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    home = make_home(tmp_path)
    key = make_key(tmp_path)
    register(home, "cito", key)
    with running(home) as server:
        yield server, key


@pytest.mark.parametrize("kind", sorted(set(asyncssh_sftp.SFTPServerHandler._packet_handlers) - set(REQUESTS), key=str))
def test_every_other_request_is_unsupported(intake: tuple[Running, Path], kind: int | bytes) -> None:
    """Sent as a raw packet, whatever is in it."""
    server, key = intake

    async def ask() -> None:
        async with (
            asyncssh.connect(
                "127.0.0.1", server.port, username="cito", client_keys=[str(key)], known_hosts=None, config=None
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            body = String(b"/leveringen/x") + String(b"/leveringen/y") + UInt32(0)
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await client._handler._make_request(kind, body)

    server.run(ask())
